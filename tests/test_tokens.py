"""Tokens in the database: made, listed, revoked; each noted in the trail."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest

from gatebook.access import token
from gatebook.db.connect import Connection
from gatebook.errors import UserError
from gatebook.keeping import tokens
from gatebook.keeping.keeper import keeper
from gatebook.settings import Settings

T = TypeVar("T")


def kept(database: Settings, story: Callable[[Connection], Awaitable[T]]) -> T:
    async def run() -> T:
        async with keeper(database) as connection:
            return await story(connection)

    return asyncio.run(run())


def test_a_token_is_told_once_and_only_its_hash_is_kept(database: Settings) -> None:
    async def story(connection: Connection) -> None:
        text = await tokens.create(connection, "ci")
        parts = token.parts(text)
        assert parts
        secret = text.rpartition("_")[2]
        [row] = await connection.fetch("SELECT * FROM tokens")
        assert (row["id"], row["name"], row["hash"], row["last_used_at"]) == (parts.id, "ci", parts.hash, None)
        for table in ("tokens", "trail"):
            assert not await connection.fetchval(f"SELECT bool_or(strpos(t::text, $1) > 0) FROM {table} t", secret)
        [listed] = await tokens.listed(connection)
        assert (listed.id, listed.name, listed.last_used_at) == (parts.id, "ci", None)

    kept(database, story)


def test_what_is_done_with_tokens_is_in_the_trail_and_what_is_not_done_is_not(database: Settings) -> None:
    async def story(connection: Connection) -> None:
        await tokens.create(connection, "ci")
        await tokens.create(connection, "grafana")
        with pytest.raises(UserError, match="there is a token ci already"):
            await tokens.create(connection, "ci")
        await tokens.revoke(connection, "ci")
        with pytest.raises(UserError, match="there is no token 'ci'"):
            await tokens.revoke(connection, "ci")
        await tokens.create(connection, "ci")  # the name is free again
        assert [each.name for each in await tokens.listed(connection)] == ["grafana", "ci"]
        lines = [tuple(row) for row in await connection.fetch("SELECT act, who, about FROM trail ORDER BY id")]
        assert lines == [
            ("token created", "operator", "ci"),
            ("token created", "operator", "grafana"),
            ("token revoked", "operator", "ci"),
            ("token created", "operator", "ci"),
        ]

    kept(database, story)


@pytest.mark.parametrize("name", ["", "two words", "line\nend", "\u00e9", "x" * 101])
def test_a_name_is_what_can_stand_in_a_line(database: Settings, name: str) -> None:
    with pytest.raises(UserError, match="is no name of a token"):
        kept(database, lambda connection: tokens.create(connection, name))


def test_a_database_that_goes_away_is_said_so(database: Settings) -> None:
    async def story(connection: Connection) -> None:
        await connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    with pytest.raises(UserError, match="the database went away"):
        kept(database, story)
