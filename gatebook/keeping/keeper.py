"""The connection that keeping is done on: as gatebook_keeper, who alone may delete."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from gatebook.db.connect import AWAY, Connection, connect
from gatebook.db.queries import named
from gatebook.errors import UserError
from gatebook.settings import Settings
from gatebook.viewer.database import Unavailable

SQL = named("gatebook.keeping", "keeping.sql")
OPERATOR = "operator"  # who does it, as the trail has it: whoever has the database's password

_CONNECT_WITHIN_S = 10.0
_STATEMENT_WITHIN_S = 600.0  # to look through a day of batches, or to vacuum a large day, gently
_CONNECTION = {
    "application_name": "gatebook keeping",
    "jit": "off",
    "plan_cache_mode": "force_custom_plan",  # a generic one opens every day
    "vacuum_cost_delay": "2ms",  # the disk is the captures'
}


@asynccontextmanager
async def keeper(settings: Settings) -> AsyncIterator[Connection]:
    """A connection for the block. Raises UserError, also when the database goes away inside the block."""
    connection = await connect(settings, "keeper", _CONNECT_WITHIN_S)
    try:
        for name, value in _CONNECTION.items():
            await connection.execute(f"SET {name} = '{value}'")
        await connection.execute(f"SET statement_timeout = '{_STATEMENT_WITHIN_S:.0f}s'")
        yield connection
        await connection.close(timeout=1)
    except (*AWAY, asyncpg.InterfaceError, asyncpg.InternalClientError, Unavailable) as error:
        raise gone(error) from None
    except asyncpg.PostgresError as error:
        what = f"the database refuses this: {error}"
        raise UserError(what, "the same command goes on; gatebook logs db may say more") from None
    finally:
        if not connection.is_closed():
            connection.terminate()


def gone(error: BaseException) -> UserError:
    """What is said when the database went away in the middle."""
    why = str(error) or type(error).__name__
    timed_out = isinstance(error, asyncio.TimeoutError)
    what = "the database does not answer" if timed_out else f"the database went away: {why}"
    return UserError(what, "what was done is done whole; the same command goes on when the database is back")
