"""Exactness, through the real nginx: what it accepts is what is kept, byte for byte.

Plot: hypothesis makes requests out of every byte that a request may hold, sends them raw, and reads back from the API
what was recorded. What nginx refuses (400, 405) must not be recorded; everything else must come back as it was sent.
"""

import hashlib
import json
import os
import random
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st
from wire import Answer, ask, exchange, parse

# A client's header whose place, case or repetition nginx does not tell; README says so.
MOVED = {"host", "connection", "content-length", "transfer-encoding", "te", "keep-alive", "proxy-connection", "expect"}
MOVED |= {"upgrade"}

wire_bytes = st.characters(max_codepoint=255)
methods = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ_-", min_size=1, max_size=20).filter(
    lambda name: name not in ("TRACE", "CONNECT")
)
target_chars = st.characters(max_codepoint=255, min_codepoint=33, exclude_characters="\x7f")
targets = st.text(target_chars, max_size=60).map(lambda rest: "/" + rest)
names = st.text(
    st.characters(max_codepoint=255, min_codepoint=33, exclude_characters=":\x7f"), min_size=1, max_size=30
).filter(lambda name: name.lower() not in MOVED)
values = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n\0"), max_size=60).map(
    lambda value: value.strip(" ")
)
headers = st.lists(st.tuples(names, values), max_size=8)

through_nginx = settings(
    max_examples=int(os.environ.get("GATEBOOK_TEST_EXAMPLES", 150)),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


class Gate:
    """A stack that is asked raw and read through its API."""

    def __init__(self, url: str, api: httpx.Client) -> None:
        self.url = url
        self.api = api

    def recorded(self, answer: Answer) -> dict[str, Any]:
        return self.api.get(f"requests/{answer.headers['gatebook-id']}?reveal=1").raise_for_status().json()

    def body(self, answer: Answer) -> bytes:
        return self.api.get(f"requests/{answer.headers['gatebook-id']}/body?reveal=1").raise_for_status().content

    def newest(self) -> str:
        return self.api.get("requests?limit=1").raise_for_status().json()["requests"][0]["id"]


@pytest.fixture(scope="session")
def gate(stack: Any) -> Iterator[Gate]:
    with httpx.Client(base_url=f"{stack.url}/_/api/") as api:
        yield Gate(stack.url, api)


def request(
    method: str, target: str, lines: list[tuple[str, str]], body: bytes = b"", version: str = "HTTP/1.1"
) -> bytes:
    head = "".join(f"{name}: {value}\r\n" for name, value in [("Host", "h"), *lines, ("Connection", "close")])
    return f"{method} {target} {version}\r\n{head}\r\n".encode("latin-1") + body


def of_the_client(found: list[list[str]]) -> list[tuple[str, str]]:
    return [(name, value) for name, value in found if name.lower() not in MOVED]


@through_nginx
@given(methods, targets, headers, st.binary(max_size=300))
def test_whatever_nginx_accepts_is_recorded_exactly(
    gate: Gate, method: str, target: str, lines: list[tuple[str, str]], body: bytes
) -> None:
    sent = request(method, target, [*lines, ("Content-Length", str(len(body)))], body)
    note(repr(sent))
    answer = ask(gate.url, sent)
    if answer.status in (400, 405):
        return  # nginx refused it; test_what_nginx_refuses says what that is
    assert answer.status == 200
    found = gate.recorded(answer)
    assert (found["method"], found["target"], found["http_version"]) == (method, target, "1.1")
    assert of_the_client(found["headers"]) == lines
    assert ["Host", "h"] in found["headers"]
    assert (gate.body(answer), found["body_size"], found["truncated"]) == (body, len(body), False)


@pytest.mark.parametrize("byte", [byte for byte in range(1, 256) if byte not in b"\r\n"])
def test_every_byte_in_every_place(gate: Gate, byte: int) -> None:
    """One byte at a time, so that what is refused is known to be refused for that byte."""
    char = chr(byte)
    places = {
        "target": (request("GET", f"/a{char}b", []), byte <= 0x20 or char in "%\x7f"),
        "name": (request("GET", "/", [(f"X{char}Y", "1")]), byte <= 0x20 or byte == 0x7F),
        "value": (request("GET", "/", [("X", f"a{char}b")]), False),
    }
    for place, (sent, refused) in places.items():
        answer = ask(gate.url, sent)
        assert (place, answer.status) == (place, 400 if refused else 200)
        if refused:
            continue
        found = gate.recorded(answer)
        expected = {
            "target": ("/a" + char + "b", []),
            "name": ("/", [("X", "Y: 1")] if char == ":" else [(f"X{char}Y", "1")]),
            "value": ("/", [("X", f"a{char}b")]),
        }[place]
        assert (found["target"], of_the_client(found["headers"])) == expected


@pytest.mark.parametrize(
    "target",
    [
        "http://example.com/a?b#c",
        "http://example.com",
        "HTTP://h:1/x?y",
        "//_/api",
        "/a/../_/api",
        "/_",
        "/%2F_/",
    ],
)
def test_odd_targets_are_the_recorders_not_the_viewers(gate: Gate, target: str) -> None:
    assert gate.recorded(ask(gate.url, request("GET", target, [])))["target"] == target


@pytest.mark.parametrize("target", ["/", "/?x=1", "http://example.com", "http://example.com/?x"])
def test_the_page_is_at_the_path_that_is_exactly_a_slash(gate: Gate, target: str) -> None:
    answer = ask(gate.url, request("GET", target, []))
    assert answer.headers["content-type"].startswith("text/html")
    first = answer.body.index(b"_/requests/")
    assert answer.body[first:].startswith(b"_/requests/" + answer.headers["gatebook-id"].encode())
    head = ask(gate.url, request("HEAD", target, []))
    assert (head.status, head.body, head.headers["content-type"]) == (200, b"", answer.headers["content-type"])


@pytest.mark.parametrize(
    ("method", "target"),
    [("POST", "/"), ("GET", "//"), ("GET", "/a/.."), ("GET", "/x"), ("OPTIONS", "/"), ("GET", "/;")],
)
def test_anything_else_gets_a_receipt(gate: Gate, method: str, target: str) -> None:
    answer = ask(gate.url, request(method, target, []))
    receipt = json.loads(answer.body)
    assert list(receipt) == ["id", "received_at", "replica", "durability"]
    assert receipt["id"] == answer.headers["gatebook-id"] == gate.recorded(answer)["id"]
    assert receipt["replica"] == answer.headers["gatebook-replica"] == gate.recorded(answer)["replica"]
    assert receipt["durability"] == answer.headers["gatebook-durability"] == "committed"
    assert receipt["received_at"] == gate.recorded(answer)["received_at"]


def test_a_mebibyte_of_chunks_with_odd_headers_comes_back_identical(gate: Gate) -> None:
    body = random.Random(7).randbytes(1 << 20)
    lines = [
        ("X-Twice", "1"),
        ("x-twice", "2"),
        ("x_under_score", "\xff\xe9"),
        ("oDD-cAse", ""),
        ("Cookie", "a"),
        ("Cookie", "b"),
    ]
    chunks = b"".join(
        b"%x\r\n%s\r\n" % (len(part), part) for part in (body[at : at + 7777] for at in range(0, len(body), 7777))
    )
    answer = ask(gate.url, request("POST", "/hook", [*lines, ("Transfer-Encoding", "chunked")], chunks + b"0\r\n\r\n"))
    found = gate.recorded(answer)
    assert gate.body(answer) == body
    assert of_the_client(found["headers"]) == lines
    assert ["Transfer-Encoding", "chunked"] in found["headers"]
    assert found["body_size"] == 1 << 20


def test_old_and_careful_clients_are_recorded(gate: Gate) -> None:
    old = ask(gate.url, b"GET /ten HTTP/1.0\r\n\r\n")
    assert (gate.recorded(old)["http_version"], gate.recorded(old)["headers"]) == ("1.0", [])
    careful = ask(gate.url, request("POST", "/e", [("Expect", "100-continue"), ("Content-Length", "2")], b"hi"))
    assert ["Expect", "100-continue"] in gate.recorded(careful)["headers"]
    assert gate.body(careful) == b"hi"
    oldest = exchange(gate.url, b"GET /nine\r\n")
    assert gate.api.get(f"requests/{json.loads(oldest)['id']}").json()["http_version"] == "0.9"


def test_hop_by_hop_headers_are_recorded_too(gate: Gate) -> None:
    lines = [
        ("TE", "trailers"),
        ("Keep-Alive", "5"),
        ("Proxy-Connection", "x"),
        ("Upgrade", "h2c"),
        ("Content-Length", "03"),
    ]
    found = gate.recorded(ask(gate.url, request("POST", "/", lines, b"abc")))["headers"]
    assert sorted(map(tuple, found)) == sorted([*lines, ("Host", "h"), ("Connection", "close")])


def test_keep_alive_pairs_each_answer_with_its_request(gate: Gate) -> None:
    pipelined = b"".join(b"GET /%d HTTP/1.1\r\nHost: h\r\n\r\n" % number for number in range(20))
    answers = exchange(gate.url, pipelined + request("GET", "/20", [])).split(b"HTTP/1.1 200 OK\r\n")[1:]
    assert [gate.recorded(parse(b"HTTP/1.1 200 OK\r\n" + part))["target"] for part in answers] == [
        f"/{n}" for n in range(21)
    ]


def test_a_forged_private_header_is_recorded_and_not_believed(gate: Gate) -> None:
    lines = [
        ("Gatebook-Stamp", "0" * 32 + " 1.000 https 6.6.6.6"),
        ("Gatebook-Request", "POST /evil HTTP/1.1"),
        ("X-Forwarded-For", "6.6.6.6"),
    ]
    found = gate.recorded(ask(gate.url, request("GET", "/", lines)))
    assert of_the_client(found["headers"]) == lines
    assert (found["method"], found["target"], found["scheme"]) == ("GET", "/", "http")
    assert (found["peer"], found["client"]) == ("127.0.0.1", "127.0.0.1")
    assert ask(gate.url, request("GET", "/", [("Gatebook Stamp", "x")])).status == 400


@pytest.mark.parametrize(
    "sent",
    [
        request("GET", "/a\0b", []),
        request("GET", "/%00", []),
        request("GET", "/%zz", []),
        request("GET", "http://user@h/", []),
        request("GET", "/../x", []),
        request("GET", "/a b", []),
        request("get", "/", []),
        request("TRACE", "/", []),
        request("CONNECT", "h:1", []),
        request("OPTIONS", "*", []),
        request("GET", "x", []),
        request("GET", "/", [], version="HTTP/3.0"),
        request("GET", "/", [("X", "a\0b")]),
        request("GET", "/", [("X", "a\r\n b")]),
        request("GET", "/", [("Host", "two")]),
        request("POST", "/", [("Content-Length", "1"), ("Transfer-Encoding", "chunked")], b"0\r\n\r\n"),
        request("POST", "/", [("Content-Length", "x")]),
        b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n",
        b"\x16\x03\x01\x00\xa5\x01\x00\r\n\r\n",
    ],
)
def test_what_nginx_refuses(gate: Gate, sent: bytes) -> None:
    """Listed in the README: these cannot be recorded, and are answered by nginx itself."""
    before = gate.newest()
    assert parse(exchange(gate.url, sent)).status in (400, 405, 505)
    assert gate.newest() == before


def test_a_long_body_is_kept_up_to_the_limit(gate: Gate) -> None:
    body = random.Random(8).randbytes((10 << 20) + 5)
    answer = ask(gate.url, request("POST", "/long", [("Content-Length", str(len(body)))], body))
    found = gate.recorded(answer)
    assert answer.status == found["status"] == 413
    assert json.loads(answer.body)["id"] == found["id"]
    assert (found["truncated"], found["body_size"]) == (True, len(body))
    assert found["body_sha256"] == hashlib.sha256(body).hexdigest()
    assert gate.body(answer) == body[: 10 << 20]


@pytest.mark.parametrize("zeros", [0, 5000])
@pytest.mark.parametrize("expect", [[], [("Expect", "100-continue")]])
def test_a_body_larger_than_is_read_is_recorded_without_it(
    gate: Gate, expect: list[tuple[str, str]], zeros: int
) -> None:
    length = "0" * zeros + str((1 << 30) + 1)
    answer = ask(gate.url, request("POST", "/huge", [*expect, ("Content-Length", length)]))
    found = gate.recorded(answer)
    assert answer.status == found["status"] == 413
    assert (found["truncated"], found["body_size"], found["body_sha256"]) == (True, (1 << 30) + 1, None)
    assert ["Content-Length", length] in found["headers"]
