"""The tokens that are known, as they were not long ago.

Rules: a token that is revoked is not let in any more after a second. While the database is away those that were known
stay so: whoever watches over a Gatebook wants to know that. One that was just made is known at once, and yet a flood of
wrong ones costs ten questions a second.
"""

import asyncio
import contextlib
import time
from collections.abc import Mapping
from typing import NamedTuple

import asyncpg

from gatebook.access import token
from gatebook.viewer.database import Database, Unavailable

READ_EVERY_S = 1.0
READ_FOR_UNKNOWN_EVERY_S = 0.1
_USE_NOTED_EVERY_S = 60.0
_WITHIN_S = 2.0


class Known(NamedTuple):
    """A row of `tokens`."""

    name: str
    hash: bytes


class Tokens:
    """Those in the table."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: Mapping[str, Known] | None = None
        self._read_at = float("-inf")
        self._is_away = False
        self._reading = asyncio.Lock()
        self._used: dict[str, float] = {}  # by id, when its use was noted
        self._noting: set[asyncio.Task[None]] = set()

    async def name(self, text: str) -> str | None:
        """Whose token it is; None: nobody's. Raises Unavailable where no token has ever been read."""
        parts = token.parts(text)
        if parts is None:
            return None
        found = (await self._all(READ_EVERY_S)).get(parts.id)
        if found is None and not self._is_away:
            found = (await self._all(READ_FOR_UNKNOWN_EVERY_S)).get(parts.id)
        if found is None or not token.same(found.hash, parts.hash):
            return None
        self._note_use(parts.id)
        return found.name

    async def _all(self, not_older_s: float) -> Mapping[str, Known]:
        """As they were at most so long ago, unless the database is away. Raises Unavailable."""
        async with self._reading:
            if time.monotonic() - self._read_at > not_older_s:
                await self._read()
            if self._known is None:
                raise Unavailable("the database is away, and no tokens are known yet")
            return self._known

    async def _read(self) -> None:
        self._is_away = True  # until it answers
        with contextlib.suppress(Unavailable):  # then those that are known stay so
            self._known = _known(await self._database.row("tokens", within_s=_WITHIN_S))
            self._is_away = False
        self._read_at = time.monotonic()

    def _note_use(self, id: str) -> None:
        """In the background; that it was used a minute ago is told to the minute, and is worth no error."""
        now = time.monotonic()
        if now - self._used.get(id, float("-inf")) < _USE_NOTED_EVERY_S:
            return
        self._used[id] = now
        task = asyncio.create_task(self._noted(id))
        self._noting.add(task)
        task.add_done_callback(self._noting.discard)

    async def _noted(self, id: str) -> None:
        try:
            await self._database.write("token_used", id)
        except Unavailable:
            self._used.pop(id, None)


def _known(row: asyncpg.Record | None) -> Mapping[str, Known]:
    if row is None or row["ids"] is None:
        return {}
    columns = row["ids"], row["names"], row["hashes"]
    return {id: Known(name, hash) for id, name, hash in zip(*columns, strict=True)}
