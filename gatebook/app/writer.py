"""The replica's one connection to the database: writes batches, comes back by itself.

Rule: `write` returns only after COMMIT. When the connection is lost in the middle, the batch is written again on a new
one while the deadline allows: its ids make that harmless. Once a deadline has passed in vain the database counts as
away, and everything is refused at once until a connection stands again.
"""

import asyncio
import sys
from collections.abc import Sequence

import asyncpg

from gatebook.app.capture import Record
from gatebook.app.journal import NotRecorded
from gatebook.app.page import ROWS, Seen
from gatebook.db.connect import AWAY, Connection, connect, login
from gatebook.db.queries import QUERIES
from gatebook.settings import Settings

FLUSH_DEADLINE_S = 4.0  # shorter than the load balancer's proxy_read_timeout, so that we answer, not it
_RECONNECT_WAIT_S = 0.1
_SAY_SO_EVERY_S = 5.0

_LOST = (
    *AWAY,
    asyncpg.InterfaceError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.InvalidAuthorizationSpecificationError,
)
_CONNECTION = {"application_name": "gatebook replica", "jit": "off", "plan_cache_mode": "force_generic_plan"}


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
        return self._connection is not None and not self._connection.is_closed()

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
        columns = list(zip(*records, strict=True))
        try:
            async with asyncio.timeout(FLUSH_DEADLINE_S):
                while True:
                    try:
                        return await self._write(columns, known, floor, wanted)
                    except _LOST as error:
                        await self._reconnected(error)
        except TimeoutError:
            self._away = True
            self._drop(f"no answer within {FLUSH_DEADLINE_S:g} s")
            raise NotRecorded("the database does not answer") from None
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
        if self._reconnecting:
            self._reconnecting.cancel()
        if self._connection and not self._connection.is_closed():
            await self._connection.close(timeout=1)

    async def _write(
        self, columns: list[tuple[object, ...]], known: Sequence[str], floor: str, wanted: int
    ) -> list[Seen]:
        if self._connection is None:
            raise asyncpg.InterfaceError("there is no connection")
        rows = await self._flush.fetch(*columns, self._settings.replica, known, floor, wanted)
        return [Seen(*row) for row in rows]

    async def _reconnected(self, error: BaseException) -> None:
        await asyncio.shield(self._drop(str(error) or type(error).__name__))

    def _drop(self, why: str) -> asyncio.Task[None]:
        """Forget the connection, whose state nobody knows, and start to look for a new one."""
        if self._connection:
            _say(f"the database is away: {why}")
            self._connection.terminate()
            self._connection = None
        if self._reconnecting is None or self._reconnecting.done():
            self._reconnecting = asyncio.create_task(self._reconnect())
        return self._reconnecting

    async def _reconnect(self) -> None:
        loop = asyncio.get_running_loop()
        told = loop.time()
        while True:
            await asyncio.sleep(_RECONNECT_WAIT_S)
            try:
                await self._use(await asyncpg.connect(**login(self._settings, "capture")))
            except (*_LOST, asyncpg.PostgresError) as error:
                if loop.time() - told > _SAY_SO_EVERY_S:
                    told = loop.time()
                    _say(f"the database is still away: {error or type(error).__name__}")
            else:
                _say("the database is back")
                return

    async def _use(self, connection: Connection) -> None:
        for name, value in _CONNECTION.items():
            await connection.execute(f"SET {name} = '{value}'")
        self._flush = await connection.prepare(QUERIES["flush"])
        self._connection = connection
        self._away = False


def _say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)
