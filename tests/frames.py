"""HTTP/2 frame by frame, for what no client would send: one connection that pushes bytes and asks no one.

Nothing here waits longer than it is told to; that the server ends the connection is an answer like any other.
"""

import select
import socket
import ssl
import time
from collections.abc import Iterable
from urllib.parse import urlsplit

from certificates import NAME, trusting_anybody
from hpack import Encoder, NeverIndexedHeaderTuple
from hyperframe.frame import DataFrame, HeadersFrame, RstStreamFrame, SettingsFrame

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + SettingsFrame(0).serialize()
LATEST_ENTRY = b"\xbe"  # the field that was put into the table last, once more (RFC 7541, 6.1: index 62)
_PIECE = 16 * 1024


def block(method: str, target: str, *more: tuple[str, str]) -> bytes:
    """The field block of a request; it leaves the table of what came before as it is."""
    fields = [(":method", method), (":scheme", "https"), (":path", target), (":authority", NAME), *more]
    return Encoder().encode([NeverIndexedHeaderTuple(name, value) for name, value in fields], huffman=False)


def head(stream: int, fields: bytes, *, ends: bool = False, whole: bool = True) -> bytes:
    """A HEADERS frame; `ends`: no body follows; `whole`: neither do more fields."""
    flags = ["END_STREAM"] * ends + ["END_HEADERS"] * whole
    return bytes(HeadersFrame(stream, data=fields, flags=flags).serialize())


def data(stream: int, content: bytes, *, ends: bool = True) -> bytes:
    return bytes(DataFrame(stream, data=content, flags=["END_STREAM"] * ends).serialize())


def reset(stream: int) -> bytes:
    return bytes(RstStreamFrame(stream, error_code=8).serialize())


def streams(count: int) -> Iterable[int]:
    """The numbers of a client's first streams."""
    return range(1, 2 * count, 2)


class Raw:
    """A connection whose preface is sent. `reads`: what comes is read (and dropped) while something is pushed."""

    def __init__(self, url: str, reads: bool = True) -> None:
        place = urlsplit(url)
        plain = socket.socket(socket.AF_INET)
        if not reads:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        plain.settimeout(30)
        plain.connect((place.hostname, place.port))
        self.socket = trusting_anybody("h2").wrap_socket(plain, server_hostname=NAME)
        assert self.socket.selected_alpn_protocol() == "h2"
        self.socket.sendall(PREFACE)
        self.socket.setblocking(False)
        self.ended = False
        self._reads = reads

    def push(self, content: bytes, within_s: float = 5) -> bool:
        """Send it; whether all of it went. It does not when the server ends the connection, or stops reading."""
        rest, deadline = memoryview(content), time.monotonic() + within_s
        while rest and not self.ended and time.monotonic() < deadline:
            sent = self._send(rest[:_PIECE])
            rest = rest[sent:]
            if not (sent or (self._reads and self._read())):
                select.select([self.socket] if self._reads else [], [self.socket], [], 0.05)
        return not rest

    def ends(self, within_s: float = 10) -> bool:
        """Whether the server ends the connection; reads until then."""
        deadline = time.monotonic() + within_s
        while not self.ended and time.monotonic() < deadline:
            if not self._read():
                select.select([self.socket], [], [], 0.05)
        return self.ended

    def close(self) -> None:
        self.socket.close()

    def _send(self, part: memoryview) -> int:
        try:
            return self.socket.send(part)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return 0
        except OSError:
            self.ended = True
            return 0

    def _read(self) -> bool:
        try:
            came = self.socket.recv(_PIECE)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return False
        except OSError:
            came = b""
        self.ended = self.ended or not came
        return bool(came)
