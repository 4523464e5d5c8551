"""What a replica reads: the hop from the load balancer, and who a client says it is."""

import hashlib
import json
import re
import uuid
from ipaddress import ip_address, ip_network

from test_protocol import Application, Wire

from fuzz.bytes_of import Bytes
from fuzz.target import target
from gatebook.app import capture
from gatebook.app.hop import split
from gatebook.app.protocol import Connection

_LINES = [b"Gatebook Stamp: ", b"Gatebook Request: GET / HTTP/1.1\r\n", b"Gatebook Header Host: ", b"Content-Length: "]
_LINES += [b"Gatebook Oversize: 1\r\n", b"Transfer-Encoding", b"content-length", b"Expect", b"HTTP/1.0", b"\r\n\r\n"]
_STAMP = b"Gatebook Stamp: 0123456789abcdef0123456789abcdef 1763858054.123 http 192.0.2.1\r\n"
_POST = b"POST / HTTP/1.1\r\n" + _STAMP + b"Gatebook Request: POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc"
_MS = 1_763_858_054_123


def _name(given: Bytes) -> str:
    """What nginx accepts for one."""
    kept = [character for character in given.wire(20) if character > " " and character not in ":\x7f"]
    return "".join(kept) or "x"


def _value(given: Bytes) -> str:
    return given.wire(60).translate({0: None, 10: None, 13: None}).strip(" ")


@target("hop", _LINES, [b"", b"\x02\x05hello\x03a\xffb\x01"])
def hop(data: bytes) -> None:
    """A request framed as nginx frames it comes out as it went in, and so does its record."""
    given = Bytes(data)
    id, ms = given.number(2**128), given.number(9_999_999_999_999 - 10**12) + 10**12
    moved = given.several(lambda: (given.choice(["Host", "TE", "Content-Length", "Expect"]), _value(given) or "1"), 3)
    sent = given.several(lambda: (_name(given), _value(given)))
    words = [given.choice(["GET", "POST", "A_-"]), "/" + _value(given).replace(" ", ""), "HTTP/1.1"][
        : given.number(2) + 2
    ]
    oversize, limit, body = given.flag(), given.number(64), given.rest()
    head = [
        "GET / HTTP/1.1",
        f"Gatebook Stamp: {id:032x} {ms // 1000}.{ms % 1000:03} https 2001:db8::1",
        f"Gatebook Request: {' '.join(words)}",
        *(["Gatebook Oversize: 1"] if oversize else []),
        *(f"Gatebook Header {name}: {value}" for name, value in moved),
        *([f"Content-Length: {len(body)}"] if body else []),
        *(f"{name}: {value}" for name, value in sent),
    ]
    found = split("".join(f"{line}\r\n" for line in head).encode("latin-1"))
    headers = [list(header) for header in [*moved, *sent]]
    assert found.headers == headers
    assert found.body_length == (0 if oversize else len(body))
    kept = capture.Body(len(body), limit) if body and not oversize else None
    if kept:
        _feed(kept, body)
    record = capture.record(found, kept, ())
    digits = f"{id:032x}"
    expected = (ms << 80) | (7 << 76) | (int(digits[:3], 16) << 64) | (2 << 62) | (int(digits[3:19], 16) % (1 << 62))
    assert uuid.UUID(record.id).int == expected
    assert json.loads(record.headers) == headers
    assert (record.method, record.target) == (words[0], words[1])
    assert record.http_version == ("1.1" if len(words) == 3 else "0.9")
    if oversize:
        assert (record.body, record.status, record.truncated) == (None, 413, True)
        return
    assert record.body_size == len(body)
    assert record.body == (body[:limit] if limit else b"")
    truncated = 0 < limit < len(body)
    assert record.truncated == truncated
    assert record.body_sha256 == (hashlib.sha256(body).digest() if truncated else None)


def _feed(kept: capture.Body, body: bytes) -> None:
    at = 0
    while not kept.complete:
        step = 1 + (at * 7) % 13
        at += kept.feed(body[at : at + step])
    assert at == len(body)


@target("protocol", _LINES, [_POST, _POST * 3, b"GET /_/health/live HTTP/1.1\r\nHost: h\r\n\r\n"])
def protocol(data: bytes) -> None:
    """Whatever comes on the hop, in whatever pieces: nothing is raised, and what is read does not depend on the pieces.

    At most one answer is waited for, and room that was taken is given back.
    """
    whole, pieces = _spoken(data, len(data) + 1), _spoken(data, 1 + len(data) % 7)
    assert whole == pieces


def _spoken(data: bytes, step: int) -> tuple[bytes, list[object]]:
    application = Application(1 << 20)
    connection, wire = Connection(application), Wire()
    wire.abort = wire.close  # type: ignore[method-assign]
    connection.connection_made(wire)
    for at in range(0, len(data), step):
        if wire.closed:
            break
        connection.data_received(data[at : at + step])
        while _unanswered(application, wire):
            application.exchanges[wire.written.count(b"\r\nN: ")].answer(
                f"HTTP/1.1 200 OK\r\nN: {len(application.exchanges)}\r\n", b""
            )
    read: list[object] = [(each.hop, bytes(each.body.kept) if each.body else None) for each in application.exchanges]
    connection.connection_lost(None)
    assert application.budget.used == 0
    assert application.connections == set()
    return wire.written, read


def _unanswered(application: Application, wire: Wire) -> bool:
    waiting = len(application.exchanges) - wire.written.count(b"\r\nN: ")
    assert waiting in (0, 1), "the next one is read before this one is answered"
    return waiting == 1


_TRUSTED = (ip_network("10.0.0.0/8"), ip_network("2001:db8::/32"), ip_network("192.0.2.1"))
_ADDRESSES = [
    b"10.1.2.3",
    b"8.8.8.8",
    b"[2001:db8::1]:80",
    b"2001:db8::2",
    b"::ffff:10.0.0.1",
    b"fe80::1%eth0",
    b"unknown",
]


@target("client", [*_ADDRESSES, b", ", b","], [b"\x00\x02" + b"\x148.8.8.8, 10.1.2.3, x", b"\x01\x01\x0810.0.0.1"])
def client(data: bytes) -> None:
    """The client is the nearest address that no trusted proxy has; nothing that stands left of it matters."""
    given = Bytes(data)
    peer = given.choice(["10.0.0.1", "8.8.8.8", "2001:db8::9", "2001:db9::9"])
    headers = given.several(
        lambda: [given.choice(["X-Forwarded-For", "x-forwarded-FOR", "X-Real-IP"]), given.wire(80)], 4
    )
    said = re.split("[, ]", ",".join(value for name, value in headers if name.lower() == "x-forwarded-for"))
    found = capture.client_address(peer, headers, _TRUSTED)
    ip_address(found)  # PostgreSQL takes it
    assert found == peer or any(found in word for word in said)
    assert capture.client_address(peer, headers, ()) == peer
    if not _is_trusted(peer):
        assert found == peer
        return
    if not _is_trusted(found):
        hearsay = [["X-Forwarded-For", "6.6.6.6"], *headers, ["X-Forwarded-For", "10.9.9.9, 10.8.8.8"]]
        assert capture.client_address(peer, hearsay, _TRUSTED) == found
    assert capture.client_address(peer, [*headers, ["X-Forwarded-For", "9.9.9.9"]], _TRUSTED) == "9.9.9.9"


def _is_trusted(address: str) -> bool:
    found = ip_address(address)
    return any((getattr(found, "ipv4_mapped", None) or found) in network for network in _TRUSTED)
