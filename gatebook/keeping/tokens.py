"""Tokens of programs that may ask the API: made, listed, revoked (gatebook.access.token says what they are).

Rule: a token's text is returned once, to whoever makes it, and kept nowhere.
"""

import re
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from gatebook.access import token
from gatebook.db.connect import Connection
from gatebook.errors import UserError
from gatebook.keeping.keeper import OPERATOR, SQL

_NAME = re.compile(r"[!-~]{1,100}")


@dataclass(frozen=True)
class Token:
    """What is known of one."""

    id: str
    name: str
    created_at: datetime
    last_used_at: datetime | None  # to the minute; None: never


async def create(connection: Connection, name: str) -> str:
    """Make a token; returns its text. Raises UserError for a name that will not do, or is taken."""
    if not _NAME.fullmatch(name):
        raise UserError(f"{name!r} is no name of a token", "1 to 100 printable ASCII characters without blanks")
    made = token.new()
    try:
        await connection.execute(SQL["add_token"], OPERATOR, made.id, name, made.hash)
    except asyncpg.UniqueViolationError:
        hint = f"gatebook token revoke {name}, or take another name: gatebook token list"
        raise UserError(f"there is a token {name} already", hint) from None
    return made.text


async def listed(connection: Connection) -> list[Token]:
    """All of them, the oldest first."""
    return [Token(**row) for row in await connection.fetch(SQL["tokens"])]


async def revoke(connection: Connection, name: str) -> None:
    """Let nobody in by it any more, within a second. Raises UserError when there is none."""
    if not await connection.fetchval(SQL["revoke_token"], OPERATOR, name):
        raise UserError(f"there is no token {name!r}", "gatebook token list")
