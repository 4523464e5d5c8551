"""One connection from the load balancer: what is read when, and that each answer is its own request's."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from gatebook.app import budget as budget_module
from gatebook.app.budget import SMALL_BYTES, Budget
from gatebook.app.protocol import Connection, Exchange

LARGE = 2 * SMALL_BYTES


class Wire(asyncio.Transport):
    """What nginx would see."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.reads = True
        self.closed = False

    def write(self, data: bytes) -> None:
        self.written += data

    def pause_reading(self) -> None:
        self.reads = False

    def resume_reading(self) -> None:
        self.reads = True

    def close(self) -> None:
        self.closed = True


class Application:
    def __init__(self, limit: int) -> None:
        self.body_limit = 10 * LARGE
        self.budget = Budget(limit)
        self.draining = False
        self.connections: set[Connection] = set()
        self.exchanges: list[Exchange] = []
        self.roomless: list[Exchange] = []

    def received(self, exchange: Exchange) -> None:
        self.exchanges.append(exchange)

    def had_no_room(self, exchange: Exchange) -> None:
        self.roomless.append(exchange)
        exchange.answer("HTTP/1.1 503 No Room\r\n", b"")

    def probed(self, target: str) -> tuple[str, bytes]:
        return "HTTP/1.1 200 OK\r\n", target.encode()

    def connected(self) -> tuple[Connection, Wire]:
        connection, wire = Connection(self), Wire()
        connection.connection_made(wire)
        return connection, wire


def post(body: bytes, target: str = "/") -> bytes:
    stamp = f"Gatebook Stamp: {'0123456789abcdef' * 2} 1763858054.123 http 192.0.2.1\r\n"
    line = f"POST {target} HTTP/1.1\r\n"
    return f"{line}{stamp}Gatebook Request: {line}Content-Length: {len(body)}\r\n\r\n".encode() + body


def play(story: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(story())


def kept(exchange: Exchange) -> bytes:
    assert exchange.body
    return bytes(exchange.body.kept)


@pytest.mark.parametrize("step", [1, 7, 1000, 10**9])
def test_requests_come_in_pieces_of_any_size_and_are_answered_one_by_one(step: int) -> None:
    async def story() -> None:
        application = Application(LARGE)
        connection, wire = application.connected()
        sent = post(b"first", "/1") + post(b"", "/2") + post(b"x" * 3000, "/3")
        for at in range(0, len(sent), step):
            connection.data_received(sent[at : at + step])
        for number in range(3):
            assert len(application.exchanges) == number + 1
            application.exchanges[number].answer("HTTP/1.1 200 OK\r\n", b"%d" % number)
        assert [each.hop.line.split()[1] for each in application.exchanges] == ["/1", "/2", "/3"]
        assert kept(application.exchanges[2]) == b"x" * 3000
        assert wire.written.count(b"200 OK") == 3
        assert application.budget.used == 0

    play(story)


def test_a_body_without_room_is_not_read_until_there_is() -> None:
    async def story() -> None:
        application = Application(LARGE)
        (first, _), (second, wire) = application.connected(), application.connected()
        first.data_received(post(b"a" * LARGE))
        sent = post(b"b" * LARGE)
        second.data_received(sent[:1000])
        assert not wire.reads
        assert application.budget.used == LARGE
        application.exchanges[0].answer("HTTP/1.1 200 OK\r\n", b"")
        assert wire.reads
        second.data_received(sent[1000:])
        assert kept(application.exchanges[1]) == b"b" * LARGE

    play(story)


def test_a_body_that_came_whole_with_its_head_waits_too() -> None:
    async def story() -> None:
        application = Application(LARGE)
        (first, _), (second, _) = application.connected(), application.connected()
        first.data_received(post(b"a" * LARGE))
        second.data_received(post(b"b" * LARGE))
        assert len(application.exchanges) == 1
        application.exchanges[0].answer("HTTP/1.1 200 OK\r\n", b"")
        assert kept(application.exchanges[1]) == b"b" * LARGE

    play(story)


def test_a_body_that_has_waited_in_vain_is_read_past_and_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it is read, so that nginx gets the answer; and the connection is good for the next request."""
    monkeypatch.setattr(budget_module, "BUFFERED_WAIT_S", 0.01)

    async def story() -> None:
        application = Application(LARGE)
        (first, _), (second, wire) = application.connected(), application.connected()
        first.data_received(post(b"a" * LARGE))
        sent = post(b"b" * LARGE)
        second.data_received(sent[:1000])
        async with asyncio.timeout(10):
            while not wire.reads:
                await asyncio.sleep(0.01)
        second.data_received(sent[1000:-1])
        assert wire.written == b""
        second.data_received(sent[-1:])
        assert wire.written.startswith(b"HTTP/1.1 503")
        assert kept(application.roomless[0]) == b""
        assert application.budget.used == LARGE
        second.data_received(post(b"small"))
        assert kept(application.exchanges[1]) == b"small"

    play(story)


def test_room_is_given_back_when_the_connection_is_lost() -> None:
    """Half a body, a body that waits for room, and one that waits for its answer, which needs its room until then."""

    async def story() -> None:
        application = Application(3 * LARGE)
        (half, _), (whole, _), (waiting, _) = (application.connected() for _ in range(3))
        half.data_received(post(b"a" * LARGE)[:-1])
        whole.data_received(post(b"b" * LARGE))
        waiting.data_received(post(b"c" * 2 * LARGE))
        for connection in (waiting, half, whole):
            connection.connection_lost(None)
        assert application.budget.used == LARGE
        application.exchanges[0].answer("HTTP/1.1 200 OK\r\n", b"")
        assert application.budget.used == 0
        assert application.connections == set()
        assert application.budget.take(3 * LARGE)  # nobody who has gone is waited for

    play(story)


def test_a_stranger_is_answered_and_cut_off() -> None:
    async def story() -> None:
        connection, wire = Application(LARGE).connected()
        connection.data_received(b"GET /_/metrics HTTP/1.1\r\nHost: h\r\n\r\n")
        assert wire.written.endswith(b"/_/metrics")
        assert wire.closed

    play(story)
