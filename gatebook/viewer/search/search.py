"""Finds what a filter matches: one page, newest first or oldest first, and a cursor to go on with.

Rule: each matching request that was there when the first page was asked for is on one page and no other, in the order
of ids, whatever arrives meanwhile and however far the blocks reach. The deadline may cut a page short, never a search.
"""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg

from gatebook.filter import EVERYTHING, Expression
from gatebook.viewer.database import QUERIES, Database
from gatebook.viewer.search.reading import Reading
from gatebook.viewer.search.walk import Walk, as_ms

PAGE_BYTES = 2 * 1024 * 1024  # of targets and headers; a page ends early rather than hold more
_FIRST_ROWS = 512  # of the first window


@dataclass(frozen=True)
class Found:
    """A page."""

    rows: list[asyncpg.Record]  # with `columns` of queries.sql
    next: UUID | None  # the cursor to go on with; None: there is nothing more
    complete: bool  # False: the deadline came first; `next` goes on from there
    reached_ms: int | None  # Unix ms down (or up) to which everything was looked at; None at the end


class Search:
    """One page of at most `limit` requests beyond `cursor`; `progress` and `so_far` say how `run` comes on.

    `columns`, a select list with `id`, `target` and `headers`, are what rows have; None: all that is shown.
    """

    def __init__(
        self,
        database: Database,
        expression: Expression,
        limit: int,
        cursor: UUID | None = None,
        newest_first: bool = True,
        deadline_s: float = 8.0,
        *,
        columns: str | None = None,
    ) -> None:
        columns = columns or QUERIES["columns"]
        self._limit = limit
        self._reading = Reading("find", expression, newest_first, [limit + 1, PAGE_BYTES], columns=columns)
        # Without a filter, a row more is as much as a page ever needs to look at.
        self._matches_all = expression == EVERYTHING
        rows = limit + 1 if self._matches_all else max(limit + 1, _FIRST_ROWS)
        self._walk = Walk(database, expression, self._reading, rows, cursor, newest_first, deadline_s)
        self._rows: list[asyncpg.Record] = []
        self._bytes = 0
        self._more = False  # than the page has room for

    @property
    def progress(self) -> float:
        """From 0 to 1; it only grows."""
        return self._walk.progress

    @property
    def so_far(self) -> dict[str, Any]:
        return self._walk.so_far(len(self._rows))

    async def run(self) -> Found:
        """Look until the page is full, or the end or the deadline has come. Raises Unavailable."""
        while not self._full:
            self._reading.given = [self._limit - len(self._rows) + 1, PAGE_BYTES - self._bytes]
            rows = await self._walk.step()
            if rows is None:
                break
            self._take(rows)
        if self._more or (self._full and not self._walk.ended):
            last: UUID = self._rows[-1]["id"]
            return Found(self._rows, last, True, as_ms(last.int))
        if self._walk.ended:
            return Found(self._rows, None, True, None)
        return Found(self._rows, self._walk.cursor, False, self._walk.reached_ms)

    @property
    def _full(self) -> bool:
        """Whether to look no further. Without a filter the next row is near: it says whether there is another page."""
        return self._more or (len(self._rows) >= self._limit and not self._matches_all)

    def _take(self, rows: list[asyncpg.Record]) -> None:
        found = rows[0]["found"]
        room = self._limit - len(self._rows)
        taken = [row for row in rows if row["id"] is not None][:room]
        self._more = found > len(taken)
        self._rows += taken
        self._bytes += sum(len(row["target"]) + len(row["headers"]) for row in taken)
