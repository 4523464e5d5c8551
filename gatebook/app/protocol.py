"""One connection from the load balancer: bytes in, exchanges out, answers back in order.

Rule: an answer belongs to the request that it was made for. The next request on a connection is looked at only once
the one before it is answered (nginx never sends it earlier). A body is read only once there is room for all of it; one
that has waited for room in vain is read past, since nginx takes an answer before its end for a broken connection.
"""

import asyncio
from typing import Protocol, cast

from gatebook.app.budget import Budget, Waiting
from gatebook.app.capture import Body
from gatebook.app.hop import Hop, split

_HEAD_LIMIT = 4 * 1024 * 1024  # nginx's own limits on headers are far lower

_CLOSE = "Connection: close\r\n"


class Exchange:
    """One request, complete with its body, that waits for its answer."""

    __slots__ = ("_connection", "body", "hop")

    def __init__(self, connection: "Connection", hop: Hop, body: Body | None) -> None:
        self._connection = connection
        self.hop = hop
        self.body = body

    def answer(self, head: str, body: bytes) -> None:
        """Send a response: status and header lines, each with its CRLF; the framing is added here."""
        self._connection.answer(head, body, is_head=self.hop.line.startswith("HEAD "))


class Application(Protocol):
    """Who takes the exchanges."""

    body_limit: int
    budget: Budget
    draining: bool
    connections: "set[Connection]"

    def received(self, exchange: Exchange) -> None:
        """A request is complete; answer it later."""

    def had_no_room(self, exchange: Exchange) -> None:
        """There was no room for a request's body, which was dropped; answer it."""

    def probed(self, target: str) -> tuple[str, bytes]:
        """Somebody asks the replica itself; returns the answer's head and body."""


class Connection(asyncio.Protocol):
    """Head, body, answer, and again."""

    _transport: asyncio.Transport

    def __init__(self, application: Application) -> None:
        self._application = application
        self._buffer = b""
        self._hop: Hop | None = None  # of the request whose body arrives, or which waits for its answer
        self._body: Body | None = None
        self._waiting = False
        self._lost = False
        self._held = 0  # bytes of the budget
        self._wants_room: Waiting | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._application.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        self._application.connections.discard(self)
        if self._wants_room:
            self._wants_room.cancel()
        if not self._waiting:
            self._give_back()

    def data_received(self, data: bytes) -> None:
        if self._body and not self._waiting and not self._buffer:
            data = data[self._body.feed(data) :]  # bodies do not pass through the buffer
        self._buffer = self._buffer + data if self._buffer else data
        self._advance()

    def close_when_idle(self) -> None:
        """End the connection now if it has no request; else its answer will end it."""
        if self._hop is None and not self._buffer:
            self._transport.close()

    def answer(self, head: str, body: bytes, is_head: bool) -> None:
        self._give_back()
        if self._lost:
            return  # the load balancer gave up and asks elsewhere, with the same id
        closing = self._application.draining
        frame = f"{head}Content-Length: {len(body)}\r\n{_CLOSE if closing else ''}\r\n".encode()
        self._transport.write(frame if is_head else frame + body)
        self._hop, self._body, self._waiting = None, None, False
        if closing:
            self._transport.close()
        elif self._buffer:
            self._advance()

    def _advance(self) -> None:
        """Go as far as what has arrived allows."""
        if self._waiting:
            return
        hop = self._hop = self._hop or self._read_head()
        if hop is None or self._wants_room:
            return
        if self._body and not self._body.complete:
            if self._buffer:
                self._buffer = self._buffer[self._body.feed(self._buffer) :]
            if not self._body.complete:
                return
        self._waiting = True
        exchange = Exchange(self, hop, self._body)
        if self._body and not self._held:
            self._application.had_no_room(exchange)
        else:
            self._application.received(exchange)

    def _read_head(self) -> Hop | None:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > _HEAD_LIMIT:
                self._transport.abort()
            return None
        head = self._buffer[: end + 2]
        self._buffer = self._buffer[end + 4 :]
        try:
            hop = split(head)
        except (ValueError, IndexError):  # NotFromTheLoadBalancer, or somebody who says to be it
            self._answer_stranger(head)
            return None
        if hop.body_length:
            self._make_room(hop.body_length)
        return hop

    def _make_room(self, length: int) -> None:
        """Begin a body, at once or when there is room for what is kept of it."""
        size = min(length, self._application.body_limit)

        def begin(granted: bool) -> None:
            self._held = size if granted else 0
            self._body = Body(length, size if granted else 0)

        def begin_late(granted: bool) -> None:
            self._wants_room = None
            begin(granted)
            self._transport.resume_reading()
            self._advance()

        if self._application.budget.take(size):
            return begin(True)
        self._transport.pause_reading()
        self._wants_room = self._application.budget.wait(size, begin_late)

    def _give_back(self) -> None:
        if self._held:
            held, self._held = self._held, 0
            self._application.budget.give(held)

    def _answer_stranger(self, head: bytes) -> None:
        words = head.split(b" ", 2)
        target = words[1].decode("latin-1") if len(words) > 2 else ""
        answer, body = self._application.probed(target)
        self._transport.write(f"{answer}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)
        self._transport.close()
