"""The replica's one connection to the database: writes batches, comes back by itself.

Rules: `write` returns only after COMMIT. When the connection is lost in the middle, the batch is written again on a new
one while the deadline allows: its ids make that harmless. Once a deadline has passed in vain the database counts as
away, and everything is refused at once until a connection stands again. That is looked for from the moment that the old
one is lost, whether or not there is anything to write.
"""

import asyncio
import sys
from collections.abc import Sequence
from operator import itemgetter

import asyncpg

from gatebook.app.capture import Record
from gatebook.app.journal import NotRecorded
from gatebook.app.page import ROWS, Seen
from gatebook.db.connect import AWAY, Connection, connect, connect_once, login
from gatebook.db.queries import QUERIES
from gatebook.errors import UserError
from gatebook.settings import Settings

FLUSH_DEADLINE_S = 4.0  # shorter than the load balancer's proxy_read_timeout, so that we answer, not it
_RECONNECT_WAIT_S = 0.1
_RECONNECT_TIMEOUT_S = 15.0
_SAY_SO_EVERY_S = 5.0

_LOST = (
    *AWAY,
    asyncpg.InterfaceError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.InvalidAuthorizationSpecificationError,
)
_CONNECTION = {"application_name": "gatebook replica", "jit": "off", "plan_cache_mode": "force_generic_plan"}
_NO_RECORDS: list[tuple[object, ...]] = [() for _ in Record._fields]


class Writer:
    """Writes batches as gatebook_capture. One write at a time."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._connection: Connection | None = None
        self._flush: asyncpg.prepared_stmt.PreparedStatement[asyncpg.Record]
        self._away = False
        self._reconnecting: asyncio.Task[None] | None = None

    @property
    def ready(self) -> bool:
        """Whether the database was there when we last looked."""
        return self._connection is not None

    async def start(self) -> list[Seen]:
        """Connect, migrating first if that is due; returns the newest rows of all. Raises UserError."""
        connection = await connect(self._settings, "capture")
        await self._use(connection)
        return [Seen(*row) for row in await connection.fetch(QUERIES["latest"], ROWS)]

    async def write(self, records: Sequence[Record], known: Sequence[str], floor: str, wanted: int) -> list[Seen]:
        """Commit `records` in one transaction; returns up to `wanted` newest rows above `floor` but those `known`.

        Raises NotRecorded when that failed or its outcome is unknown.
        """
        if self._away:
            raise NotRecorded("the database is away")
        # In one order, so that two replicas with the same retried ids do not wait for each other.
        records = sorted(records, key=itemgetter(0))
        try:
            async with asyncio.timeout(FLUSH_DEADLINE_S):
                while True:
                    try:
                        return await self._write(records, known, floor, wanted)
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

    async def _write(self, records: Sequence[Record], known: Sequence[str], floor: str, wanted: int) -> list[Seen]:
        if self._connection is None:
            raise asyncpg.InterfaceError("there is no connection")
        columns = list(zip(*records, strict=True)) or _NO_RECORDS
        rows = await self._flush.fetch(*columns, self._settings.replica, known, floor, wanted)
        return [Seen(*row) for row in rows]

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
            connection.add_termination_listener(self._lost)
        except BaseException:
            connection.terminate()
            raise
        self._connection = connection
        self._away = False

    def _lost(self, connection: object) -> None:
        if connection is self._connection:
            self._drop("it closed the connection")


def _say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)
