"""`gatebook show` as a command, asking a real viewer, as a process, over HTTP."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from postgres import Cluster
from reading import Viewer, command, environment, run

from gatebook.snippets import shell

HEADERS = [["Host", "gate"], ["Content-Type", "text/plain"], ["X-Odd", "\x1b[2J\xe9"], ["X-Odd", "日本"], ["Empty", ""]]


@pytest.fixture(scope="module")
def viewer(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Viewer]:
    with contextlib.closing(Viewer(cluster, tmp_path_factory.mktemp("viewer"))) as viewer:
        yield viewer


def has(viewer: Viewer, body: bytes | None = b"", **columns: Any) -> str:
    """One request is recorded; its id."""
    wire = [[name.encode().decode("latin-1") if name.isascii() else name, _wire(value)] for name, value in HEADERS]
    told = {"body": body, "body_size": len(body or b""), "headers": json.dumps(wire), **columns}
    return viewer.has(told)[0]


def _wire(text: str) -> str:
    """One character per byte: of UTF-8, unless it is latin-1 already."""
    return text if max(map(ord, text), default=0) < 256 else text.encode().decode("latin-1")


def show(viewer: Viewer, id: str, *args: str) -> subprocess.CompletedProcess[str]:
    done = run("show", id, *args, "--url", viewer.url)
    assert done.returncode == 0, done.stderr
    return done


def test_it_shows_request_line_headers_and_body(viewer: Viewer) -> None:
    id = has(viewer, b'{"a":\r\n\t"b"}\n', method="PUT", target="/x?y=%20", replica="webapp-3", client="10.0.0.7")
    done = show(viewer, id, "--utc")
    assert done.stdout.split("\n\n") == [
        "PUT /x?y=%20 HTTP/1.1\nHost: gate\nContent-Type: text/plain\nX-Odd: \\x1b[2Jé\nX-Odd: 日本\nEmpty: ",
        '{"a":\n\t"b"}\n',
    ]
    assert done.stderr.startswith(f"{id}  20") and done.stderr.endswith(
        "+00:00  from 10.0.0.7 through 192.0.2.1 by http, answered 200 by webapp-3, a body of 13B\n"
    )


def test_a_request_without_a_body_ends_with_its_headers(viewer: Viewer) -> None:
    done = show(viewer, has(viewer, http_version="0.9", method="GET", headers="[]"))
    assert done.stdout == "GET /\n\n"


def test_text_is_shown_as_text_and_anything_else_as_a_dump_of_its_beginning(viewer: Viewer) -> None:
    assert show(viewer, has(viewer, "日本\x1b".encode())).stdout.endswith("\n\n日本\\x1b\n")
    small = show(viewer, has(viewer, b"\0AB\xff" * 5))
    assert small.stdout.endswith(
        "\n\n00000000  00 41 42 ff 00 41 42 ff 00 41 42 ff 00 41 42 ff  |.AB..AB..AB..AB.|\n"
        "00000010  00 41 42 ff                                      |.AB.|\n"
    )
    assert "not all of the body" not in small.stderr
    large = show(viewer, has(viewer, bytes(5000)))
    assert "\n00000ff0  " in large.stdout and "\n00001000" not in large.stdout
    assert "this is not all of the body" in large.stderr


def test_of_a_large_text_the_first_megabyte_is_shown(viewer: Viewer) -> None:
    """Also when that ends within a character."""
    done = show(viewer, has(viewer, b"x" + "é".encode() * 2**20))
    assert done.stdout.endswith("é\n") and done.stdout.count("é") == 2**19 - 1 + 1  # one of them in a header
    assert "this is not all of the body" in done.stderr


def test_what_was_not_kept_is_said(viewer: Viewer) -> None:
    done = show(viewer, has(viewer, None, truncated=True, body_size=None, status=413))
    assert "the body was too large to be kept" in done.stderr
    part = show(viewer, has(viewer, b"begin", truncated=True, body_size=2**30, status=413))
    assert part.stdout.endswith("\n\nbegin\n") and "this is not all of the body" in part.stderr
    assert "a body of 1.0GB, not all of it kept" in part.stderr


@pytest.mark.parametrize("body", [b"", bytes(range(256)), b"\r\n\n", b"x" * 3_000_000])
def test_raw_is_the_exact_body_and_nothing_else(viewer: Viewer, body: bytes) -> None:
    id = has(viewer, body)
    done = subprocess.run(
        command("show", id, "--raw", "--url", viewer.url), env=environment(), capture_output=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, b"") and done.stdout == body


def test_as_json_it_is_what_the_viewer_answers(viewer: Viewer) -> None:
    id = has(viewer, b"\xff")
    assert json.loads(show(viewer, id, "--json").stdout) == httpx.get(f"{viewer.url}/_/api/requests/{id}").json()


def test_an_id_may_be_written_as_any_uuid(viewer: Viewer) -> None:
    id = has(viewer)
    assert show(viewer, id.replace("-", "").upper()).stderr.startswith(id)


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["019aaf6e-3c5f-7d2a-8b1e-0242ac120002"], 1, "no request 019aaf6e-3c5f-7d2a-8b1e-0242ac120002 is recorded"),
        (["019aaf6e-3c5f-7d2a-8b1e-0242ac120002", "--raw"], 1, "no request 019aaf6e"),
        (["019aaf6e"], 2, "'019aaf6e' is not a valid UUID"),
        ([], 2, "Missing argument 'ID'"),
        (["019aaf6e-3c5f-7d2a-8b1e-0242ac120002", "--raw", "--curl"], 2, "choose one"),
    ],
)
def test_what_cannot_be_shown_is_said(viewer: Viewer, args: list[str], code: int, said: str) -> None:
    done = run("show", "--url", viewer.url, *args)
    assert (done.returncode, done.stdout) == (code, "") and said in done.stderr


def test_a_body_that_is_not_kept_whole_makes_no_command(viewer: Viewer) -> None:
    id = has(viewer, b"begin", truncated=True, body_size=2**30)
    done = run("show", id, "--curl", "--url", viewer.url)
    assert (done.returncode, done.stdout) == (1, "") and "not kept whole" in done.stderr


def test_what_curl_cannot_send_is_said(viewer: Viewer) -> None:
    id = has(viewer, headers='[["Host", "h"], ["@file", "x"], ["Tab", "\\t"], ["a;b", ""], ["Good", "x"]]')
    done = show(viewer, id, "--curl")
    assert [line.rpartition(" ")[2] for line in done.stderr.splitlines()] == ["@file", "Tab", "a;b"]
    assert "Good: x" in done.stdout and "@file" not in done.stdout


def test_a_large_body_is_fetched_by_the_command(viewer: Viewer) -> None:
    id = has(viewer, bytes(10_000))
    command = show(viewer, id, "--curl").stdout
    assert f"gatebook show {id} --raw --url {viewer.url} | curl " in command
    assert command.endswith("--data-binary @-\n") and "-H Expect:" not in command


def test_the_command_that_fetches_it_is_one_that_the_shell_finds(viewer: Viewer, tmp_path: Path) -> None:
    id = has(viewer, bytes(10_000))
    with_one, without = tmp_path / "with", tmp_path / "without"
    for folder in (with_one, without):
        folder.mkdir()
    (with_one / "gatebook").touch(mode=0o755)
    for folder, begins in ((with_one, "gatebook show "), (without, f"{sys.executable} -m gatebook show ")):
        done = run("show", id, "--curl", "--url", viewer.url, PATH=str(folder))
        assert done.stdout.startswith(begins)


@pytest.mark.parametrize(
    ("wire", "word"),
    [
        ("plain", "plain"),
        ("it's $HOME `id` !!", "'it'\"'\"'s $HOME `id` !!'"),
        ("日本".encode().decode("latin-1"), "'日本'"),
        ("\xe9'%!\\\x01", "\"$(printf '\\351\\047\\045\\041\\134\\001')\""),
        ("-\x7f", "\"$(printf '\\055\\177')\""),
        ("\u202e".encode().decode("latin-1"), "\"$(printf '\\342\\200\\256')\""),
    ],
)
def test_a_word_of_the_command_is_plain_or_octal(wire: str, word: str) -> None:
    assert shell.quoted(wire) == word
    said = subprocess.run(["sh", "-c", f"printf %s {word}"], capture_output=True).stdout
    assert said == wire.encode("latin-1")


def test_help_shows_examples() -> None:
    assert "--curl | sh\n" in run("show", "--help").stdout
