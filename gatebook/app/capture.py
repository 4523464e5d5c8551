"""From a split hop and a body to the record that is kept. Pure.

Rules: nothing a client says about where it comes from is believed unless a trusted proxy says it; wire text stays
latin-1, one character per byte. One thing is not written down: the value of a viewer's session, which would let in
whoever reads it.
"""

import hashlib
import re
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import ip_address
from typing import NamedTuple

import orjson

from gatebook.access import networks, session
from gatebook.app.hop import Hop
from gatebook.identity import request_uuid
from gatebook.settings import Network

_PLACE = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+))(?::([0-9]{1,5}))?")  # an address, perhaps with a port


class Record(NamedTuple):
    """One row of `requests`, but for the replica; the fields stand as the flush statement takes them."""

    id: str
    body_size: int | None
    peer: str
    client: str
    status: int
    truncated: bool
    scheme: str
    http_version: str
    method: str
    target: str
    headers: str  # JSON
    body: bytes | bytearray | None
    body_sha256: bytes | None
    tls: str | None = None  # JSON


class Body:
    """A body as it arrives: the first `limit` bytes are kept, all are counted, and hashed when not all are kept.

    With a `limit` of 0 it is dropped.
    """

    def __init__(self, length: int, limit: int) -> None:
        self.length = length
        self.kept = bytearray()
        self._limit = limit
        self._missing = length
        self._hash = hashlib.sha256() if 0 < limit < length else None

    def feed(self, data: bytes | memoryview) -> int:
        """Take what belongs to this body from the start of `data`; returns how many bytes that was."""
        part = data[: self._missing]
        self._missing -= len(part)
        if self._hash:
            self._hash.update(part)
        self.kept += part[: self._limit - len(self.kept)]
        return len(part)

    @property
    def complete(self) -> bool:
        return not self._missing

    @property
    def sha256(self) -> bytes | None:
        """Of the whole body, when only its beginning is kept."""
        return self._hash.digest() if self._hash else None


def record(hop: Hop, body: Body | None, trusted: Sequence[Network]) -> Record:
    """What is written down of a request; `body` is None when it had none, or an oversize one."""
    method, target, http_version = request_line(hop.line)
    kept: bytes | bytearray | None = body.kept if body else None if hop.oversize else b""
    sha256 = body.sha256 if body else None
    truncated = hop.oversize or sha256 is not None
    return Record(
        request_uuid(hop.request_id, hop.msec),
        body.length if body else declared_length(hop.headers) if hop.oversize else 0,
        hop.peer,
        client_address(hop.peer, hop.headers, trusted) if trusted else hop.peer,
        413 if truncated else 200,
        truncated,
        hop.scheme,
        http_version,
        method,
        target,
        _written(hop.headers),
        kept,
        sha256,
        tls_facts(*hop.tls) if hop.tls else None,
    )


def _written(headers: Sequence[Sequence[str]]) -> str:
    """Header lines as JSON, without the values of sessions; one look tells that there are none."""
    text = orjson.dumps(headers).decode()
    return orjson.dumps(session.withheld(headers)).decode() if session.COOKIE in text else text


def request_line(line: str) -> tuple[str, str, str]:
    """Method, target as sent, HTTP version (`1.1`) of a request line that nginx accepted; HTTP/0.9 sends no version."""
    words = [word for word in line.split(" ") if word]
    version = words[2].removeprefix("HTTP/") if len(words) > 2 else "0.9"
    return words[0], words[1], version


@lru_cache(maxsize=1024)
def tls_facts(version: str, cipher: str, server_name: str) -> str:
    """How a request came over TLS, as JSON; the load balancer writes `-` where the client named no server."""
    return orjson.dumps(
        {"version": version, "cipher": cipher, "server_name": None if server_name == "-" else server_name}
    ).decode()


def declared_length(headers: Sequence[Sequence[str]]) -> int | None:
    """What Content-Length says, if it is there."""
    for name, value in headers:
        if name.lower() == "content-length" and value.isdecimal():  # isdigit() takes ² for one
            return int(value.lstrip("0")[:19] or "0")  # as nginx counts; Python would balk at 5,000 zeros
    return None


def client_address(peer: str, headers: Sequence[Sequence[str]], trusted: Sequence[Network]) -> str:
    """The nearest address that is not a trusted proxy's: `peer`, then X-Forwarded-For from right to left.

    What stands left of the first untrusted address is hearsay, and the walk ends at a word that is no address, or
    with a line that begins with none; other empty words count for nothing (RFC 9110, 5.6.1). nginx finds the same.
    """
    client = peer
    if not _is_trusted(peer, tuple(trusted)):
        return client
    lines = [value.replace(",", " ") for name, value in headers if name.lower() == "x-forwarded-for"]
    words = [word for line in lines for at, word in enumerate(line.split(" ")) if word or not at]
    for word in reversed(words):
        address = _without_port(word)
        if not _is_address(address):
            break
        client = address
        if not _is_trusted(address, tuple(trusted)):
            break
    return client


def _without_port(word: str) -> str:
    match = _PLACE.fullmatch(word)
    if match is None or not 0 < int(match[3] or 1) < 65536:
        return word
    return match[1] or match[2]


def _is_address(word: str) -> bool:
    try:
        return "%" not in str(ip_address(word))  # PostgreSQL's inet knows no zones
    except ValueError:
        return False


@lru_cache(maxsize=4096)
def _is_trusted(address: str, trusted: tuple[Network, ...]) -> bool:
    return networks.within(networks.address(address), trusted)
