"""The private hop is split exactly, whatever the client sent."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatebook.app.hop import NotFromTheLoadBalancer, split

STAMP = b"Gatebook Stamp: 0123456789abcdef0123456789abcdef 1763858054.123 http 192.0.2.1\r\n"
REQUEST = b"Gatebook Request: GET /x HTTP/1.1\r\n"

# What nginx accepts: names without control characters, blank or colon; values without line ends and NUL, not padded.
names = st.text(st.characters(max_codepoint=255, exclude_characters="".join(map(chr, range(33))) + ":\x7f"), min_size=1)
values = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n\0")).map(lambda value: value.strip(" "))


def hop(*lines: bytes) -> bytes:
    return b"GET /x HTTP/1.1\r\n" + STAMP + REQUEST + b"".join(lines)


def as_lines(headers: list[tuple[str, str]]) -> bytes:
    return b"".join(f"{name}: {value}\r\n".encode("latin-1") for name, value in headers)


@given(st.lists(st.tuples(names, values)))
def test_client_headers_come_out_as_they_went_in(headers: list[tuple[str, str]]) -> None:
    assert split(hop(b"Content-Length: 7\r\n", as_lines(headers))).headers == [list(header) for header in headers]


def test_the_stamp_is_taken_apart() -> None:
    found = split(hop())
    assert (found.request_id, found.msec) == ("0123456789abcdef0123456789abcdef", "1763858054.123")
    assert (found.scheme, found.peer, found.line) == ("http", "192.0.2.1", "GET /x HTTP/1.1")
    assert (found.headers, found.body_length, found.oversize) == ([], 0, False)


def test_what_tls_was_spoken_stands_behind_the_stamp() -> None:
    words = b" TLSv1.3 TLS_AES_256_GCM_SHA384 gate.example\r\n"
    found = split(hop().replace(b"192.0.2.1\r\n", b"192.0.2.1" + words))
    assert (found.peer, list(found.tls)) == ("192.0.2.1", ["TLSv1.3", "TLS_AES_256_GCM_SHA384", "gate.example"])
    assert not split(hop()).tls


def test_headers_that_nginx_would_change_come_first() -> None:
    head = hop(
        b"Gatebook Header Host: h:1\r\n", b"Gatebook Header TE: a: b\r\n", b"Content-Length: 5\r\n", b"X-y: 1\r\n"
    )
    assert split(head).headers == [["Host", "h:1"], ["TE", "a: b"], ["X-y", "1"]]
    assert split(head).body_length == 5


def test_a_forged_private_header_is_the_clients_own() -> None:
    """A client cannot send a name with a blank; what it can send is recorded and not believed."""
    forged = b"Gatebook-Stamp: ffff 0.000 https 10.0.0.1\r\nGatebook-Header-Host: evil\r\n"
    found = split(hop(b"Gatebook Header Host: h\r\n", forged))
    assert found.peer == "192.0.2.1"
    assert found.headers[1:] == [["Gatebook-Stamp", "ffff 0.000 https 10.0.0.1"], ["Gatebook-Header-Host", "evil"]]


def test_an_oversize_body_is_not_waited_for() -> None:
    found = split(hop(b"Gatebook Oversize: 1\r\n", b"Gatebook Header Host: h\r\n", b"Content-Length: 99\r\n"))
    assert found.oversize
    assert found.body_length == 0
    assert found.headers == [["Host", "h"]]


@pytest.mark.parametrize("head", [b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost: h\r\n", b"\r\n", b""])
def test_what_did_not_come_through_the_load_balancer_is_told_apart(head: bytes) -> None:
    with pytest.raises(NotFromTheLoadBalancer):
        split(head)
