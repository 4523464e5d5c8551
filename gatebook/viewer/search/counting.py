"""Counts what a filter matches, over time and by a column: for charts.

Rule: what is counted ends at one id, so that counts of what comes before and after it can be added. They are exact as
long as no window has more than a thousand values of the column; of more, the rare ones may count among the others.
"""

from collections import defaultdict
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg

from gatebook.filter import Expression
from gatebook.filter.sql import PATH
from gatebook.viewer.database import Database
from gatebook.viewer.search.reading import Reading
from gatebook.viewer.search.walk import Walk

_COLUMNS = {
    "replica": "left(replica, 1000)",
    "method": "left(method, 1000)",
    "path": f"left({PATH}, 1000)",
    "status": "status",
    "client": "host(client)",
    "scheme": "scheme",
}
BY = tuple(_COLUMNS)
_FIRST_ROWS = 4096  # of the first window
_VALUES = 1000  # of a window
_GROUPS = 10_000  # that are held; then a count goes no further
_ROWS_OF_STEPS = 2**14  # of a window, since each may be a group

Value = str | int | None


@dataclass(frozen=True)
class Group:
    """Requests of one value and one stretch of time."""

    start_ms: int | None  # Unix ms; None: time was not asked for
    value: Value  # None: no column was asked for
    count: int
    bytes: int  # of their bodies, as sent


@dataclass(frozen=True)
class Counted:
    """What there is beyond the cursor, down to `next`."""

    groups: list[Group]  # by start, then by count: of the most frequent values; of all, where it is a part of a count
    others: int  # requests in no group
    next: UUID | None  # the cursor to go on with; None: everything is counted
    complete: bool  # False: the deadline came first, or too many groups; `next` goes on from there
    reached_ms: int | None  # Unix ms down to which everything is counted; None at the end


class Count:
    """Counts of the `most` most frequent values of column `by`, newest first, in steps that are aligned to 1970."""

    def __init__(
        self,
        database: Database,
        expression: Expression,
        by: str | None,
        step_s: int | None,
        cursor: UUID | None = None,
        deadline_s: float = 8.0,
        most: int = 50,
    ) -> None:
        self._most = most if cursor is None else None
        given: list[object] = [_VALUES]
        start = "NULL::timestamptz"
        if step_s:
            given.append(timedelta(seconds=step_s))
            start = "date_bin($5::interval, received_at, 'epoch')"
        value = _COLUMNS[by] if by else "NULL::text"
        reading = Reading("count", expression, True, given, start=start, value=value)
        most_rows = _ROWS_OF_STEPS if step_s else None
        self._walk = Walk(database, expression, reading, _FIRST_ROWS, cursor, True, deadline_s, most_rows)
        self._groups: dict[tuple[int | None, Value], tuple[int, int]] = {}
        self._others = 0

    @property
    def progress(self) -> float:
        """From 0 to 1; it only grows."""
        return self._walk.progress

    @property
    def so_far(self) -> dict[str, Any]:
        return self._walk.so_far(self._others + sum(count for count, _ in self._groups.values()))

    async def run(self) -> Counted:
        """Count until the end or the deadline has come. Raises Unavailable."""
        while len(self._groups) < _GROUPS and (rows := await self._walk.step()) is not None:
            self._add(rows)
        groups, others = self._largest(self._most if self._walk.ended else None)
        if self._walk.ended:
            return Counted(groups, others, None, True, None)
        return Counted(groups, others, self._walk.cursor, False, self._walk.reached_ms)

    def _add(self, rows: list[asyncpg.Record]) -> None:
        self._others += rows[0]["others"]
        for row in rows:
            if row["count"] is not None:
                key = row["start_ms"], row["value"]
                count, size = self._groups.get(key, (0, 0))
                self._groups[key] = count + row["count"], size + row["bytes"]

    def _largest(self, most: int | None) -> tuple[list[Group], int]:
        """Of the `most` most frequent values; of all, where others may add to them."""
        totals: defaultdict[Value, int] = defaultdict(int)
        for (_, value), (count, _) in self._groups.items():
            totals[value] += count
        kept = set(sorted(totals, key=lambda value: (-totals[value], str(value)))[:most])
        groups = [Group(start, value, *numbers) for (start, value), numbers in self._groups.items() if value in kept]
        groups.sort(key=lambda group: (group.start_ms or 0, -group.count, str(group.value)))
        return groups, self._others + sum(total for value, total in totals.items() if value not in kept)
