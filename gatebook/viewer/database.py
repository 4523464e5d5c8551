"""Reads for the viewer: a few connections, each use of them with a deadline. Writing is said so, and rare.

Rules: nobody waits longer for a connection, or for a query, than the numbers below say. What goes wrong with the
database is Unavailable, and the log says once that it is away and once that it is back, however many have asked.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, date, datetime
from typing import Any

import asyncpg

from gatebook.db.connect import AWAY, login
from gatebook.db.queries import named
from gatebook.settings import Settings

CONNECTIONS = 8
WALKS = 4  # searches and counts that may hold a connection at a time, so that the others are never all taken
WAIT_FOR_CONNECTION_S = 5.0
STATEMENT_TIMEOUT_S = 10.0
DEADLINE_S = WAIT_FOR_CONNECTION_S + STATEMENT_TIMEOUT_S + 1.0  # in all; passes when a server went silent
_CANCELLED_WITHIN_S = 0.5  # a server that is asked to cancel just before a statement reaches it does not
_DAYS_LAST_S = 60.0

# Beside AWAY, being refused by a server that runs.
_UNAVAILABLE = (*AWAY, asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError)

QUERIES = named("gatebook.viewer", "queries.sql")
for _name in ("one_request", "shown_request"):
    QUERIES[_name] = QUERIES[_name].format(columns=QUERIES["columns"])
_log = logging.getLogger("gatebook.viewer")


class Unavailable(Exception):
    """The database cannot be asked now; its words are for whoever asked."""


class Busy(Unavailable):
    """Others are asking; later there may be room."""


class TooSlow(Exception):
    """This one statement took longer than it was given; the database may be all right."""


class Database:
    """The viewer's connections. They are opened when needed, and again after a restart of the database."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self._pool = pool
        self._away = False
        self._walks = asyncio.Semaphore(WALKS)
        self._days: tuple[date, date]
        self._days_until = 0.0

    async def fetch(self, statement: str, *values: object) -> list[asyncpg.Record]:
        """All rows of a statement; raises Unavailable."""
        async with self._connection(DEADLINE_S) as connection:
            return list(await connection.fetch(statement, *values))

    async def row(self, query: str, *values: object, within_s: float = DEADLINE_S) -> asyncpg.Record | None:
        """The first row of a statement of queries.sql, or None; raises Unavailable, after `within_s` at the latest."""
        async with self._connection(within_s) as connection:
            found: asyncpg.Record | None = await connection.fetchrow(QUERIES[query], *values)
            return found

    async def write(self, query: str, *values: object) -> None:
        """Commit a statement of queries.sql that writes; raises Unavailable."""
        async with self._connection(DEADLINE_S) as connection, connection.transaction():
            await connection.execute("SET TRANSACTION READ WRITE")
            await connection.execute(QUERIES[query], *values)

    async def days(self) -> tuple[date, date]:
        """The first and the last day that has a partition, as they were not long ago; raises Unavailable."""
        if time.monotonic() > self._days_until:
            [row] = await self.fetch(QUERIES["days"])
            today = datetime.now(UTC).date()
            self._days = row["first"] or today, row["last"] or today
            self._days_until = time.monotonic() + _DAYS_LAST_S
        return self._days

    async def window(self, sql: str, values: Sequence[object], within_s: float, wait_s: float) -> list[asyncpg.Record]:
        """All rows of a step of a walk. The walks take turns, one step each.

        Raises Busy when its turn does not come within `wait_s`, TooSlow when it takes longer than `within_s`, and
        Unavailable.
        """
        try:
            async with asyncio.timeout(wait_s):
                await self._walks.acquire()
        except TimeoutError:
            raise Busy("too many searches at once") from None
        try:
            async with self._connection(DEADLINE_S + within_s) as connection:
                try:
                    return list(await connection.fetch(sql, *values, timeout=within_s))
                except (TimeoutError, asyncpg.QueryCanceledError):
                    raise TooSlow from None
        finally:
            self._walks.release()

    @contextlib.asynccontextmanager
    async def _connection(self, within_s: float) -> AsyncIterator[Any]:
        """A connection for the block, which must end in `within_s`; whatever the database does becomes Unavailable."""
        connection = None
        try:
            async with asyncio.timeout(within_s):
                connection = await self._pool.acquire(timeout=min(within_s, WAIT_FOR_CONNECTION_S))
                try:
                    yield connection
                finally:
                    with contextlib.suppress(TimeoutError):  # it is closed then, which the server finds out
                        await self._pool.release(connection, timeout=_CANCELLED_WITHIN_S)
        except asyncpg.QueryCanceledError:
            raise Unavailable(f"the database took longer than {STATEMENT_TIMEOUT_S:.0f} s for this") from None
        except TimeoutError as error:
            if connection is None and self._pool.get_size() == CONNECTIONS:
                raise Unavailable(f"all {CONNECTIONS} connections to the database are busy") from None
            raise self._gone(error) from None
        except _UNAVAILABLE as error:
            raise self._gone(error) from None
        except asyncpg.InterfaceError as error:
            if connection is None or not connection.is_closed():
                raise  # a mistake of ours
            raise self._gone(error) from None  # it was closed between two uses
        if self._away:
            self._away = False
            _log.warning("the database is back")

    def _gone(self, error: Exception) -> Unavailable:
        if not self._away:
            self._away = True
            _log.warning("the database is away: %s", str(error) or type(error).__name__)
        return Unavailable("the database is away")


@contextlib.asynccontextmanager
async def connected(settings: Settings) -> AsyncIterator[Database]:
    """A Database for as long as the block runs. It opens its connections when they are needed."""
    server_settings = {
        "application_name": "gatebook-viewer",
        "statement_timeout": f"{STATEMENT_TIMEOUT_S:.0f}s",
        "client_connection_check_interval": f"{_CANCELLED_WITHIN_S * 1000:.0f}ms",
        "default_transaction_read_only": "on",  # beside the role's rights, against accidents
        "jit": "off",  # compiling takes longer than these statements run
        "plan_cache_mode": "force_custom_plan",  # a generic one opens every day, whatever ids are asked for
        "enable_seqscan": "off",  # whatever the statistics say: each statement asks for a small part, by an index
        "max_parallel_workers_per_gather": "0",  # the other cores are the captures'
    }
    pool = asyncpg.create_pool(
        **login(settings, "viewer"),
        min_size=0,  # none are opened ahead: the pool would log a traceback for each it cannot open
        max_size=CONNECTIONS,
        server_settings=server_settings,
    )
    await pool
    try:
        yield Database(pool)
    finally:
        pool.terminate()  # nothing is written here, so there is nothing to finish
