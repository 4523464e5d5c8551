"""The replica's one connection to the database: writes batches, comes back by itself.

Rules: `write` returns only after COMMIT. When the connection is lost in the middle, the batch is written again on a new
one while the deadline allows: its ids make that harmless. Once a deadline has passed in vain the database counts as
away, and everything is refused at once until a connection stands again. That is looked for from the moment that the old
one is lost, whether or not there is anything to write.
"""

import asyncio
import sys
import time
from collections.abc import Sequence
from operator import itemgetter

import asyncpg
import orjson

from gatebook.app.capture import Record
from gatebook.app.journal import NotRecorded
from gatebook.app.page import ROWS, SHOWN, Seen, seen
from gatebook.db.connect import AWAY, Connection, connect, connect_once, login
from gatebook.db.queries import QUERIES
from gatebook.errors import UserError
from gatebook.settings import Settings

FLUSH_DEADLINE_S = 4.0  # shorter than the load balancer's proxy_read_timeout, so that we answer, not it
_RECONNECT_WAIT_S = 0.1
_RECONNECT_TIMEOUT_S = 15.0
_SAY_SO_EVERY_S = 5.0

_LATE_BATCHES = 100  # how many may have been written since the last read, for it to be short
_BATCHES_LAST_S = 3600.0  # and how long ago that may be: far less than the day after which batches are pruned

_LOST = (
    *AWAY,
    asyncpg.InterfaceError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.InvalidAuthorizationSpecificationError,
)
# Of each element of an array asyncpg asks, by way of abstract base classes, whether it is an array itself: 22 such
# questions a row, and three quarters of what encoding it costs. Here arrays are lists and tuples, and nothing else is.
setattr(asyncpg.protocol.protocol, "IterableABC", (list, tuple))  # noqa: B010  # its stubs do not know the name

_CONNECTION = {"application_name": "gatebook replica", "jit": "off", "plan_cache_mode": "force_generic_plan"}
_NO_RECORDS: list[tuple[object, ...]] = [() for _ in Record._fields]


class Writer:
    """Writes batches as gatebook_capture. One write at a time."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._connection: Connection | None = None
        self._flush: asyncpg.prepared_stmt.PreparedStatement[asyncpg.Record]
        self._snapshot: str  # of the last read of batches: what it did not see is still to be read
        self._read_at: float  # when that was, in Unix time
        self._noted = ""  # what our last batch said of its newest: no news to us
        self._missed: list[Seen] = []  # the newest rows when the connection was made
        self._away = False
        self._reconnecting: asyncio.Task[None] | None = None

    @property
    def ready(self) -> bool:
        """Whether the database was there when we last looked."""
        return self._connection is not None

    async def start(self) -> None:
        """Connect, migrating first if that is due. Raises UserError."""
        await self._use(await connect(self._settings, "capture"))

    async def write(self, records: Sequence[Record], wants_others: bool) -> list[Seen]:
        """Commit `records` in one transaction.

        Returns the newest of them, and with `wants_others` what was committed elsewhere since it was last wanted: all
        that can be among the ROWS newest. Raises NotRecorded when that failed or its outcome is unknown.
        """
        if self._away:
            raise NotRecorded("the database is away")
        # In one order, so that two replicas with the same retried ids do not wait for each other.
        records = sorted(records, key=itemgetter(0))
        try:
            async with asyncio.timeout(FLUSH_DEADLINE_S):
                while True:
                    try:
                        return await self._write(records, wants_others)
                    except asyncpg.UniqueViolationError:
                        records = await self._not_there_yet(records)
                    except asyncpg.TransactionRollbackError:
                        pass  # PostgreSQL says: try again
                    except _LOST as error:
                        await asyncio.shield(self._drop(str(error) or type(error).__name__))
        except TimeoutError:
            self._away = True
            self._drop(f"no answer within {FLUSH_DEADLINE_S:g} s")
            raise NotRecorded("the database does not answer; it may have written this all the same") from None
        except asyncpg.PostgresError as error:
            _say(f"the database refused a batch of {len(records)}: {type(error).__name__}: {error}")
            raise NotRecorded("the database refused to write") from None

    async def keep_house(self) -> None:
        """Have partitions made ahead and old batches pruned, on a connection of its own."""
        connection = await asyncpg.connect(**login(self._settings, "capture"))
        try:
            await connection.execute(QUERIES["keep_house"])
        finally:
            await connection.close()

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if self._reconnecting:
            self._reconnecting.cancel()
        if connection and not connection.is_closed():
            await connection.close(timeout=1)

    async def _write(self, records: Sequence[Record], wants_others: bool) -> list[Seen]:
        connection = self._connection
        if connection is None:
            raise asyncpg.InterfaceError("there is no connection")
        own = [seen(record, self._settings.replica) for record in records[-ROWS:]]
        noted = orjson.dumps(list(map(tuple, own))).decode()
        columns = list(zip(*records, strict=True)) or _NO_RECORDS
        limit = _LATE_BATCHES if wants_others else 0
        [row] = await self._flush.fetch(*columns, self._settings.replica, noted, self._snapshot, limit)
        others = await self._news(connection, row) if wants_others else []
        self._noted = noted
        return own + others

    async def _news(self, connection: Connection, row: asyncpg.Record) -> list[Seen]:
        """What was committed elsewhere between the last read and this one, `row`."""
        batches = [newest for newest in row["newest"] or () if newest and newest != self._noted]
        news = [Seen(*each) for newest in batches for each in orjson.loads(newest)]
        too_late = abs(time.time() - self._read_at) > _BATCHES_LAST_S
        news += await _latest(connection) if row["incomplete"] or too_late else self._missed
        self._snapshot, self._read_at, self._missed = row["snapshot"], time.time(), []
        return news

    async def _not_there_yet(self, records: Sequence[Record]) -> list[Record]:
        """Each record once, without those that another try has brought already."""
        if self._connection is None:
            raise asyncpg.ConnectionDoesNotExistError("there is no connection")
        there = {row[0] for row in await self._connection.fetch(QUERIES["recorded"], [row.id for row in records])}
        return [record for id, record in {record.id: record for record in records}.items() if id not in there]

    def _drop(self, why: str) -> asyncio.Task[None]:
        """Forget the connection, whose state nobody knows, and start to look for a new one."""
        connection, self._connection = self._connection, None
        if connection:
            _say(f"the database is away: {why}")
            connection.terminate()
        if self._reconnecting is None or self._reconnecting.done():
            self._reconnecting = asyncio.create_task(self._reconnect())
        return self._reconnecting

    async def _reconnect(self) -> None:
        loop = asyncio.get_running_loop()
        told = loop.time()
        while self._connection is None:
            await asyncio.sleep(_RECONNECT_WAIT_S)
            try:
                async with asyncio.timeout(_RECONNECT_TIMEOUT_S):
                    await self._use(await connect_once(self._settings, "capture"))
            except Exception as error:  # whatever it is, the next try may go well, and there must be one
                if loop.time() - told > _SAY_SO_EVERY_S:
                    told = loop.time()
                    why = error.what if isinstance(error, UserError) else str(error)
                    _say(f"the database is still away: {why or type(error).__name__}")
        _say("the database is back")

    async def _use(self, connection: Connection) -> None:
        try:
            for name, value in _CONNECTION.items():
                await connection.execute(f"SET {name} = '{value}'")
            self._flush = await connection.prepare(QUERIES["flush"])
            self._snapshot = await connection.fetchval(QUERIES["snapshot"])
            self._read_at = time.time()
            self._missed = await _latest(connection)
            connection.add_termination_listener(self._lost)
        except BaseException:
            connection.terminate()
            raise
        self._connection = connection
        self._away = False

    def _lost(self, connection: object) -> None:
        if connection is self._connection:
            self._drop("it closed the connection")


async def _latest(connection: Connection) -> list[Seen]:
    """The newest rows of all, from the table itself."""
    return [Seen(*row) for row in await connection.fetch(QUERIES["latest"], ROWS, SHOWN + 1)]


def _say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)
