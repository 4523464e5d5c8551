"""Where a batch goes: into the database, and while that is away into the spool.

Rules: a circuit breaker decides, so that one batch waits for a deadline and not each. It opens when the database
fails a batch, or leaves us without knowing how it ended; it closes when a real write has gone well again (see
drain.py). Every batch is settled within ANSWER_WITHIN_S of its oldest request, before the load balancer would ask
another replica.
"""

import asyncio
import sqlite3
import time
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from operator import itemgetter
from typing import Any, Literal, NamedTuple, TypeVar

from gatebook.app.capture import Record
from gatebook.app.journal import NotRecorded
from gatebook.app.metrics import Metrics
from gatebook.app.page import ROWS, Seen, seen
from gatebook.app.writer import Unwritable, Writer
from gatebook.spool import Spool, SpoolError

ANSWER_WITHIN_S = 4.5  # the load balancer's proxy_read_timeout is 6 s, and the body may have waited for 1
FLUSH_WITHIN_S = 2.0  # what is left of these then is the spool's

_STUCK_S = 0.2

Durability = Literal["committed", "spooled"]
T = TypeVar("T")


class Written(NamedTuple):
    """How a batch was recorded, and the newest requests that are known by it."""

    durability: Durability
    seen: list[Seen]


class Recorder:
    """Writes one batch at a time, wherever it can be kept."""

    def __init__(self, replica: str, writer: Writer, spool: Spool, metrics: Metrics) -> None:
        self._replica = replica
        self._writer = writer
        self._spool = spool
        self._metrics = metrics
        self._thread = ThreadPoolExecutor(1, "spool")  # SQLite blocks; one at a time is all that it can do
        self._stuck: asyncio.Future[None] | None = None  # an append that nobody waits for any more
        self._spool_failed = False
        self.database_up = False  # the breaker: closed

    @property
    def ready(self) -> bool:
        """Whether a request that came now could be recorded, as far as we know."""
        return self.database_up or not (self._spool_failed or self._is_stuck)

    @property
    def spool_identity(self) -> str:
        return self._spool.identity

    async def write(self, records: Sequence[Record], wants_others: bool, deadline: float) -> Written:
        """Record a batch by `deadline` (the event loop's time). Raises NotRecorded."""
        started = time.perf_counter()
        if self.database_up:
            try:
                newest = await self._writer.write(records, wants_others, min(deadline, _now() + FLUSH_WITHIN_S))
            except Unwritable:
                pass  # one row it will not have; the others are told apart from it when they are drained
            except NotRecorded:
                self.database_up = False
            except Exception:  # a mistake of ours must not lose what the spool can keep
                traceback.print_exc()
                self.database_up = False
            else:
                self._metrics.flushed(len(records), time.perf_counter() - started)
                return Written("committed", newest)
        started = time.perf_counter()
        await self._append(records, deadline)
        self._metrics.spooled(len(records), time.perf_counter() - started)
        newest = [seen(record, self._replica) for record in sorted(records, key=itemgetter(0))[-ROWS:]]
        return Written("spooled", newest)

    async def in_spool(self, work: Callable[..., T], *arguments: Any) -> T:
        """Do something with the spool, in its turn. Raises SpoolError."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)
        except (sqlite3.Error, OSError) as error:
            raise SpoolError(str(error)) from None

    def close(self) -> None:
        """Leave what is spooled to whoever comes next."""
        self._thread.submit(self._spool.close)
        self._thread.shutdown()

    async def _append(self, records: Sequence[Record], deadline: float) -> None:
        if self._stuck:
            await asyncio.wait([self._stuck], timeout=_STUCK_S)  # it may be about to end
        if self._is_stuck:
            raise NotRecorded("the database is away, and the disk of the spool does not answer")
        if _now() > deadline:
            raise NotRecorded("the database did not answer in time")
        appending = asyncio.ensure_future(self.in_spool(self._spool.append, self._replica, records))
        try:
            async with asyncio.timeout_at(deadline):
                await asyncio.shield(appending)
        except TimeoutError:
            self._stuck = appending
            appending.add_done_callback(_look_away)
            raise NotRecorded("the database is away, and the disk of the spool is too slow") from None
        except SpoolError as error:
            self._spool_failed = True
            raise NotRecorded(f"the database is away, and {error}") from None
        self._spool_failed = False

    @property
    def _is_stuck(self) -> bool:
        return self._stuck is not None and not self._stuck.done()


def _now() -> float:
    return asyncio.get_running_loop().time()


def _look_away(appending: "asyncio.Future[None]") -> None:
    """Nobody waits for it any more, and its failure was answered for."""
    if not appending.cancelled():
        appending.exception()
