"""Log in to the database as a role that can do only its own work, having migrated when that is due.

Rule: POSTGRES_USER is used to migrate and then closed. Captures log in as gatebook_capture, reads as gatebook_viewer,
what fills the search index as gatebook_index, and an operator's commands that manage tokens or delete as
gatebook_keeper; their passwords are derived from POSTGRES_PASSWORD, so that there is one secret to hand out.
"""

import asyncio
import hashlib
import hmac
import sys
import time
from typing import Any, Literal, get_args

import asyncpg

from gatebook.db import migrate
from gatebook.db.migrate import Connection as Connection
from gatebook.errors import UserError
from gatebook.settings import Settings

Role = Literal["capture", "viewer", "index", "keeper"]

_RETRY_WAIT_S = 0.25
_SAY_SO_EVERY_S = 5.0
_CONNECT_TIMEOUT_S = 5.0

# What says "the database is not (yet) to be had", as against "we are not welcome".
AWAY = (
    OSError,
    TimeoutError,
    asyncpg.OperatorInterventionError,
    asyncpg.PostgresConnectionError,
    asyncpg.TooManyConnectionsError,
)


def login(settings: Settings, role: Role) -> dict[str, Any]:
    """Keyword arguments of asyncpg.connect and asyncpg.create_pool for a working role."""
    user = f"gatebook_{role}"
    return {**_server(settings), "user": user, "password": role_password(settings.postgres_password, user)}


def role_password(secret: str, role: str) -> str:
    """A working role's password: HMAC-SHA-256 of its name under POSTGRES_PASSWORD, in hexadecimal."""
    return hmac.new(secret.encode(), role.encode(), hashlib.sha256).hexdigest()


class Unreachable(UserError):
    """No database has answered in time; it may still come."""


async def connect(settings: Settings, role: Role, longest_s: float) -> Connection:
    """A connection as `role` to a database that is up to date; waits for one up to `longest_s`.

    Raises Unreachable when the database cannot be reached in that time, and UserError when it will not have us.
    """
    deadline = time.monotonic() + longest_s
    told = time.monotonic()
    while True:
        try:
            return await connect_once(settings, role)
        except AWAY as error:
            if time.monotonic() > deadline:
                raise _unreachable(settings, longest_s, error) from None
            if time.monotonic() - told > _SAY_SO_EVERY_S:
                told = time.monotonic()
                print(f"waiting for the database at {_where(settings)}: {_reason(error)}", file=sys.stderr, flush=True)
        await asyncio.sleep(_RETRY_WAIT_S)


async def connect_once(settings: Settings, role: Role) -> Connection:
    """Migrate if that is due, and log in as the working role.

    Raises UserError when the database will not have us, and one of AWAY when it cannot be reached now.
    """
    await _migrate(settings)
    try:
        return await _log_in(settings, role)
    except asyncpg.InvalidAuthorizationSpecificationError:  # POSTGRES_PASSWORD has changed, and theirs with it
        await _migrate(settings, even_if_current=True)
        return await _log_in(settings, role)


async def _log_in(settings: Settings, role: Role) -> Connection:
    connection: Connection = await asyncpg.connect(**login(settings, role))
    return connection


async def _migrate(settings: Settings, even_if_current: bool = False) -> None:
    owner = await _as_owner(settings)
    working = [f"gatebook_{name}" for name in get_args(Role)]
    try:
        if even_if_current or not await migrate.is_current(owner, working):
            await migrate.migrate(owner, {name: role_password(settings.postgres_password, name) for name in working})
    except AWAY:
        raise
    except asyncpg.PostgresError as error:
        raise UserError(
            f"the database {settings.postgres_db} at {_where(settings)} could not be brought up to date: {error}",
            "it takes PostgreSQL 18 or newer, and a POSTGRES_USER that may make roles; this is PostgreSQL "
            f"{owner.get_server_version().major} and {settings.postgres_user}",
        ) from None
    finally:
        await owner.close()


async def _as_owner(settings: Settings) -> Connection:
    user, password = settings.postgres_user, settings.postgres_password
    try:
        owner: Connection = await asyncpg.connect(**_server(settings), user=user, password=password)
    except asyncpg.InvalidAuthorizationSpecificationError as error:
        raise UserError(
            f"the database at {_where(settings)} refuses the user {user}: {error}",
            "check POSTGRES_USER and POSTGRES_PASSWORD; a database keeps the password that it was first made with",
        ) from None
    except asyncpg.InvalidCatalogNameError:
        raise UserError(
            f"there is no database {settings.postgres_db} at {_where(settings)}",
            f"check POSTGRES_DB, or make it: createdb {settings.postgres_db}",
        ) from None
    return owner


def _server(settings: Settings) -> dict[str, Any]:
    return {
        "host": settings.postgres_host,
        "port": settings.postgres_port,
        "database": settings.postgres_db,
        "timeout": _CONNECT_TIMEOUT_S,
        "ssl": False if settings.postgres_host.startswith("/") else "prefer",
    }


def _where(settings: Settings) -> str:
    return f"{settings.postgres_host}:{settings.postgres_port}"


def _reason(error: BaseException) -> str:
    return str(error) or type(error).__name__


def _unreachable(settings: Settings, longest_s: float, error: BaseException) -> Unreachable:
    return Unreachable(
        f"no database answered at {_where(settings)} within {longest_s:g} s: {_reason(error)}",
        "check that PostgreSQL runs there, POSTGRES_HOST and POSTGRES_PORT; GATEBOOK_START_TIMEOUT waits longer",
    )
