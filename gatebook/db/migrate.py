"""Bring a database up to date, whichever release made it.

Rules: migrations run in the order of their names, each once, all in one transaction under an advisory lock, by whoever
starts first. A released one is never edited. `pre` in a name: applied before the new release starts, and the old
one can live with it; `post`: only once no old one runs. A database that is ahead of us is left as it is.
"""

import base64
import hashlib
import hmac
import os
from collections.abc import Mapping, Sequence
from importlib import resources
from importlib.resources.abc import Traversable
from typing import TypeAlias

import asyncpg

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"  # quoted: its stubs are generic, it is not

MIGRATIONS = resources.files("gatebook.db").joinpath("migrations")
_SCRAM_ITERATIONS = 4096


def names(folder: Traversable = MIGRATIONS) -> list[str]:
    """All migrations of this release, in order."""
    return sorted(file.name.removesuffix(".sql") for file in folder.iterdir() if file.name.endswith(".sql"))


async def is_current(connection: Connection, roles: Sequence[str], folder: Traversable = MIGRATIONS) -> bool:
    """Whether the database has had every migration of this release, and `roles` may log in."""
    let_in = "SELECT count(*) FROM pg_roles WHERE rolcanlogin AND rolname = ANY ($1::text[])"
    return not set(names(folder)) - await _applied(connection) and await connection.fetchval(let_in, roles) == len(
        roles
    )


async def migrate(owner: Connection, passwords: Mapping[str, str], folder: Traversable = MIGRATIONS) -> list[str]:
    """Apply what is missing and let the working roles log in; returns the names of what was applied.

    `owner` is connected as the role that owns the tables; `passwords` by role name.
    """
    # Before the transaction: only at its start does the server look anew at what others have made meanwhile.
    await owner.execute("SELECT pg_advisory_lock(hashtext('gatebook.migrate'))")
    try:
        async with owner.transaction():
            missing = sorted(set(names(folder)) - await _applied(owner))
            for name in missing:
                await owner.execute(folder.joinpath(f"{name}.sql").read_text())
                await owner.execute("INSERT INTO migrations (name) VALUES ($1)", name)
            for role, password in passwords.items():
                await _let_in(owner, role, password)
    finally:
        await owner.execute("SELECT pg_advisory_unlock(hashtext('gatebook.migrate'))")
    return missing


async def _applied(connection: Connection) -> set[str]:
    if not await connection.fetchval("SELECT to_regclass('migrations') IS NOT NULL"):
        return set()
    return {row["name"] for row in await connection.fetch("SELECT name FROM migrations")}


async def _let_in(owner: Connection, role: str, password: str) -> None:
    """Give `role` its password as a SCRAM verifier, so that the password itself is in no statement and no log."""
    statement = await owner.fetchval(
        "SELECT format('ALTER ROLE %I LOGIN PASSWORD %L', $1::text, $2::text)", role, _scram_verifier(password)
    )
    await owner.execute(statement)


def _scram_verifier(password: str) -> str:
    """What PostgreSQL stores for a password: RFC 5802 section 3, RFC 7677, written as pg_authid.rolpassword has it."""
    salt = os.urandom(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, _SCRAM_ITERATIONS)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    stored_key = hashlib.sha256(client_key).digest()
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    salt64, stored64, server64 = (base64.b64encode(part).decode() for part in (salt, stored_key, server_key))
    return f"SCRAM-SHA-256${_SCRAM_ITERATIONS}:{salt64}${stored64}:{server64}"
