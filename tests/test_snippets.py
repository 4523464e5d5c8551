"""Each command and program is run, and sends what was recorded: the bytes are compared on a socket."""

import contextlib
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import markupsafe
import pytest
from hypothesis import HealthCheck, example, given, note, settings
from hypothesis import strategies as st

from gatebook.snippets import curl, httpie, python
from gatebook.viewer.shown import text

PATIENCE_S = 30.0


class Sent(NamedTuple):
    """A request as it came over the wire."""

    line: str
    headers: list[tuple[str, str]]
    body: bytes


class Server:
    """Takes one request after the other, each byte as it is, and answers 200."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.got: list[Sent] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection, connection.makefile("rb") as stream:
                connection.settimeout(PATIENCE_S)
                with contextlib.suppress(OSError):
                    self.got.append(received(stream))
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


def received(stream: Any) -> Sent:
    line = stream.readline()[:-2].decode("latin-1")
    headers = []
    while name_and_value := stream.readline()[:-2].decode("latin-1"):
        name, _, value = name_and_value.partition(":")
        headers.append((name, value.strip(" \t")))
    told = {name.lower(): value for name, value in headers}
    if told.get("transfer-encoding") == "chunked":
        return Sent(line, headers, b"".join(chunks(stream)))
    return Sent(line, headers, stream.read(int(told.get("content-length", 0))))


def chunks(stream: Any) -> Iterator[bytes]:
    while size := int(stream.readline(), 16):
        yield stream.read(size)
        stream.readline()
    stream.readline()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with contextlib.closing(Server()) as server:
        yield server


def request(
    method: str, target: str, headers: list[tuple[str, str]], body: bytes, version: str = "1.1"
) -> dict[str, Any]:
    """As the API has it."""
    return {
        "method": method,
        "target": target,
        "headers": [list(header) for header in headers],
        "http_version": version,
        "body_size": len(body),
    }


ENVIRONMENT = {
    "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    "HTTPIE_CONFIG_DIR": "/nowhere",
    "HOME": "/nowhere",
    "LC_ALL": "C.UTF-8",
}


def by_shell(server: Server, command: str, folder: Path) -> Sent:
    return _run(server, ["sh", "-c", re.sub(r"(?m)(^|\| )curl ", r"\1curl -q -sS -o answer ", command)], folder)


def by_python(server: Server, program: str, folder: Path) -> Sent:
    return _run(server, [sys.executable, "-W", "error", "-c", program], folder)


def _run(server: Server, words: list[str], folder: Path) -> Sent:
    """What the server got of it; nothing else may come of it."""
    server.got.clear()
    done = subprocess.run(
        [word.encode() for word in words], cwd=folder, env=ENVIRONMENT, capture_output=True, timeout=PATIENCE_S,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b""), (words, done.stderr.decode())
    [sent] = server.got
    assert set(os.listdir(folder)) <= {"answer"}
    return sent


def with_curl(server: Server, recorded: dict[str, Any], body: bytes, folder: Path) -> Sent:
    return by_shell(server, curl.command(recorded, body, server.url, ["false"]), folder)


def with_httpie(server: Server, recorded: dict[str, Any], body: bytes, folder: Path) -> Sent:
    return by_shell(server, httpie.command(recorded, body, server.url, ["false"]), folder)


def with_python(server: Server, recorded: dict[str, Any], body: bytes, folder: Path) -> Sent:
    return by_python(server, python.program(recorded, body, server.url, ["false"]), folder)


Way = Callable[[Server, dict[str, Any], bytes, Path], Sent]
WAYS: list[tuple[Way, Callable[[dict[str, Any]], list[str]]]] = [
    (with_curl, curl.left_out),
    (with_httpie, httpie.left_out),
    (with_python, python.left_out),
]
ALL = pytest.mark.parametrize(("way", "left_out"), WAYS, ids=["curl", "httpie", "python"])

ORDINARY = [("Host", "gate.example:81"), ("User-Agent", "x/1"), ("Accept", "*/*")]


@ALL
@pytest.mark.parametrize(
    ("method", "target", "headers", "body"),
    [
        ("GET", "/", ORDINARY, b""),
        ("GET", "/a/../b/./c?x=%20&y=*", [("Host", "h")], b""),
        ("GET", "/a;b=c?x=a/b?c", [("Host", "h"), ("X-A", "1"), ("X-A", "2"), ("Empty", "")], b""),
        ("OPTIONS", "/", ORDINARY, b""),
        ("HEAD", "/", ORDINARY, b""),
        ("POST", "/hook", [*ORDINARY, ("Content-Length", "7")], b'{"a":1}'),
        ("POST", "/hook", [("Host", "h"), ("Content-Type", "a/b"), ("Content-Length", "0")], b""),
        ("PUT", "/t", [*ORDINARY, ("Content-Length", "20")], b"@file\n'quoted' --x\n\n"),
        ("PATCH", "/t", [*ORDINARY, ("Content-Length", "256")], bytes(range(256))),
        ("GET", "/with", [*ORDINARY, ("Content-Length", "3")], b"\xff\r\n"),
        ("POST", "/chunked", [*ORDINARY, ("Transfer-Encoding", "chunked")], b"in pieces"),
        ("POST", "/utf-8", [("Host", "h"), ("X", "日本".encode().decode("latin-1")), ("Content-Length", "1")], b"x"),
        ("GET", "/lower", [("Host", "h"), ("user-agent", "x"), ("accept", "*/*"), ("connection", "close")], b""),
        ("GET", "/@=:;x", [("Host", "h"), ("A", "@/etc/passwd"), ("B", "=1"), ("C", ":=@f"), ("D", "a\\b;:@=")], b""),
    ],
)
def test_ordinary_requests_are_sent_again_exactly(
    server: Server, tmp_path: Path, way: Way, left_out: Callable[[dict[str, Any]], list[str]],
    method: str, target: str, headers: list[tuple[str, str]], body: bytes,
) -> None:  # fmt: skip
    recorded = request(method, target, headers, body)
    assert [what for what in left_out(recorded) if not what.startswith("the order")] == []
    sent = way(server, recorded, body, tmp_path)
    assert sent.line == f"{method} {target} HTTP/1.1"
    assert sorted(sent.headers) == sorted(headers)
    assert sent.body == body


TOKEN = st.text(st.sampled_from("abzAZ09-_.!#$%&'*+^`|~"), min_size=1, max_size=12)
ODD_NAMES = st.text(st.characters(min_codepoint=33, max_codepoint=255, exclude_characters=":\x7f"), min_size=1)
VALUES = st.text(st.characters(max_codepoint=255, exclude_characters="\0\r\n"), max_size=30).map(
    lambda value: value.strip(" \t")
)
PIECES = [*"'\"\\;@=:-{#\x1b\x85\xa0\xe9 \t", "$(id)", "`id`", "%s", "!!", "\xc3\xa9", "--help"]
HOSTILE = st.lists(st.sampled_from(PIECES), max_size=6).map(lambda all: "".join(all).strip(" \t"))
SPECIAL = ("host", "content-length", "transfer-encoding", "expect", "connection")
HEADERS = st.lists(
    st.tuples(TOKEN | ODD_NAMES, VALUES | HOSTILE).filter(lambda header: header[0].lower() not in SPECIAL), max_size=5
)
SEGMENTS = [*"/.?#;a='\\&*[~", "..", "%2f", "%2F", "%41", "%e9", "$(id)"]
TARGETS = st.one_of(
    st.text(st.characters(min_codepoint=33, max_codepoint=255, exclude_characters="\x7f"), max_size=30).map(
        "/{}".format
    ),
    st.lists(st.sampled_from(SEGMENTS)).map(lambda all: "/" + "".join(all)),
    st.sampled_from(["http://example.com/", "@example.com/", "*", "//example.com/x"]),
)
METHODS = st.sampled_from(["GET", "POST", "PUT", "HEAD", "DELETE", "OPTIONS", "FOO_-", "PATCH"])
BODIES = st.one_of(
    st.none(), st.binary(max_size=50), VALUES.map(str.encode), HOSTILE.map(str.encode), st.text().map(str.encode)
)


@ALL
@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(METHODS, TARGETS, HEADERS, BODIES)
def test_whatever_a_client_sent_is_data_and_what_differs_is_said(
    server: Server, tmp_path: Path, way: Way, left_out: Callable[[dict[str, Any]], list[str]],
    method: str, target: str, headers: list[tuple[str, str]], body: bytes | None,
) -> None:  # fmt: skip
    framing = [] if body is None else [("Content-Length", str(len(body)))]
    recorded = request(method, target, [("Host", "h"), *headers, *framing], body or b"")
    note(str(left_out(recorded)))
    sent = way(server, recorded, body or b"", tmp_path)
    said = left_out(recorded)
    if not any(what.startswith(("the method", "the target")) for what in said):
        assert sent.line == f"{method} {target} HTTP/1.1"
    expected = [(name, value) for name, value in recorded["headers"] if f"the header {name}" not in said]
    got = [(name, value) for name, value in sent.headers if f"the header {name}" not in said]
    if "that there was no Content-Length" in said:
        got.remove(("Content-Length", "0"))
    if any(what.startswith("the order") for what in said) or way is with_curl:
        expected, got = sorted(expected), sorted(got)
    assert got == expected
    assert sent.body == (body or b"")


@settings(max_examples=300, deadline=None)
@given(METHODS, TARGETS, HEADERS, BODIES)
@example("GET", "/", [("X", "e\u0301\u0302\u0303\u0304\u0305".encode().decode("latin-1"))], b"x\n\xcc\x81")
@example("POST", "/", [("X", "\u3164".encode().decode("latin-1"))], "a\ufe0f".encode())
def test_what_is_copied_from_a_page_is_what_was_meant(
    method: str, target: str, headers: list[tuple[str, str]], body: bytes | None
) -> None:
    """A page shows an escape in place of what is not plainly seen, which would be copied with the rest."""
    recorded = request(method, target, headers, body or b"")
    for snippet in (curl.command, httpie.command, python.program):
        shown = snippet(recorded, body or b"", "http://gate", ["false"])
        assert text.marked(shown, "\n\t") == markupsafe.escape(shown)


@pytest.mark.parametrize("body", [None, bytes(40_000), b"line\n" * 10_000])
def test_a_body_that_is_too_large_is_fetched_by_a_command(server: Server, tmp_path: Path, body: bytes | None) -> None:
    recorded = request("POST", "/", [("Host", "h"), ("Content-Length", "6")], body or b"x")
    fetch = ["printf", "%s", "a ' \"b"]
    for sent in (
        by_shell(server, curl.command(recorded, body, server.url, fetch), tmp_path),
        by_shell(server, httpie.command(recorded, body, server.url, fetch), tmp_path),
        by_python(server, python.program(recorded, body, server.url, fetch), tmp_path),
    ):
        assert sent.body == fetch[2].encode()
