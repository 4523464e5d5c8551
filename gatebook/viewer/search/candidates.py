"""Which ranges of ids can hold what a filter asks for: the blocks that may, and what no block covers yet.

Rule: blocks, commits that they do not cover and `search_state` are read in one statement, so at one moment: a row that
was there then is in what comes out of it, whatever the filling does meanwhile.
"""

from collections.abc import Awaitable, Callable, Iterable
from operator import itemgetter
from typing import NamedTuple
from uuid import UUID

import asyncpg

from gatebook.filter import Expression
from gatebook.viewer.index.blocks import HASHES, entries, maybe, walked
from gatebook.viewer.search.asked import Asked
from gatebook.viewer.search.reading import SEARCH

_ENOUGH = 256  # ranges; those further away are asked for when these have been looked at
_CHUNKS = 128
_COMMITS = 10_000  # that no block covers; should the filling be further behind, everything is looked at
_GIVEN = 6  # parameters of the statement before those of the condition

Ask = Callable[[str, list[object]], Awaitable[list[asyncpg.Record]]]


class Range(NamedTuple):
    """Ids from `low` up to below `high`; `rows` that are known to be there, None when nobody knows."""

    low: int
    high: int
    rows: int | None = None


class Candidates:
    """Where to look. `useful`: blocks can tell something about this expression."""

    def __init__(self, expression: Expression, newest_first: bool) -> None:
        self._newest_first = newest_first
        self._asked = Asked(expression, first=_GIVEN + 1)
        self.useful = self._asked.sql is not None
        near = "high DESC" if newest_first else "low"
        self._sql = SEARCH["candidates"].format(condition=self._asked.sql, near=near, hashes=HASHES)

    async def ask(self, range: Range, ask: Ask) -> tuple[list[Range], Range | None]:
        """What is to be looked at next, in the order of the walk, and what is left to ask for after that."""
        walks = [walked(term) for term in self._asked.terms]
        places = [at for at, _ in walks], [step for _, step in walks]
        most = _CHUNKS
        while True:
            values = [UUID(int=range.low), UUID(int=range.high), most, _COMMITS, *places, *self._asked.values]
            rows = await ask(self._sql, values)
            if not any(row["kind"] == "rest" for row in rows):
                return [range], None  # there are no blocks that count
            chunks = self._nearest_first([row for row in rows if row["kind"] == "chunk"])
            told, left = self._near(chunks, range, len(chunks) == most)
            if left != range:
                others = [_range(row) for row in rows if row["kind"] != "chunk"]
                return self._ordered(told + others, range, left), left
            most *= 4  # so many lie over each other here

    def _near(self, chunks: list[asyncpg.Record], range: Range, are_more: bool) -> tuple[list[Range], Range | None]:
        """Blocks of the nearest chunks, until these are enough, and the range that they tell nothing about."""
        found: list[Range] = []
        for chunk in chunks:
            if len(found) >= _ENOUGH and (left := self._from(chunk, range)) != range:
                return found, left
            chosen = self._asked.chosen(maybe(chunk["slices"] or b"", self._asked.terms))
            found += [Range(low, high + 1, rows) for low, high, rows in entries(chunk["blocks"], chosen)]
        return found, self._from(chunks[-1], range) if are_more else None

    def _nearest_first(self, chunks: list[asyncpg.Record]) -> list[asyncpg.Record]:
        if self._newest_first:
            return sorted(chunks, key=itemgetter("high"), reverse=True)
        return sorted(chunks, key=itemgetter("low"))

    def _from(self, chunk: asyncpg.Record, range: Range) -> Range | None:
        """Where this chunk and those beyond it may lie."""
        if self._newest_first:
            return Range(range.low, min(range.high, int.from_bytes(chunk["high"]) + 1))
        return Range(max(range.low, int.from_bytes(chunk["low"])), range.high)

    def _ordered(self, ranges: list[Range], asked: Range, left: Range | None) -> list[Range]:
        if self._newest_first:
            return merged(ranges, left.high if left else asked.low, asked.high)[::-1]
        return merged(ranges, asked.low, left.low if left else asked.high)


def merged(ranges: Iterable[Range], low: int, high: int) -> list[Range]:
    """What of them lies from `low` up to below `high`, apart from each other and in the order of ids."""
    done: list[Range] = []
    for each in sorted(ranges, key=lambda each: each.low):
        cut = Range(max(each.low, low), min(each.high, high), each.rows)
        if cut.low >= cut.high:
            continue
        if done and cut.low <= done[-1].high:
            last = done.pop()
            rows = None if last.rows is None or cut.rows is None else last.rows + cut.rows
            cut = Range(last.low, max(last.high, cut.high), rows)
        done.append(cut)
    return done


def _range(row: asyncpg.Record) -> Range:
    high = int.from_bytes(row["high"])
    if row["kind"] == "rest":
        return Range(0, high)
    return Range(int.from_bytes(row["low"]), high + 1, row["rows"])
