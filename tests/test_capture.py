"""What is recorded of a request, as a pure function of what the load balancer handed over."""

import hashlib
import re
from ipaddress import ip_network

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatebook.app.capture import Body, client_address, record, request_line
from gatebook.app.hop import Hop

TRUSTED = (ip_network("10.0.0.0/8"), ip_network("2001:db8::/32"))


def hop(**changes: object) -> Hop:
    plain = Hop("0" * 32, "1763858054.123", "http", "192.0.2.1", "GET /x HTTP/1.1", [["Host", "h"]], 0, False)
    return plain._replace(**changes)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("GET / HTTP/1.1", ("GET", "/", "1.1")),
        ("POST   /a?b=c   HTTP/1.0 ", ("POST", "/a?b=c", "1.0")),
        ("GET http://h/\xa0\x85 HTTP/1.1", ("GET", "http://h/\xa0\x85", "1.1")),
        ("GET /nine", ("GET", "/nine", "0.9")),
        ("GET / HTTP/2.0", ("GET", "/", "2.0")),
    ],
)
def test_the_request_line_is_taken_as_sent(line: str, expected: tuple[str, str, str]) -> None:
    assert request_line(line) == expected


@given(st.binary(max_size=300), st.integers(1, 200), st.integers(1, 64))
def test_a_body_is_kept_up_to_its_limit_and_hashed_beyond(data: bytes, limit: int, step: int) -> None:
    body = Body(len(data), limit)
    fed = b"".join([data, b"next request"])
    at = 0
    while not body.complete:
        at += body.feed(fed[at : at + step])
    assert at == len(data)
    assert bytes(body.kept) == data[:limit]
    assert body.sha256 == (hashlib.sha256(data).digest() if len(data) > limit else None)


def test_a_plain_request_is_recorded_whole() -> None:
    body = Body(5, 10)
    body.feed(b"hello")
    found = record(hop(line="POST /a HTTP/1.1", headers=[["Host", "h"], ["x-A", "\xe9"]], body_length=5), body, ())
    assert (found.method, found.target, found.http_version, found.scheme) == ("POST", "/a", "1.1", "http")
    assert orjson.loads(found.headers) == [["Host", "h"], ["x-A", "\xe9"]]
    assert (found.body, found.body_size, found.body_sha256) == (b"hello", 5, None)
    assert (found.truncated, found.status) == (False, 200)
    assert re.fullmatch(r"019aae21-\w{4}-7\w{3}-[89ab]\w{3}-\w{12}", found.id)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((), None),
        (("TLSv1.3", "C", "gate.example"), {"version": "TLSv1.3", "cipher": "C", "server_name": "gate.example"}),
        (("TLSv1.2", "C", "-"), {"version": "TLSv1.2", "cipher": "C", "server_name": None}),
        (("TLSv1.2", "C", "?"), {"version": "TLSv1.2", "cipher": "C", "server_name": "?"}),
    ],
)
def test_how_it_came_over_tls_is_recorded(words: tuple[str, ...], expected: dict[str, str | None] | None) -> None:
    found = record(hop(tls=words), None, ()).tls
    assert (found and orjson.loads(found)) == expected


def test_the_value_of_a_session_is_not_written_down_and_all_else_is() -> None:
    headers = [["Host", "h"], ["COOKIE", "a=1; gatebook_session=1.x; b=\xe9"], ["X", "gatebook_sessions=1"]]
    expected = [
        ["Host", "h"],
        ["COOKIE", "a=1; gatebook_session=withheld; b=\xe9"],
        ["X", "gatebook_sessions=1"],
    ]
    assert orjson.loads(record(hop(headers=headers), None, ()).headers) == expected
    assert "1.x" in headers[1][1], "the replica still sees who asks"


def test_a_long_body_is_truncated_and_answered_413() -> None:
    body = Body(5, 2)
    body.feed(b"hello")
    found = record(hop(body_length=5), body, ())
    assert (found.body, found.body_size, found.body_sha256) == (b"he", 5, hashlib.sha256(b"hello").digest())
    assert (found.truncated, found.status) == (True, 413)


@pytest.mark.parametrize(
    ("headers", "size"),
    [
        ([["content-length", "99"]], 99),
        ([["Content-Length", "0" * 5000 + "7"]], 7),
        ([["Transfer-Encoding", "chunked"]], None),
    ],
)
def test_an_oversize_body_is_recorded_without_it(headers: list[list[str]], size: int | None) -> None:
    found = record(hop(headers=headers, oversize=True), None, ())
    assert (found.body, found.body_size, found.truncated, found.status) == (None, size, True, 413)


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("192.0.2.1", ["10.0.0.1"], "192.0.2.1"),  # a stranger's word is not taken
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", ["6.6.6.6, 198.51.100.7, 10.9.9.9"], "198.51.100.7"),  # the left-most is hearsay
        ("10.0.0.1", ["6.6.6.6, 198.51.100.7", "10.9.9.9"], "198.51.100.7"),  # two header lines are one list
        ("10.0.0.1", ["10.0.0.2, 10.0.0.3"], "10.0.0.2"),  # all trusted: the farthest
        ("10.0.0.1", ["198.51.100.7:4711"], "198.51.100.7"),
        ("2001:db8::1", ["[2001:db9::7]:4711"], "2001:db9::7"),
        ("2001:db8::1", ["2001:db9::7"], "2001:db9::7"),
        ("10.0.0.1", ["198.51.100.7, unknown"], "10.0.0.1"),  # no address: the walk ends
        ("10.0.0.1", ["fe80::1%eth0"], "10.0.0.1"),
        ("10.0.0.1", [" , "], "10.0.0.1"),
    ],
)
def test_the_client_is_found_from_right_to_left(peer: str, forwarded: list[str], client: str) -> None:
    headers = [["X-FORWARDED-for", value] for value in forwarded]
    assert client_address(peer, headers, TRUSTED) == client


def test_nobody_is_trusted_unless_told() -> None:
    assert record(hop(headers=[["X-Forwarded-For", "6.6.6.6"]]), None, ()).client == "192.0.2.1"
