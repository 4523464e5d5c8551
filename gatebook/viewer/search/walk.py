"""Goes through everything that a filter can match, window by window, newest or oldest first.

Rules: a window takes some tenths of a second, whatever is in it, and holds a connection no longer. It reads a range of
ids, so that no days are opened but its own, and no more rows than the last windows say that there is time for. What was
looked at ends at one id, whenever the walk stops, so that another one can go on from there. The first window looks at
the nearest rows, where the frequent is found at once; then blocks say where there may be more (see candidates.py).
"""

import time
from collections import deque
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import asyncpg

from gatebook.filter import Expression, span
from gatebook.identity import rfc3339
from gatebook.viewer.database import STATEMENT_TIMEOUT_S, Busy, Database, TooSlow, Unavailable
from gatebook.viewer.search.candidates import Candidates, Range
from gatebook.viewer.search.reading import Reading

_AIM_S = 0.3
_PATIENCE_S = 2.5  # with a window that takes longer than it should
_FASTER, _SLOWER = 8, 16  # how many times more rows the next window has at most, how many times fewer after a failure
_MOST_ROWS = 2**20
_MOST_RANGES = 200  # in a window
_DAY = 86_400_000 << 80  # as a difference of ids
_LATEST_MS = 253_402_300_799_999  # timestamps end with the year 9999, ids do not


class Walk:
    """One walk. What it has looked at lies between where it began and `cursor`."""

    def __init__(
        self,
        database: Database,
        expression: Expression,
        reading: Reading,
        rows: int,
        cursor: UUID | None,
        newest_first: bool,
        deadline_s: float,
        most_rows: int | None = None,
    ) -> None:
        self._database = database
        self._reading = reading
        self._rows = rows  # of the next window, at most
        self._most_rows = most_rows or _MOST_ROWS  # of any
        self._newest_first = newest_first
        self._deadline = time.monotonic() + deadline_s
        low, high = (bound.int for bound in span(expression))
        if cursor is not None:
            low, high = (low, min(high, cursor.int)) if newest_first else (max(low, cursor.int + 1), high)
        self._all = Range(low, max(low, high))
        self._ahead: deque[Range] = deque([self._all] if low < high else [])
        self._beyond: Range | None = None  # what the blocks are still to be asked about
        self._candidates = Candidates(expression, newest_first)
        self._unasked = self._candidates.useful
        self._at = self._all.high if newest_first else low
        self._now = time.time_ns() // 10**6 << 80
        self._days: Range | None = None
        self._width = _DAY
        self._patience_s = _PATIENCE_S
        self._begun = False
        self.progress = 0.0

    async def step(self) -> list[asyncpg.Record] | None:
        """The next window's rows; None at the end, or when there is no more time. Raises Unavailable."""
        while not self.ended:
            if self._begun and time.monotonic() > self._deadline:
                return None
            try:
                await self._look_around()
                if self._ahead:
                    rows = await self._window()
                    self._begun = True
                    return rows
            except TooSlow:
                self._slow_down()
            except Busy:
                if not self._begun:
                    raise
                return None
        self.progress = 1.0
        return None

    @property
    def ended(self) -> bool:
        """Whether everything was looked at."""
        return not self._ahead and not self._beyond

    @property
    def cursor(self) -> UUID:
        """From where another walk goes on."""
        return UUID(int=self._at if self._newest_first else self._at - 1)

    @property
    def reached_ms(self) -> int | None:
        """Unix milliseconds down (or up) to which all was looked at; None at the end, and before the first window."""
        return None if self.ended or not self._begun else as_ms(self._at)

    def so_far(self, found: int) -> dict[str, Any]:
        """How far it has come, as the API tells it."""
        ms = self.reached_ms
        reached = None if ms is None else rfc3339(ms)
        return {"progress": round(self.progress, 3), "reached": reached, "found": found}

    async def _look_around(self) -> None:
        """Find out what the next window has to know."""
        if self._days is None:
            first, last = await self._database.days()
            self._days = Range(_midnight(first), _midnight(last) + _DAY)
        if self._begun and self._unasked:
            self._unasked = False
            self._beyond = self._left()
            self._ahead.clear()
        if not self._ahead and self._beyond:
            await self._ask_blocks(self._beyond)

    async def _ask_blocks(self, beyond: Range) -> None:
        try:
            ranges, self._beyond = await self._candidates.ask(beyond, self._ask)
        except TooSlow:  # then without them
            ranges, self._beyond = [beyond], None
        self._ahead.extend(ranges)
        if not ranges and self._beyond:
            self._advance(self._beyond.high if self._newest_first else self._beyond.low)

    async def _window(self) -> list[asyncpg.Record]:
        group = self._next_group()
        began = time.monotonic()
        if len(group) > 1:
            rows = await self._read_several(group)
            full = sum(each.rows or 0 for each in group) * 2 > self._rows
        else:
            rows = await self._read_one(group[0])
            full = rows[0]["reached"] is not None
        took_s = time.monotonic() - began
        if full or took_s > _AIM_S:
            faster = min(_FASTER, _AIM_S / max(took_s, 1e-3))
            self._rows = max(1, min(self._most_rows, int(self._rows * faster)))
        self._patience_s = _PATIENCE_S
        return rows

    def _next_group(self) -> list[Range]:
        """The ranges of the next window: as many as have no more rows than it may have, and lie within some days."""
        group: list[Range] = []
        rows = 0
        for each in self._ahead:
            rows += each.rows or 0
            low, high = min(each.low, self._ahead[0].low), max(each.high, self._ahead[0].high)
            if each.rows is None or rows > self._rows or len(group) == _MOST_RANGES or high - low > 8 * _DAY:
                break
            group.append(each)
        return group or [self._ahead[0]]

    async def _read_several(self, group: list[Range]) -> list[asyncpg.Record]:
        low, high = min(each.low for each in group), max(each.high for each in group)
        ranges = [[UUID(int=each.low), UUID(int=each.high)] for each in group]
        rows = await self._ask(self._reading.several, self._reading.values(low, high, ranges))
        for _ in group:
            self._ahead.popleft()
        self._advance(low if self._newest_first else high)
        return rows

    async def _read_one(self, range: Range) -> list[asyncpg.Record]:
        near, left = self._near_part(range)
        rows = await self._ask(self._reading.one, self._reading.values(near.low, near.high, self._rows))
        reached: UUID | None = rows[0]["reached"]
        if reached is None:
            if left.low < left.high:
                self._width *= 4
            at = near.low if self._newest_first else near.high
        else:
            at = reached.int if self._newest_first else reached.int + 1
            self._width = max(_DAY, 2 * abs(at - self._edge(range)))
            left = Range(range.low, at) if self._newest_first else Range(at, range.high)
        self._ahead.popleft()
        if left.low < left.high:
            self._ahead.appendleft(left)
        self._advance(at)
        return rows

    def _near_part(self, range: Range) -> tuple[Range, Range]:
        """The part of a range that lies within our width, and what is left of it. Where no days are, nothing is cut."""
        edge, days = self._edge(range), self._days
        if self._newest_first:
            cut = max(range.low, edge - self._width) if days is None or edge > days.low else range.low
            return Range(cut, range.high, range.rows), Range(range.low, cut)
        cut = min(range.high, edge + self._width) if days is None or edge < days.high else range.high
        return Range(range.low, cut, range.rows), Range(cut, range.high)

    def _edge(self, range: Range) -> int:
        """Where its days begin: the future has few, and the past before the first of them none."""
        if self._newest_first:
            return min(range.high, max(self._now, range.low))
        return max(range.low, min(self._days.low, range.high)) if self._days else range.low

    def _left(self) -> Range:
        return Range(self._all.low, self._at) if self._newest_first else Range(self._at, self._all.high)

    def _advance(self, at: int) -> None:
        self._at = at
        low = max(self._all.low, min(self._days.low, self._now)) if self._days else self._all.low
        high = max(low, min(self._all.high, self._now))
        done = high - at if self._newest_first else at - low
        self.progress = max(self.progress, min(done / (high - low), 0.999) if high > low else 0.0)

    def _slow_down(self) -> None:
        if not self._begun and time.monotonic() > self._deadline:
            raise Unavailable("the database takes too long for this") from None
        if self._rows > 1:
            self._rows = max(1, self._rows // _SLOWER)
        elif self._patience_s < STATEMENT_TIMEOUT_S:
            self._patience_s *= 2
        else:
            raise Unavailable("the database takes too long to look at a single request") from None

    async def _ask(self, sql: str, values: list[object]) -> list[asyncpg.Record]:
        wait_s = max(self._deadline - time.monotonic(), 0.1)
        return await self._database.window(sql, values, self._patience_s, wait_s)


def as_ms(id: int) -> int:
    """The Unix milliseconds of an id, as far as timestamps go."""
    return min(id >> 80, _LATEST_MS)


def _midnight(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1000 << 80
