"""An HTTP/2 client that sends what a test wants, and does as RFC 9113 says with what it is told."""

import socket
import ssl
from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

from certificates import NAME, trusting_anybody
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, ResponseReceived, StreamEnded, StreamReset
from wire import Answer

_FRAME_HEAD, _GOAWAY = 9, 7  # RFC 9113, 4.1 and 6.8
Fields = Sequence[tuple[bytes, bytes]]

# Nothing that a test sends is tidied up or refused on this side.
_AS_IT_IS = {
    "header_encoding": None,
    "validate_outbound_headers": False,
    "normalize_outbound_headers": False,
    "validate_inbound_headers": False,
}


class Unprocessed(Exception):
    """The server has not looked at the request, and says so: whoever sends it again does no harm (RFC 9113, 6.8)."""


class CutOff(Exception):
    """The server ended the stream or the connection in the middle of an answer."""


def fields(method: str, path: str, *headers: tuple[str, str], authority: str = NAME) -> list[tuple[bytes, bytes]]:
    """The header fields of an ordinary request, text being latin-1."""
    pseudo = ((":method", method), (":scheme", "https"), (":path", path), (":authority", authority))
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in (*pseudo, *headers)]


class Http2:
    """One connection, one request at a time."""

    def __init__(self, url: str, server_name: str = NAME, timeout_s: float = 30) -> None:
        place = urlsplit(url)
        raw = socket.create_connection((place.hostname, place.port), timeout_s)
        self.socket = trusting_anybody("h2").wrap_socket(raw, server_hostname=server_name)
        assert self.socket.selected_alpn_protocol() == "h2"
        self.protocol = H2Connection(H2Configuration(client_side=True, **_AS_IT_IS))
        self.protocol.initiate_connection()
        self._going = False
        self._begun = b""  # a frame of which not all has come

    def ask(self, headers: Fields, body: bytes = b"") -> Answer:
        """Send it, return the answer. Raises Unprocessed, CutOff."""
        if self._going:
            raise Unprocessed
        stream = self.protocol.get_next_available_stream_id()
        self.protocol.send_headers(stream, headers, end_stream=not body)
        self._flush()
        answer = _Answer(stream)
        rest = memoryview(body)
        while not answer.ended:
            room = min(
                self.protocol.local_flow_control_window(stream), self.protocol.max_outbound_frame_size, len(rest)
            )
            if room:
                self.protocol.send_data(stream, bytes(rest[:room]), end_stream=room == len(rest))
                rest = rest[room:]
                self._flush()
            else:
                self._read(answer)
        return Answer(answer.status, answer.headers, bytes(answer.body))

    def close(self) -> None:
        self.socket.close()

    def _read(self, answer: "_Answer") -> None:
        try:
            data = self.socket.recv(1 << 16)
        except (OSError, ssl.SSLError) as error:
            raise CutOff(str(error)) from None
        if not data:
            raise Unprocessed if self._going and not answer.begun else CutOff("the server hung up")
        for event in self.protocol.receive_data(b"".join(self._but_goodbyes(data, answer.stream))):
            match event:
                case StreamReset(stream_id=answer.stream, error_code=code):
                    if code == 7:  # REFUSED_STREAM
                        raise Unprocessed
                    raise CutOff(f"reset: {code!r}")
                case ResponseReceived(headers=headers):
                    told = {name.decode("latin-1"): value.decode("latin-1") for name, value in headers or ()}
                    answer.status, answer.headers, answer.begun = int(told.pop(":status")), told, True
                case DataReceived(data=part, flow_controlled_length=length):
                    answer.body += part or b""
                    self.protocol.acknowledge_received_data(length, answer.stream)
                case StreamEnded():
                    answer.ended = True
        self._flush()

    def _but_goodbyes(self, data: bytes, stream: int) -> Iterator[bytes]:
        """Whole frames; those that say goodbye are looked at here, since h2 would take no answer after them."""
        self._begun += data
        while len(self._begun) >= _FRAME_HEAD:
            end = _FRAME_HEAD + int.from_bytes(self._begun[:3], "big")
            if len(self._begun) < end:
                return
            frame, self._begun = self._begun[:end], self._begun[end:]
            if frame[3] != _GOAWAY:
                yield frame
                continue
            self._going = True
            if int.from_bytes(frame[_FRAME_HEAD : _FRAME_HEAD + 4], "big") & 0x7FFFFFFF < stream:
                raise Unprocessed

    def _flush(self) -> None:
        try:
            self.socket.sendall(self.protocol.data_to_send())
        except OSError as error:
            if not self._going:
                raise CutOff(str(error)) from None


class _Answer:
    def __init__(self, stream: int) -> None:
        self.stream = stream
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = bytearray()
        self.begun = self.ended = False
