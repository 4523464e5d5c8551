"""The replica's one connection to the database: writes batches, comes back by itself.

Rules: `write` returns only after COMMIT. When the connection is lost in the middle, the batch is written again on a new
one while the deadline allows: its ids make that harmless. A new connection is looked for from the moment that the old
one is lost, whether or not there is anything to write.
"""

import asyncio
import sys
import time
from collections.abc import Callable, Sequence
from operator import itemgetter

import asyncpg
import orjson

from gatebook.app.capture import Record
from gatebook.app.journal import NotRecorded
from gatebook.app.page import ROWS, SHOWN, Seen, seen
from gatebook.app.recent import Recent
from gatebook.db.connect import AWAY, Connection, Unreachable, connect, connect_once, login
from gatebook.db.queries import QUERIES
from gatebook.errors import UserError
from gatebook.settings import Settings

_START_WAIT_S = 3.0  # for the database, before we go on without it
_START_WITHIN_S = 6.0  # also when it takes connections and then hangs
_RECONNECT_WAIT_S = 0.1
_RECONNECT_TIMEOUT_S = 15.0  # twice as long each time, since it may be a migration that takes so long
_LONGEST_RECONNECT_TIMEOUT_S = 900.0
_SAY_SO_EVERY_S = 5.0
_KEEP_HOUSE_WITHIN_S = 60.0

_LATE_BATCHES = 100  # how many may have been written since the last read, for it to be short
_BATCHES_LAST_S = 3600.0  # and how long ago that may be: far less than the day after which batches are pruned

_NEVER = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError, ValueError)  # the last is asyncpg's own
_LOST = (
    *AWAY,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a server that says goodbye while we begin to ask confuses asyncpg
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.InvalidAuthorizationSpecificationError,
)
# Of each element of an array asyncpg asks, by way of abstract base classes, whether it is an array itself: 22 such
# questions a row, and three quarters of what encoding it costs. Here arrays are lists and tuples, and nothing else is.
setattr(asyncpg.protocol.protocol, "IterableABC", (list, tuple))  # noqa: B010  # its stubs do not know the name

_CONNECTION = {"application_name": "gatebook replica", "jit": "off", "plan_cache_mode": "force_generic_plan"}
_FORGOTTEN = "[]"  # what a batch without requests says of its newest: look at what you remember
_NO_RECORDS: list[tuple[object, ...]] = [() for _ in Record._fields]


class Unwritable(NotRecorded):
    """The database will never take some row of the batch, however often it is asked."""


class Writer:
    """Writes batches as gatebook_capture, one after the other.

    `met_again` is told how many rows were there already; `recent`, what of it was deleted for good meanwhile.
    """

    def __init__(
        self,
        settings: Settings,
        met_again: Callable[[int], object] = lambda rows: None,
        recent: Recent | None = None,
    ) -> None:
        self._settings = settings
        self._met_again = met_again
        self._recent = recent
        self._turn = asyncio.Lock()
        self._connection: Connection | None = None
        self._flush: asyncpg.prepared_stmt.PreparedStatement[asyncpg.Record]
        self._snapshot: str  # of the last read of batches: what it did not see is still to be read
        self._read_at: float  # when that was, in Unix time
        self._noted = ""  # what our last batch said of its newest: no news to us
        self._missed: list[Seen] = []  # the newest rows when the connection was made
        self._reconnecting: asyncio.Task[None] | None = None

    @property
    def ready(self) -> bool:
        """Whether the database was there when we last looked."""
        return self._connection is not None

    async def start(self) -> None:
        """Connect, migrating first if that is due. Raises UserError, but not for a database that is only away.

        That one is waited for a little, and then in the background.
        """
        try:
            async with asyncio.timeout(_START_WITHIN_S):
                await self._use(await connect(self._settings, "capture", _START_WAIT_S))
        except (Unreachable, *AWAY) as error:
            why = error.what if isinstance(error, Unreachable) else str(error) or type(error).__name__
            _say(f"the database is away: {why}")
            self._drop("")

    async def write(
        self, records: Sequence[Record], wants_others: bool, deadline: float, replica: str = ""
    ) -> list[Seen]:
        """Commit `records` in one transaction, by `deadline` (the event loop's time).

        `replica` took them, and they come out of its spool; else we did. What is drained may have been in the table
        before, and been forgotten: then it is not written.

        Returns the newest of them, and with `wants_others` what was committed elsewhere since it was last wanted: all
        that can be among the ROWS newest. Raises NotRecorded when that failed or its outcome is unknown.
        """
        # In one order, so that two replicas with the same retried ids do not wait for each other.
        records = sorted(records, key=itemgetter(0))
        try:
            async with asyncio.timeout_at(deadline), self._turn:
                met_again = False
                while True:
                    try:
                        if met_again:
                            records, met_again = await self._not_there_yet(records), False
                        if replica:
                            return await self._drain(records, replica)
                        return await self._write(records, wants_others, self._settings.replica)
                    except asyncpg.UniqueViolationError as error:
                        if error.table_name == "batches":  # restored out of another cluster's dump, and in our way
                            await self.keep_house()
                            await asyncio.sleep(_RECONNECT_WAIT_S)
                        met_again = True
                    except asyncpg.TransactionRollbackError:
                        pass  # PostgreSQL says: try again
                    except _NEVER as error:
                        raise Unwritable(f"the database will not take it: {_first_line(error)}") from None
                    except _LOST as error:
                        await asyncio.shield(self._drop(str(error) or type(error).__name__))
        except TimeoutError:
            self._drop("it did not answer in time")
            raise NotRecorded("the database does not answer; it may have written this all the same") from None
        except asyncpg.PostgresError as error:
            _say(f"the database refused a batch of {len(records)}: {_first_line(error)}")
            if not isinstance(error, asyncpg.InsufficientResourcesError):
                self._drop("it is not as it was")  # made anew, say: a new connection migrates it
            raise NotRecorded("the database refused to write") from None

    async def keep_house(self) -> None:
        """Have partitions made ahead and old batches pruned, on a connection of its own."""
        async with asyncio.timeout(_KEEP_HOUSE_WITHIN_S):
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
            try:
                await connection.close(timeout=1)
            except Exception:  # it hangs, or is in the middle of something: nobody waits for that
                connection.terminate()

    async def _drain(self, records: Sequence[Record], replica: str) -> list[Seen]:
        """What is not forgotten of them. Raises NotRecorded while something is being forgotten."""
        connection = self._connection
        if connection is None:
            raise asyncpg.InterfaceError("there is no connection")
        await connection.execute("BEGIN")
        try:
            if not await connection.fetchval(QUERIES["hold_off_forgetting"]):
                raise NotRecorded("requests are being forgotten just now")
            forgotten = await _forgotten(connection, [record.id for record in records])
            seen = await self._write([record for record in records if record.id not in forgotten], False, replica)
            await connection.execute("COMMIT")
        except Exception:  # not when time is up: then it may be silent, and is let go of
            await connection.execute("ROLLBACK")
            raise
        return seen

    async def _write(self, records: Sequence[Record], wants_others: bool, replica: str) -> list[Seen]:
        connection = self._connection
        if connection is None:
            raise asyncpg.InterfaceError("there is no connection")
        own = [seen(record, replica) for record in records[-ROWS:]]
        noted = orjson.dumps(list(map(tuple, own))).decode()
        columns = list(zip(*records, strict=True)) or list(_NO_RECORDS)
        if not any(columns[-1]):  # without TLS there is nothing to say, and it costs nothing
            columns[-1] = ()
        limit = _LATE_BATCHES if wants_others else 0
        [row] = await self._flush.fetch(*columns, replica, noted, self._snapshot, limit)
        others = await self._news(connection, row) if wants_others else []
        self._noted = noted
        return own + others

    async def _news(self, connection: Connection, row: asyncpg.Record) -> list[Seen]:
        """What was committed elsewhere between the last read and this one, `row`."""
        batches = [newest for newest in row["newest"] or () if newest and newest != self._noted]
        news = [Seen(*each) for newest in batches for each in orjson.loads(newest)]
        too_late = abs(time.time() - self._read_at) > _BATCHES_LAST_S
        if row["incomplete"] or too_late or _FORGOTTEN in (row["newest"] or ()):
            news += await self._anew(connection)
        else:
            news += self._missed
        self._snapshot, self._read_at, self._missed = row["snapshot"], time.time(), []
        return news

    async def _anew(self, connection: Connection) -> list[Seen]:
        """The newest rows of all, after which what is known is looked at for what was forgotten."""
        latest = [Seen(*row) for row in await connection.fetch(QUERIES["latest"], ROWS, SHOWN + 1)]
        if self._recent and (known := self._recent.ids):
            self._recent.forget(await _forgotten(connection, known))
        return latest

    async def _not_there_yet(self, records: Sequence[Record]) -> list[Record]:
        """Each record once, without those that another try has brought already."""
        if self._connection is None:
            raise asyncpg.ConnectionDoesNotExistError("there is no connection")
        there = {row[0] for row in await self._connection.fetch(QUERIES["recorded"], [row.id for row in records])}
        missing = [record for id, record in {record.id: record for record in records}.items() if id not in there]
        self._met_again(len(records) - len(missing))
        return missing

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
        told, patience_s = loop.time(), _RECONNECT_TIMEOUT_S
        while self._connection is None:
            await asyncio.sleep(_RECONNECT_WAIT_S)
            started = loop.time()
            try:
                async with asyncio.timeout(patience_s):
                    await self._use(await connect_once(self._settings, "capture"))
            except Exception as error:  # whatever it is, the next try may go well, and there must be one
                if loop.time() - started >= patience_s:
                    patience_s = min(2 * patience_s, _LONGEST_RECONNECT_TIMEOUT_S)
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
            self._missed = await self._anew(connection)
            connection.add_termination_listener(self._lost)
        except BaseException:
            connection.terminate()
            raise
        self._connection = connection

    def _lost(self, connection: object) -> None:
        if connection is self._connection:
            self._drop("it closed the connection")


async def _forgotten(connection: Connection, ids: Sequence[str]) -> set[str]:
    """Which of these were deleted for good."""
    return {row[0] for row in await connection.fetch(QUERIES["forgotten"], ids)}


def _first_line(error: Exception) -> str:
    """Without PostgreSQL's DETAIL, which repeats the row."""
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"


def _say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)
