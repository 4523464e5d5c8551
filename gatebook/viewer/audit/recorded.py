"""What the audit asks the database: which requests are there, were forgotten, or dropped with their day; how many rows.

Rule: each question is a short one and holds a connection no longer, so that nobody else waits for it.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from datetime import UTC, date, datetime
from typing import NamedTuple
from uuid import UUID

import asyncpg

from gatebook.db.queries import QUERIES, named
from gatebook.identity import unix_ms
from gatebook.viewer.database import Database, Unavailable

SQL = named("gatebook.viewer.audit", "audit.sql") | {"forgotten": QUERIES["forgotten"]}

_ROWS_A_QUESTION = 100_000
_IDS_A_QUESTION = 4096
_PATIENCE_S = (0.5, 1.0, 2.0, 4.0, 8.0)  # the database may be restarted while an audit runs


class Slice(NamedTuple):
    """The next rows in the order of ids."""

    rows: int
    ids: int  # as many, as long as none is there twice
    done: float  # how much of all that was asked for


class Recorded:
    """The table as it is now; whatever is asked may raise Unavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def absent(self, ids: Iterable[str]) -> set[str]:
        """Which of these are not in the table."""
        absent: set[str] = set()
        for asked in _questions(ids):
            absent.update(row["id"] for row in await self._ask("absent_ids", asked, asked[0], asked[-1]))
        return absent

    async def forgotten(self, ids: Iterable[str]) -> set[str]:
        """Which of these were deleted for good, because an operator wanted it."""
        forgotten: set[str] = set()
        for asked in _questions(ids):
            forgotten.update(row["id"] for row in await self._ask("forgotten", asked))
        return forgotten

    async def dropped(self, ids: Iterable[str]) -> set[date]:
        """Which of the days of these were dropped."""
        days = {day(id) for id in ids}
        return {row["day"] for row in await self._ask("dropped_days", list(days))} if days else set()

    async def slices(self, first_id: str, last_id: str) -> AsyncIterator[Slice]:
        """All rows from one id to another."""
        first = at = UUID(first_id)
        last = UUID(last_id)
        while True:
            [row] = await self._ask("count_rows", at, last, _ROWS_A_QUESTION)
            if row["last"] is None:
                return
            at = UUID(int=row["last"].int + 1)
            yield Slice(row["rows"], row["ids"], (at.int - first.int) / (last.int - first.int + 1))

    async def _ask(self, query: str, *values: object) -> list[asyncpg.Record]:
        for wait_s in _PATIENCE_S:
            try:
                return await self._database.fetch(SQL[query], *values)
            except Unavailable:
                await asyncio.sleep(wait_s)
        return await self._database.fetch(SQL[query], *values)


def _questions(ids: Iterable[str]) -> Iterator[list[str]]:
    """Some at a time, in their order."""
    left = sorted(ids)
    return (left[start : start + _IDS_A_QUESTION] for start in range(0, len(left), _IDS_A_QUESTION))


def day(id: str) -> date:
    """The day of a request, UTC."""
    return datetime.fromtimestamp(unix_ms(id) / 1000, UTC).date()
