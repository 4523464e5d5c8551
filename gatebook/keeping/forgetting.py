"""Deletes what a filter finds, for good.

Rules: what tells of a request elsewhere goes first (what `batches` say of it for the page, its line in the load
balancer's log), its row last, in the transaction that notes its id in `forgotten` and counts it in the trail. So
wherever this ends, what is gone is noted as gone, and the same command goes on with what is left. Transactions are
short, take no lock that a capture waits for, and take half of the time at most.

Others learn of it by a batch without requests: replicas and viewers then ask `forgotten` for what they remember, and
whoever drains a spool asks it always. A request that is being answered, and tried on another replica at this very
moment, may be written once more by that; the same command finds it.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from uuid import UUID

import asyncpg

from gatebook.access_log.span import LATEST_MS
from gatebook.db.connect import Connection
from gatebook.filter import Expression
from gatebook.filter.expression import every_term
from gatebook.identity import unix_ms
from gatebook.keeping import lines
from gatebook.keeping.glance import Glance
from gatebook.keeping.keeper import OPERATOR, SQL
from gatebook.settings import Settings
from gatebook.viewer.database import Database
from gatebook.viewer.search import Search

ROWS = 1000  # of a transaction
PORTION = 20_000  # ids for which batches and the log are looked through once
_SETTLE_S = 2.0  # after which the load balancer has written a request's line
_LOOK_AGAIN_S = 1.0
_VACUUM = "VACUUM (ANALYZE, TRUNCATE false, INDEX_CLEANUP on)"  # to truncate takes a lock that captures wait for

Tell = Callable[[float], None]  # how much is done, from 0 to 1


async def glance(database: Database, expression: Expression, tell: Tell) -> Glance:
    """What would be forgotten. Raises Unavailable."""
    seen = Glance()
    async for rows in _pages(database, expression, None, tell):
        for row in rows:
            seen.add(row["id"], row["replica"], row["target"])
    return seen


class Forgetting:
    """Forgets what `expression` finds; `requests` of it so far."""

    def __init__(self, settings: Settings, connection: Connection, expression: Expression, reason: str | None) -> None:
        self.requests = 0
        self.lines = 0  # of the load balancer's log, that say no more what was sent
        self.log_error: OSError | None = None  # why they still do
        self._log = settings.access_log
        self._connection = connection
        self._expression = expression
        self._reason = reason
        self._act: int | None = None
        self._unlogged: list[str] = []  # whose line may still come
        self._days: set[str] = set()

    async def run(self, database: Database, newest: UUID | None, tell: Tell) -> None:
        """Do it, with what came up to `newest` (None: all). Raises UserError, Unavailable, asyncpg's errors."""
        below = UUID(int=min(newest.int + 1, 2**128 - 1)) if newest else None
        portion: list[UUID] = []
        async for rows in _pages(database, self._expression, below, tell):
            portion += [row["id"] for row in rows]
            if len(portion) >= PORTION:
                await self._forget(portion)
                portion = []
        await self._forget(portion)
        while self._unlogged and not self.log_error:  # an answer that is slow to leave is logged when it has left
            await asyncio.sleep(_LOOK_AGAIN_S)
            await self._take_out_of_log(self._unlogged)

    async def vacuum(self) -> None:
        """Have what was deleted go from the tables and from what the planner knows of them.

        Also of what went when this was cut short.
        """
        await self._connection.execute("SELECT pg_stat_force_next_flush()")
        days = self._days | {row["day"] for row in await self._connection.fetch(SQL["dead"])}
        tables = [*sorted(days), "batches"]
        await self._connection.execute(SQL["unlearn"], ["requests", *tables])
        for table in tables:
            await self._connection.execute(f"{_VACUUM} {table}")

    async def _forget(self, ids: list[UUID]) -> None:
        if not ids:
            return
        await self._hush(ids)
        await self._take_out_of_log([str(id) for id in ids])
        for first in range(0, len(ids), ROWS):
            began = time.monotonic()
            await self._delete(sorted(ids[first : first + ROWS]))
            await asyncio.sleep(time.monotonic() - began)

    async def _hush(self, ids: list[UUID]) -> None:
        xids = [row["xid"] for row in await self._connection.fetch(SQL["telling"], ids)]
        for first in range(0, len(xids), ROWS):
            await self._connection.execute(SQL["hush"], xids[first : first + ROWS])

    async def _take_out_of_log(self, ids: list[str]) -> None:
        await asyncio.sleep(min(max(_SETTLE_S - _age_s(max(ids)), 0), _SETTLE_S))
        if self.log_error:
            return
        try:
            found = await asyncio.to_thread(lines.forget, self._log, ids)
        except OSError as error:
            self.log_error = error
            return
        self.lines += len(found)
        late = [id for id in ids if id not in found and _age_s(id) * 1000 < LATEST_MS]
        looked_for = set(ids)
        self._unlogged = [id for id in self._unlogged if id not in looked_for] + late

    async def _delete(self, ids: Sequence[UUID]) -> None:
        """In one transaction. The trail's line is made with the first one."""
        async with self._connection.transaction():
            await self._connection.execute(SQL["lock"])
            act = self._act or await self._connection.fetchval(SQL["begin"], OPERATOR, self._about(), self._reason)
            [gone] = await self._connection.fetch(SQL["forget"], ids, ids[0], ids[-1], act)
        self._act = act
        self.requests += gone["requests"]
        self._days.update(gone["days"] or ())

    def _about(self) -> str:
        """The fields of the filter, and no value: that may be just what is to be forgotten."""
        return " ".join(sorted({term.field for term in every_term(self._expression)}))


def _age_s(id: str) -> float:
    return time.time() - max(unix_ms(id), 0) / 1000


async def _pages(
    database: Database, expression: Expression, below: UUID | None, tell: Tell
) -> AsyncIterator[list[asyncpg.Record]]:
    """All that it finds, newest first."""
    done = 0.0
    while True:
        search = Search(database, expression, ROWS, below, columns=SQL["found"])
        found = await search.run()
        yield found.rows
        done = max(done, 1 - (1 - done) * (1 - search.progress))
        tell(done)
        if found.next is None:
            return
        below = found.next
