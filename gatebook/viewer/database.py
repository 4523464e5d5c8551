"""Reads for the viewer: a few connections that cannot write, each use of them with a deadline.

Rules: nobody waits longer for a connection, or for a query, than the numbers below say. What goes wrong with the
database is Unavailable, and the log says once that it is away and once that it is back, however many have asked.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import resources
from typing import Any

import asyncpg

from gatebook.db.connect import AWAY, login
from gatebook.db.queries import named
from gatebook.settings import Settings

CONNECTIONS = 8
WAIT_FOR_CONNECTION_S = 5.0
STATEMENT_TIMEOUT_S = 10.0
DEADLINE_S = WAIT_FOR_CONNECTION_S + STATEMENT_TIMEOUT_S + 1.0  # in all; passes when a server went silent

# Beside AWAY, being refused by a server that runs.
_UNAVAILABLE = (*AWAY, asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError)

QUERIES = named(resources.files("gatebook.viewer").joinpath("queries.sql").read_text())
_log = logging.getLogger("gatebook.viewer")


class Unavailable(Exception):
    """The database cannot be asked now; its words are for whoever asked."""


class Database:
    """The viewer's connections. They are opened when needed, and again after a restart of the database."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self._pool = pool
        self._away = False

    async def rows(self, query: str, *values: object) -> list[asyncpg.Record]:
        """All rows of a statement of queries.sql; raises Unavailable."""
        async with self._connection(DEADLINE_S) as connection:
            return list(await connection.fetch(QUERIES[query], *values))

    async def row(self, query: str, *values: object, within_s: float = DEADLINE_S) -> asyncpg.Record | None:
        """Its first row, or None; raises Unavailable, after `within_s` at the latest."""
        async with self._connection(within_s) as connection:
            found: asyncpg.Record | None = await connection.fetchrow(QUERIES[query], *values)
            return found

    @asynccontextmanager
    async def _connection(self, within_s: float) -> AsyncIterator[Any]:
        """A connection for the block, which must end in `within_s`; whatever the database does becomes Unavailable."""
        connection = None
        try:
            async with (
                asyncio.timeout(within_s),
                self._pool.acquire(timeout=min(within_s, WAIT_FOR_CONNECTION_S)) as connection,
            ):
                yield connection
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


@asynccontextmanager
async def connected(settings: Settings) -> AsyncIterator[Database]:
    """A Database for as long as the block runs. It opens its connections when they are needed."""
    server_settings = {
        "application_name": "gatebook-viewer",
        "statement_timeout": f"{STATEMENT_TIMEOUT_S:.0f}s",
        "default_transaction_read_only": "on",  # beside the role's rights, against accidents
        "jit": "off",  # compiling takes longer than these statements run
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
