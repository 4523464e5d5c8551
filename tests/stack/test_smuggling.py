"""Bytes that proxies have been known to read in two ways, into the real nginx.

Plot: each connection carries something odd, and behind it an ordinary request with a token of its own. Beside each
stands how it is to be read by RFC 9112: with this one body, or not at all; where nginx refuses, it must close. What
is told to be recorded is looked up by the id that was told: its target and body are those that were sent, and no token
turns up in a request that nobody sent.
"""

import contextlib
import itertools
import re
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import httpx
import pytest
from local_stack import Stack, until

PATIENCE_S = 20.0
_NUMBERS = itertools.count()


class Told(NamedTuple):
    """An answer: its status, the id that it tells, its body."""

    status: int
    id: str
    body: bytes


class Gate:
    """A stack that is asked raw and read through its API and its table."""

    def __init__(self, stack: Stack, api: httpx.Client) -> None:
        self.stack = stack
        self._api = api

    def answers(self, sent: bytes, half_close: bool = False) -> list[Told]:
        """All that come back until nginx closes, or says nothing any more for a while."""
        with socket.create_connection(("127.0.0.1", self.stack.port), PATIENCE_S) as connection:
            connection.sendall(sent)
            if half_close:
                connection.shutdown(socket.SHUT_WR)
            got = b""
            with contextlib.suppress(TimeoutError, ConnectionError):
                while part := connection.recv(1 << 16):
                    got += part
        return list(_answers(got))

    def recorded(self, id: str) -> tuple[dict[str, Any], bytes]:
        found = self._api.get(f"requests/{id}").raise_for_status().json()
        return found, self._api.get(f"requests/{id}/body").raise_for_status().content

    def targets(self, token: str) -> list[str]:
        """Of all requests that have the token anywhere."""
        found = self._api.get("requests", params={"filter": f'"{token}"', "limit": 100}).raise_for_status().json()
        assert found["complete"]
        return sorted(one["target"] for one in found["requests"])


def _answers(got: bytes) -> Iterator[Told]:
    while got:
        head, _, rest = got.partition(b"\r\n\r\n")
        status = int(head.split(b" ", 2)[1]) if head.startswith(b"HTTP/1.1 ") else 0
        assert status, f"no answer: {got[:200]!r}"
        if status == 100:
            got = rest
            continue
        length = re.search(rb"(?im)^content-length: (\d+)", head)
        id = re.search(rb"(?im)^gatebook-id: ([0-9a-f-]{36})", head)
        size = int(length[1]) if length else len(rest)
        yield Told(status, id[1].decode() if id else "", rest[:size])
        got = rest[size:]


@pytest.fixture(scope="module")
def gate(stack: Stack) -> Iterator[Gate]:
    pids = {part["name"]: part["pid"] for part in stack.ps()}
    with httpx.Client(base_url=f"{stack.url}/_/api/", timeout=PATIENCE_S) as api:
        yield Gate(stack, api)
    assert {part["name"]: part["pid"] for part in stack.ps()} == pids, "no part died"


@pytest.fixture(autouse=True)
def is_well_afterwards(gate: Gate) -> Iterator[None]:
    """Whatever was sent, an ordinary request is recorded then."""
    yield
    [told] = gate.answers(_last("/control"))
    assert told.status == 200 and gate.recorded(told.id)[0]["target"] == "/control"


def _last(target: str) -> bytes:
    return b"GET %s HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n" % target.encode()


def _post(token: str, lines: bytes, rest: bytes) -> bytes:
    return b"POST /%s-first HTTP/1.1\r\nHost: h\r\n%s\r\n\r\n%s" % (token.encode(), lines, rest)


def _token() -> str:
    return f"smuggled{time.time_ns():x}x{next(_NUMBERS)}"


# What stands in the head, what follows it, and what nginx may make of it: a body (None: a refusal). TOKEN is replaced;
# GET is a request within the body, which must never become one.
GET = b"GET /TOKEN-smuggled HTTP/1.1\r\nHost: h\r\n\r\n"
ODD: dict[str, tuple[bytes, bytes, bytes | None]] = {
    "length and chunked": (b"Content-Length: 5\r\nTransfer-Encoding: chunked", b"0\r\n\r\n" + GET, None),
    "chunked and length": (b"Transfer-Encoding: chunked\r\nContent-Length: 99", b"0\r\n\r\n" + GET, None),
    "two lengths": (b"Content-Length: 0\r\nContent-Length: 60", GET, None),
    "two equal lengths": (b"Content-Length: 3\r\nContent-Length: 3", b"abc", None),
    "a list of lengths": (b"Content-Length: 3, 3", b"abc", None),
    "a length with a sign": (b"Content-Length: +3", b"abc", None),
    "a negative length": (b"Content-Length: -1", GET, None),
    "a hexadecimal length": (b"Content-Length: 0x3", b"abc", None),
    "a huge length": (b"Content-Length: " + b"9" * 40, b"abc", None),
    "a length with a blank in it": (b"Content-Length: 1 0", GET, None),
    "a blank before the colon": (b"Content-Length : 60", GET, None),
    "a blank before the colon of chunked": (b"Transfer-Encoding : chunked", b"0\r\n\r\n" + GET, None),
    "a folded coding": (b"Transfer-Encoding:\r\n chunked", b"0\r\n\r\n" + GET, None),
    "a folded line": (b"X: a\r\n Content-Length: 60", GET, None),
    "chunked twice": (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", b"0\r\n\r\n" + GET, None),
    "chunked, chunked": (b"Transfer-Encoding: chunked, chunked", b"0\r\n\r\n" + GET, None),
    "identity": (b"Transfer-Encoding: identity\r\nContent-Length: 3", b"abc", None),
    "gzip, chunked": (b"Transfer-Encoding: gzip, chunked", b"0\r\n\r\n" + GET, None),
    "xchunked": (b"Transfer-Encoding: xchunked\r\nContent-Length: 3", b"abc", None),
    "a tab in the coding": (b"Transfer-Encoding: \tchunked\r\nContent-Length: 3", b"abc", None),
    "a vertical tab in the coding": (b"Transfer-Encoding: \x0bchunked\r\nContent-Length: 3", b"abc", None),
    "a quoted coding": (b'Transfer-Encoding: "chunked"\r\nContent-Length: 3', b"abc", None),
    "a coding in capitals": (b"Transfer-Encoding: CHUNKED", b"3\r\nabc\r\n0\r\n\r\n", b"abc"),
    "a NUL in a name": (b"Content-Length\0: 60", GET, None),
    "a carriage return in a value": (b"X: a\rContent-Length: 60", GET, None),
    "a bare line feed": (b"X: a\nContent-Length: 3", b"abc", b"abc"),
    "underscores": (b"Content_Length: 60\r\nTransfer_Encoding: chunked", b"", b""),
    "no colon": (b"Content-Length 60", b"", None),
    "a chunk extension": (
        b"Transfer-Encoding: chunked", b'3;x="\\"";y=' + b"z" * 900 + b"\r\nabc\r\n0;q\r\n\r\n", b"abc",
    ),
    "a chunk extension with a bare line feed": (b"Transfer-Encoding: chunked", b"3;x\nabc\r\n0\r\n\r\n" + GET, None),
    "a chunk with bare line feeds": (b"Transfer-Encoding: chunked", b"3\nabc\n0\n\n" + GET, None),
    "a chunk size with zeros": (b"Transfer-Encoding: chunked", b"0" * 15 + b"3\r\nabc\r\n0\r\n\r\n", b"abc"),
    "a chunk size that overflows": (b"Transfer-Encoding: chunked", b"10000000000000003\r\nabc\r\n0\r\n" + GET, None),
    "a huge chunk size": (b"Transfer-Encoding: chunked", b"7fffffffffffffff\r\nabc\r\n0\r\n\r\n" + GET, None),
    "a negative chunk size": (b"Transfer-Encoding: chunked", b"-1\r\nabc\r\n0\r\n\r\n" + GET, None),
    "a chunk size of 0x3": (b"Transfer-Encoding: chunked", b"0x3\r\nabc\r\n0\r\n\r\n" + GET, None),
    "a chunk that is longer than it says": (b"Transfer-Encoding: chunked", b"3\r\nabcdef\r\n0\r\n\r\n" + GET, None),
    "trailers": (b"Transfer-Encoding: chunked", b"3\r\nabc\r\n0\r\nContent-Length: 60\r\nHost: x\r\n\r\n", b"abc"),
    "a request in a body": (b"Content-Length: %d" % len(GET), GET, GET),
    "a request in a chunk": (b"Transfer-Encoding: chunked", b"%x\r\n%s\r\n0\r\n\r\n" % (len(GET), GET), GET),
    "the hop's own lines": (b"Gatebook Stamp: x 1.000 http 1.1.1.1\r\nContent-Length: 60", GET, None),
    "two hosts": (b"Host: other\r\nContent-Length: 3", b"abc", None),
}  # fmt: skip


@pytest.mark.parametrize("name", ODD)
def test_what_is_read_in_two_ways_elsewhere_is_refused_or_read_in_one(gate: Gate, name: str) -> None:
    token, (lines, rest, body) = _token(), ODD[name]
    rest = rest.replace(b"TOKEN", token.encode() if body is None else b"TOKEN")
    first, *others = gate.answers(_post(token, lines, rest) + _last(f"/{token}-last"))
    if body is None:
        assert first.status in (400, 413, 501) and not others
        if first.id:  # it was told to be recorded: one of a size that is not read, without its body
            assert first.status == 413 and gate.recorded(first.id)[0]["truncated"]
            assert gate.targets(token) == [f"/{token}-first"]
        else:
            assert gate.targets(token) == []
        return
    assert first.status == 200
    found, kept = gate.recorded(first.id)
    assert (found["target"], kept, found["body_size"]) == (f"/{token}-first", body, len(body))
    [last] = others
    assert gate.recorded(last.id)[0]["target"] == f"/{token}-last"
    assert gate.targets(token) == [f"/{token}-first", f"/{token}-last"]


@pytest.mark.parametrize("line", [
    b"GET http://other/%s HTTP/1.1", b"GET //%s HTTP/1.1", b"GET /%s\xc0\xaf\xed\xa0\x80\xff HTTP/1.1",
    b"GET /%s%%c0%%af%%ed%%a0%%80 HTTP/1.1", b"GET /a/%s/./../%%2e%%2e HTTP/1.1", b"GET   /%s   HTTP/1.1",
    b"\r\nGET /%s HTTP/1.1", b"GET /%s?%%00 HTTP/1.1", b"GET /%s HTTP/1.0", b"GET /%s\x80?#x HTTP/1.1",
    b"GET ws://h/%s HTTP/1.1",
])  # fmt: skip
def test_odd_targets_are_kept_as_sent(gate: Gate, line: bytes) -> None:
    token = _token()
    line = line % token.encode()
    first, last = gate.answers(line + b"\r\nHost: h\r\nConnection: keep-alive\r\n\r\n" + _last(f"/{token}-last"))
    assert first.status == last.status == 200
    sent = line.strip().split()[1].decode("latin-1")
    assert gate.recorded(first.id)[0]["target"] == sent
    assert gate.targets(token) == sorted([sent, f"/{token}-last"])


@pytest.mark.parametrize(
    "line",
    [b"OPTIONS * HTTP/1.1", b"GET *%s HTTP/1.1", b"CONNECT %s:1 HTTP/1.1", b"PRI * HTTP/2.0", b"GET /%s HTTP/2.0"],
)
def test_asterisks_tunnels_and_other_versions_are_refused(gate: Gate, line: bytes) -> None:
    token = _token()
    told = gate.answers((line.replace(b"%s", token.encode())) + b"\r\nHost: h\r\n\r\n" + _last(f"/{token}-last"))
    assert [one.status for one in told] in ([400], [405], [505], [400, 400])
    assert gate.targets(token) == []


@pytest.mark.parametrize(("count", "length"), [(1, 65_536), (8, 65_000), (10_000, 20)])
def test_long_headers_and_many_are_recorded_exactly(gate: Gate, count: int, length: int) -> None:
    token = _token()
    lines = [[f"X-{number}", f"{number:x}" * (length // len(f"{number:x}"))] for number in range(count)]
    head = "".join(f"{name}: {value}\r\n" for name, value in lines)
    [told] = gate.answers(f"GET /{token} HTTP/1.1\r\nHost: h\r\n{head}Connection: close\r\n\r\n".encode())
    assert told.status == 200
    assert [header for header in gate.recorded(told.id)[0]["headers"] if header[0].startswith("X-")] == lines


@pytest.mark.parametrize("lines", [[b"X: " + b"a" * 140_000], [b"X%d: y" % number for number in range(21_000)]])
def test_headers_beyond_that_are_refused_and_not_recorded(gate: Gate, lines: list[bytes]) -> None:
    token = _token()
    told = gate.answers(_post(token, b"\r\n".join(lines), b""))
    assert [one.status for one in told] == [400]
    assert b"nginx/" not in told[0].body
    assert gate.targets(token) == []


def test_each_of_two_hundred_pipelined_requests_gets_its_own_answer(gate: Gate) -> None:
    token = _token()
    bodies = [b"%s-%d" % (token.encode(), number) * (number % 7) for number in range(200)]
    sent = b"".join(
        b"POST /%s-%d HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%s" % (token.encode(), number, len(body), body)
        if number % 2
        else b"PUT /%s-%d HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n%s0\r\n\r\n"
        % (token.encode(), number, b"%x\r\n%s\r\n" % (len(body), body) if body else b"")
        for number, body in enumerate(bodies)
    )
    told = gate.answers(sent + _last(f"/{token}-last"))
    assert len(told) == 201 and len({one.id for one in told}) == 201
    for number in range(0, 200, 9):
        found, kept = gate.recorded(told[number].id)
        assert (found["target"], kept) == (f"/{token}-{number}", bodies[number])
    assert gate.stack.sql(f"SELECT count(*) FROM requests WHERE target LIKE '/{token}-%'") == "201"


def test_answers_to_many_at_once_are_each_of_ones_own_request(gate: Gate) -> None:
    token = _token()

    def ask(number: int) -> list[tuple[str, str]]:
        targets = [f"/{token}-{number}-{each}" for each in range(5)]
        sent = [b"POST %s HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc" % one.encode() for one in targets]
        told = gate.answers(b"".join(sent) + _last(f"/{token}-{number}-5"))
        return list(zip([one.id for one in told], [*targets, f"/{token}-{number}-5"], strict=True))

    with ThreadPoolExecutor(40) as threads:
        told = {id: target for answers in threads.map(ask, range(80)) for id, target in answers}
    rows = gate.stack.sql(f"SELECT id, target FROM requests WHERE target LIKE '/{token}-%'").splitlines()
    assert dict(row.split("|") for row in rows) == told and len(rows) == 480


def test_who_leaves_after_any_byte_is_recorded_once_if_the_request_was_whole_and_else_not_at_all(gate: Gate) -> None:
    token = _token()
    body = b"0123456789"
    whole = b"POST /%s-%%03d HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n" % token.encode()
    size = len(whole % 0) + len(body)

    def leave(length: int) -> None:
        with socket.create_connection(("127.0.0.1", gate.stack.port), PATIENCE_S) as connection:
            connection.sendall((whole % length + body)[:length])
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0" if length % 2 else bytes(8))

    for length in range(size + 1):
        leave(length)
    query = f"SELECT target, encode(body, 'escape') FROM requests WHERE target LIKE '/{token}-%'"
    with contextlib.suppress(AssertionError):  # nginx may not have seen the last one when it was reset
        until(lambda: gate.stack.sql(query), "the whole one is recorded", 3)
    assert gate.stack.sql(query) in ("", f"/{token}-{size:03}|{body.decode()}")


def test_the_slowest_clients_keep_nobody_waiting(gate: Gate) -> None:
    """A hundred that send a byte at a time, in their heads or bodies, while others are answered at once."""
    token = _token().encode()
    sent = b"POST /%s HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 5\r\n\r\nabcde" % token
    slow = [socket.create_connection(("127.0.0.1", gate.stack.port), PATIENCE_S) for _ in range(100)]
    stop = threading.Event()

    def drip() -> None:
        for at in range(len(sent)):
            for connection in slow:
                connection.sendall(sent[at : at + 1])
            if stop.wait(0.02):
                return

    dripping = threading.Thread(target=drip)
    dripping.start()
    try:
        longest = 0.0
        while dripping.is_alive():
            started = time.monotonic()
            [told] = gate.answers(_last("/quick"))
            longest = max(longest, time.monotonic() - started)
            assert told.status == 200
        assert longest < 5
        assert all(b" 200 OK\r\n" in connection.recv(1 << 12) for connection in slow)
    finally:
        stop.set()
        dripping.join()
        for connection in slow:
            connection.close()
    assert gate.stack.sql(
        f"SELECT count(*), min(body), max(body) FROM requests WHERE target = '/{token.decode()}'"
    ) == (r"100|\x6162636465|\x6162636465")
