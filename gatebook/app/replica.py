"""One replica: takes what the load balancer sends, has it written down, answers.

Start: with the database, or after a short wait without it. Shutdown, in order: answer what still comes with
`Connection: close` for a while, so that the load balancer looks elsewhere; close the listener; finish what was taken;
close the database and leave the spool.
"""

import asyncio
import re
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from functools import lru_cache

from gatebook import listen, operating_system
from gatebook.access import Access, Hidden
from gatebook.app import answers, capture
from gatebook.app.budget import Budget
from gatebook.app.drain import Drain
from gatebook.app.journal import Journal, NotRecorded
from gatebook.app.metrics import Metrics, State
from gatebook.app.page import Page, seen
from gatebook.app.protocol import Connection, Exchange
from gatebook.app.recent import Recent
from gatebook.app.recorder import ANSWER_WITHIN_S, Durability, Recorder, Written
from gatebook.app.writer import Writer
from gatebook.redact import Redaction
from gatebook.settings import Address, Settings
from gatebook.spool import Spool

DRAIN_S = 2.0  # answers with `Connection: close` before the listener goes
LINGER_S = 1.5  # then a TCP address still refuses at once, where a vanished one would time out
_FINISH_S = 8.0
_KEEP_HOUSE_EVERY_S = 3600.0
_KEEP_HOUSE_AGAIN_S = 60.0
_RETURN_MEMORY_EVERY_S = 5.0

_AWAY = (
    b"<p role=alert><strong>The database is away.</strong> Your request is safe in this host's spool, and moves into "
    b"the database when it is back."
)
_MEANWHILE = b" Until then you see here what this replica has seen."
_ROOT = re.compile(r"(?:/|[a-z][a-z0-9+.-]*://[^/?]*/?)(?:\?.*)?", re.IGNORECASE | re.DOTALL)
_HOST = re.compile(r"[A-Za-z0-9._-]+(?::[0-9]+)?|\[[0-9a-fA-F:.]+\](?::[0-9]+)?")


class Entry:
    """An exchange, what is recorded of it, when it was complete, whether it is answered with the page, and if so, why
    without what others sent.
    """

    __slots__ = ("arrived", "exchange", "hidden", "record", "shows_page")

    def __init__(self, exchange: Exchange, record: capture.Record, arrived: float) -> None:
        self.exchange = exchange
        self.record = record
        self.arrived = arrived
        self.shows_page = is_page(record)
        self.hidden: Hidden | None = None


class Replica:
    """Ties the parts together; the protocol's application and the journal's writer and teller."""

    def __init__(self, settings: Settings) -> None:
        self._name = settings.replica
        self._trusted = settings.trusted_proxies
        self._access = Access(settings)
        self._page = Page(Redaction(settings.redact))
        self._recent = Recent(self._page)
        self._metrics = Metrics(settings.replica, self._state)
        self._writer = Writer(settings, self._metrics.deduplicated, self._recent)
        self._spool = Spool(settings.spool, settings.spool_limit)
        self._recorder = Recorder(settings.replica, self._writer, self._spool, self._metrics)
        self._journal = Journal(self._write, self._recorded, self._refused)
        self.body_limit = settings.body_limit
        self.budget = Budget()
        self.draining = False
        self.connections: set[Connection] = set()

    def received(self, exchange: Exchange) -> None:
        try:
            record = capture.record(exchange.hop, exchange.body, self._trusted)
            entry = Entry(exchange, record, asyncio.get_running_loop().time())
            if entry.shows_page and not self._access.open:
                entry.hidden = self._hides(exchange.hop.headers, record.client)
            del exchange.hop.headers[1:]  # they are in the record now, in a tenth of the room; Host is asked for again
            self._journal.submit(entry)
        except NotRecorded as error:
            self._refuse(exchange, str(error))
        except Exception:  # a mistake of ours is this request's alone, and final: no other replica would do better
            traceback.print_exc()
            self._refuse(exchange, "this replica failed at it")

    def had_no_room(self, exchange: Exchange) -> None:
        self._refuse(exchange, "this replica has more bodies to write than it can hold")

    def probed(self, target: str) -> tuple[str, bytes]:
        match target:
            case "/_/health/live":
                return answers.health(True, "live")
            case "/_/health/ready":
                return answers.health(self._recorder.ready and not self.draining, self._health())
            case "/_/metrics":
                return answers.metrics(self._metrics.text())
        return answers.not_for_you()

    def _health(self) -> str:
        """The words for it."""
        if self.draining:
            return "stopping"
        state = "ready" if self._recorder.ready else "the spool takes nothing"
        return state if self._recorder.database_up else f"{state}, the database is away"

    async def run(self, address: Address) -> None:
        """Serve on `address` until SIGTERM or SIGINT. Raises UserError when it cannot start."""
        self._spool.prepare()
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
        self._recorder.database_up = self._writer.ready
        writing = asyncio.create_task(self._journal.run())
        drain = Drain(self._recorder, self._writer, self._spool, self._metrics)
        background = [asyncio.create_task(work) for work in (self._keep_house(), _return_memory(), drain.run())]
        server = await loop.create_server(lambda: Connection(self), sock=listen.bind(address), backlog=listen.BACKLOG)
        print(f"{self._name} records, listening on {address}", file=sys.stderr, flush=True)
        await asyncio.wait([stopping, writing], return_when=asyncio.FIRST_COMPLETED)
        if not writing.done():
            await self._drain(server, lingers=not address.path)
            self._journal.close()
        await asyncio.wait_for(writing, _FINISH_S)
        for task in background:
            task.cancel()
        await asyncio.gather(*background, return_exceptions=True)
        await self._writer.close()
        self._recorder.close()

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

    async def _write(self, batch: Sequence[Entry]) -> Written:
        shows_page = any(entry.shows_page for entry in batch)
        deadline = batch[0].arrived + ANSWER_WITHIN_S
        return await self._recorder.write([entry.record for entry in batch], shows_page, deadline)

    def _recorded(self, batch: Sequence[Entry], written: Written) -> None:
        self._recent.learn(written.seen)
        for entry in batch:
            entry.exchange.answer(*self._acknowledgement(entry, written.durability))

    def _acknowledgement(self, entry: Entry, durability: Durability) -> tuple[str, bytes]:
        record = entry.record
        spool = self._recorder.spool_identity if durability == "spooled" else ""
        if entry.shows_page:
            try:
                own = seen(record, self._name)
                here = origin(record.scheme, _host(entry.exchange.hop.headers))
                notice = _AWAY if spool else b""
                recorded = answers.recorded_as(record.id, self._name, durability, spool)
                if entry.hidden:
                    html = self._page.locked(own, entry.hidden, here, notice)
                    return answers.page(html, self._page.locked_policy, recorded)
                html = self._recent.html(own, here, notice and notice + _MEANWHILE)
                return answers.page(html, self._page.content_security_policy, recorded)
            except Exception:  # what we fail to show is recorded all the same
                traceback.print_exc()
        return answers.receipt(record.status, record.id, self._name, durability, spool)

    def _hides(self, headers: Sequence[Sequence[str]], client: str) -> Hidden | None:
        cookies = [value for name, value in headers if name.lower() == "cookie"]
        return self._access.hides(client, _host(headers), cookies, time.time())

    def _refused(self, batch: Sequence[Entry], error: NotRecorded) -> None:
        for entry in batch:
            self._refuse(entry.exchange, str(error))

    def _refuse(self, exchange: Exchange, why: str) -> None:
        self._metrics.refused(1)
        exchange.answer(*answers.refusal(why))

    def _state(self) -> State:
        queued, spool = self._journal, self._spool
        return State(queued.rows, queued.bytes, self.budget.used, spool.rows, spool.bytes, self._recorder.database_up)

    async def _keep_house(self) -> None:
        while True:
            while not self._writer.ready:  # noqa: ASYNC110  # it may take a second more
                await asyncio.sleep(1)
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
