"""One replica: takes what the load balancer sends, has it written down, answers.

Shutdown, in order: answer what still comes with `Connection: close` for a while, so that the load balancer looks
elsewhere; close the listener; finish what was taken; close the database.
"""

import asyncio
import re
import signal
import sys
import traceback
from collections.abc import Sequence
from functools import lru_cache

from gatebook import listen, operating_system
from gatebook.app import answers, capture
from gatebook.app.journal import Journal, NotRecorded
from gatebook.app.page import Page, Seen, seen
from gatebook.app.protocol import Connection, Exchange
from gatebook.app.recent import Recent
from gatebook.app.writer import Writer
from gatebook.settings import Address, Settings

DRAIN_S = 2.0  # answers with `Connection: close` before the listener goes
LINGER_S = 1.5  # then a TCP address still refuses at once, where a vanished one would time out
_FINISH_S = 8.0
_KEEP_HOUSE_EVERY_S = 3600.0
_KEEP_HOUSE_AGAIN_S = 60.0
_RETURN_MEMORY_EVERY_S = 5.0

_ROOT = re.compile(r"(?:/|[a-z][a-z0-9+.-]*://[^/?]*/?)(?:\?.*)?", re.IGNORECASE | re.DOTALL)
_HOST = re.compile(r"[A-Za-z0-9._-]+(?::[0-9]+)?|\[[0-9a-fA-F:.]+\](?::[0-9]+)?")


class Entry:
    """An exchange, what is recorded of it, and whether it is answered with the page."""

    __slots__ = ("exchange", "record", "shows_page")

    def __init__(self, exchange: Exchange, record: capture.Record) -> None:
        self.exchange = exchange
        self.record = record
        self.shows_page = is_page(record)


class Replica:
    """Ties the parts together; the protocol's application and the journal's writer and teller."""

    def __init__(self, settings: Settings) -> None:
        self._name = settings.replica
        self._trusted = settings.trusted_proxies
        self._page = Page()
        self._recent = Recent(self._page)
        self._writer = Writer(settings)
        self._journal = Journal(self._write, self._committed, self._refused)
        self.body_limit = settings.body_limit
        self.draining = False
        self.connections: set[Connection] = set()

    def received(self, exchange: Exchange) -> None:
        try:
            entry = Entry(exchange, capture.record(exchange.hop, exchange.body, self._trusted))
            self._journal.submit(entry)
        except NotRecorded as error:
            exchange.answer(*answers.refusal(str(error)))
        except Exception:  # a mistake of ours is this request's alone, and final: no other replica would do better
            traceback.print_exc()
            exchange.answer(*answers.refusal("this replica failed at it"))

    def probed(self, target: str) -> tuple[str, bytes]:
        match target:
            case "/_/health/live":
                return answers.health(True, "live")
            case "/_/health/ready":
                ready = self._writer.ready and not self.draining
                return answers.health(
                    ready, "ready" if ready else "stopping" if self.draining else "the database is away"
                )
        return answers.not_for_you()

    async def run(self, address: Address) -> None:
        """Serve on `address` until SIGTERM or SIGINT. Raises UserError when it cannot start."""
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        stopping = asyncio.create_task(stop.wait())
        starting = asyncio.create_task(self._writer.start())
        await asyncio.wait([stopping, starting], return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            starting.cancel()  # told to stop before the database was there
            return
        starting.result()  # raises what kept it from starting
        writing = asyncio.create_task(self._journal.run())
        housekeeping = [asyncio.create_task(self._keep_house()), asyncio.create_task(_return_memory())]
        server = await loop.create_server(lambda: Connection(self), sock=listen.bind(address), backlog=listen.BACKLOG)
        print(f"{self._name} records, listening on {address}", file=sys.stderr, flush=True)
        await asyncio.wait([stopping, writing], return_when=asyncio.FIRST_COMPLETED)
        if not writing.done():
            await self._drain(server, lingers=not address.path)
            self._journal.close()
        await asyncio.wait_for(writing, _FINISH_S)
        for task in housekeeping:
            task.cancel()
        await self._writer.close()

    async def _drain(self, server: asyncio.Server, lingers: bool) -> None:
        self.draining = True
        had_company = bool(self.connections)
        await self._until_alone(DRAIN_S)
        server.close()
        for connection in list(self.connections):
            connection.close_when_idle()
        await self._until_alone(_FINISH_S)
        if had_company and lingers:
            await asyncio.sleep(LINGER_S)

    async def _until_alone(self, longest_s: float) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + longest_s
        while self.connections and loop.time() < deadline:  # noqa: ASYNC110  # not worth an event per connection
            await asyncio.sleep(0.02)

    async def _write(self, batch: Sequence[Entry]) -> list[Seen]:
        shows_page = any(entry.shows_page for entry in batch)
        return await self._writer.write([entry.record for entry in batch], shows_page)

    def _committed(self, batch: Sequence[Entry], newest: list[Seen]) -> None:
        self._recent.learn(newest)
        for entry in batch:
            entry.exchange.answer(*self._acknowledgement(entry))

    def _acknowledgement(self, entry: Entry) -> tuple[str, bytes]:
        record = entry.record
        if entry.shows_page:
            try:
                own = seen(record, self._name)
                html = self._recent.html(own, origin(record.scheme, _host(entry.exchange.hop.headers)))
                recorded = answers.recorded_as(record.id, self._name, "committed")
                return answers.page(html, self._page.content_security_policy, recorded)
            except Exception:  # what we fail to show is recorded all the same
                traceback.print_exc()
        return answers.receipt(record.status, record.id, self._name, "committed")

    def _refused(self, batch: Sequence[Entry], error: NotRecorded) -> None:
        for entry in batch:
            entry.exchange.answer(*answers.refusal(str(error)))

    async def _keep_house(self) -> None:
        while True:
            try:
                await self._writer.keep_house()
                wait = _KEEP_HOUSE_EVERY_S
            except Exception as error:  # whatever it is, recording goes on and the next try comes
                print(f"housekeeping failed: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
                wait = _KEEP_HOUSE_AGAIN_S
            await asyncio.sleep(wait)


async def _return_memory() -> None:
    while True:
        await asyncio.sleep(_RETURN_MEMORY_EVERY_S)
        operating_system.return_free_memory()


def is_page(record: capture.Record) -> bool:
    """Whether the answer is the page: GET or HEAD of a path that is exactly `/`, in origin or absolute form."""
    return record.method in ("GET", "HEAD") and record.status == 200 and _ROOT.fullmatch(record.target) is not None


@lru_cache(maxsize=256)
def origin(scheme: str, host: str) -> str:
    """What a client would put before a path, for the page's curl line; a strange Host is not repeated."""
    return f"{scheme}://{host if _HOST.fullmatch(host) else 'localhost'}"


def _host(headers: Sequence[Sequence[str]]) -> str:
    """The Host header: the load balancer always puts it first."""
    return headers[0][1] if headers and headers[0][0] == "Host" else ""
