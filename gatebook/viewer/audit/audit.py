"""The audit: is everything that the load balancer saw acknowledged really recorded?

Rules: what was acknowledged is sought in the table, in the spools, and in the table once more (it may have been drained
in between), each time after its line was read. What is nowhere is missing, unless an operator had it forgotten, its day
was dropped, or it went into a spool that cannot be seen from here. Nothing that happens meanwhile makes a request
missing that is not.

Runs beside traffic, in memory that does not depend on the log's length: the log is read in threads, a block at a time,
and the table is asked short questions.
"""

import asyncio
import os
import sqlite3
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from gatebook import spool
from gatebook.identity import unix_ms, utc
from gatebook.settings import Settings
from gatebook.viewer.audit.access_log import Block, Line, Log, facts, moment
from gatebook.viewer.audit.recorded import Recorded, day
from gatebook.viewer.audit.repeats import Repeats
from gatebook.viewer.audit.verdict import MOST_SHOWN, OUTCOMES, Verdict
from gatebook.viewer.database import Database

SETTLE_S = 2.0  # the load balancer writes its log within a second
_MOST_REMEMBERED = 100_000  # of what lay in a spool, to know in the end what was drained meanwhile
_READING = 0.9  # of the work

T = TypeVar("T")


class Tally(NamedTuple):
    """A block of lines, sorted out."""

    ids: set[str]  # of all of them
    acknowledged: list[Line]
    bytes: int


class Audit:
    """One audit of the last `since_s` seconds, or of all that the log holds. `progress` grows from 0 to 1."""

    def __init__(self, settings: Settings, database: Database, since_s: int | None) -> None:
        self.progress = 0.0
        self._settings = settings
        self._database = database
        self._recorded = Recorded(database)
        self._until_ms = time.time_ns() // 10**6
        self._since_ms = 0 if since_s is None else max(0, self._until_ms - since_s * 1000)
        self._counts = Counter(dict.fromkeys(OUTCOMES, 0))
        self._lines = 0
        self._earliest_ms = self._until_ms  # of a line
        self._named = 0  # rows that a line of the log names
        self._spooled: list[str] = []
        self._missing: list[dict[str, Any]] = []
        self._twice: list[str] = []
        self._repeats: Repeats

    @property
    def so_far(self) -> dict[str, float]:
        """For whoever waits: how much of the work is done, how many lines were read, how many requests are missing."""
        return {"progress": round(self.progress, 3), "lines": self._lines, "missing": self._counts["missing"]}

    async def check(self) -> None:
        """See that it can be done at all; raises OSError for the log, and Unavailable."""
        self._open().close()
        await self._database.row("ready")

    async def run(self) -> Verdict:
        """Do it; raises OSError for the log, and Unavailable."""
        self._repeats = Repeats()
        await asyncio.sleep(SETTLE_S)
        log = self._open()
        try:
            async for tally in _in_threads(map(self._tally, log.blocks())):
                await self._reconcile(tally, self._first_id(log))
                self.progress = _READING * tally.bytes / max(log.bytes, 1)
            await self._count_repeats(log)
            await self._count_rows(self._first_id(log))
            return self._verdict(log)
        finally:
            log.close()

    def _open(self) -> Log:
        return Log(self._settings.access_log, self._since_ms, self._until_ms)

    def _tally(self, block: Block) -> Tally:
        counts, acknowledged = self._counts, []
        for line in block.lines:
            self._repeats.add(line.id)
            counts["retried"] += line.retried
            if _is_acknowledged(line):
                acknowledged.append(line)
            elif line.status >= 500:
                counts["refused"] += 1
            elif line.status >= 400 and not line.durability:
                counts["rejected"] += 1
        counts["acknowledged"] += len(acknowledged)
        counts["unreadable"] += block.unreadable
        self._lines += len(block.lines)
        ids = {line.id for line in block.lines}
        if ids:
            self._earliest_ms = min(self._earliest_ms, unix_ms(min(ids)))
        return Tally(ids, acknowledged, block.bytes)

    async def _reconcile(self, tally: Tally, first_id: str) -> None:
        absent = await self._recorded.absent(tally.ids)
        self._named += _from(first_id, tally.ids) - _from(first_id, absent)
        sought = [line for line in tally.acknowledged if line.id in absent]
        self._counts["recorded"] += len(tally.acknowledged) - len(sought)
        if sought:
            await self._seek(sought, first_id)

    async def _seek(self, lines: list[Line], first_id: str) -> None:
        """Find out where these are, which the table did not have."""
        folder, spooled = await asyncio.to_thread(_seen_in_spools, self._settings.spool, {line.id for line in lines})
        again = {line.id for line in lines} - spooled
        absent = await self._recorded.absent(again)
        dropped = await self._recorded.dropped(absent)
        forgotten = await self._recorded.forgotten(absent | spooled)  # a copy in a spool is not drained any more
        self._named += _from(first_id, again) - _from(first_id, absent)
        self._spooled += sorted(spooled)[: _MOST_REMEMBERED - len(self._spooled)]
        for line in lines:
            if line.id in forgotten:
                self._counts["forgotten"] += 1
            elif line.id in spooled:
                self._counts["spooled"] += 1
            elif line.id not in absent:
                self._counts["recorded"] += 1
            elif day(line.id) in dropped:
                self._counts["expired"] += 1
            elif line.durability == "spooled" and line.spool != folder:
                self._counts["unknown"] += 1
            else:
                self._miss(line)

    def _miss(self, line: Line) -> None:
        self._counts["missing"] += 1
        if len(self._missing) < MOST_SHOWN:
            told = facts(line)
            shown = {name: told.get(name) for name in ("request", "peer", "replica", "durability", "status")}
            self._missing.append({"id": line.id, "received_at": utc(line.id), **shown})

    async def _count_repeats(self, log: Log) -> None:
        """Read the log once more for the ids that may have come twice."""
        suspects = self._repeats.suspects
        if not suspects:
            return
        acknowledged: Counter[str] = Counter()
        named: Counter[str] = Counter()  # in how many blocks, each of which took it for another row
        async for block in _in_threads(log.blocks({moment(unix_ms(id)) for id in suspects})):
            lines = [line for line in block.lines if line.id in suspects]
            acknowledged.update(line.id for line in lines if _is_acknowledged(line))
            named.update({line.id for line in lines})
        twice = sorted(id for id, times in acknowledged.items() if times > 1)
        self._counts["twice"] += sum(acknowledged[id] - 1 for id in twice)
        self._twice = twice[:MOST_SHOWN]
        again = {id for id, blocks in named.items() if blocks > 1 and id >= self._first_id(log)}
        self._named -= sum(named[id] - 1 for id in again - await self._recorded.absent(again))

    async def _count_rows(self, first_id: str) -> None:
        """How many there are of the span, and how many of these no line of the log names."""
        rows, before = 0, self.progress
        async for slice in self._recorded.slices(first_id, _highest_id(self._until_ms)):
            rows += slice.ids
            self._counts["twice"] += slice.rows - slice.ids
            self.progress = before + (1 - before) * slice.done
        spooled = {id for id in self._spooled if id >= first_id}
        drained = len(spooled) - len(await self._recorded.absent(spooled))
        self._counts["unlogged"] = max(0, rows - self._named - drained)

    def _begins_ms(self, log: Log) -> int:
        """Where what was audited begins: the span does, or the log if that is later."""
        begins_ms = self._until_ms if log.begins_ms is None else log.begins_ms
        return self._since_ms if log.skipped else min(max(self._since_ms, begins_ms), self._until_ms)

    def _first_id(self, log: Log) -> str:
        """From here on a row should have its line; where a piece was deleted, not so at the beginning of the next."""
        begins_ms = self._begins_ms(log)
        cut_off = log.rotated and begins_ms > self._since_ms
        return _lowest_id(begins_ms + round(SETTLE_S * 1000) * cut_off)

    def _verdict(self, log: Log) -> Verdict:
        self.progress = 1.0
        return Verdict(
            from_ms=min(self._begins_ms(log), self._earliest_ms),
            until_ms=self._until_ms,
            asked_from_ms=self._since_ms,
            log_bytes=log.bytes,
            log_lines=self._lines,
            counts=dict(self._counts),
            missing=self._missing,
            twice=self._twice,
            overrun=self._repeats.overrun,
            finished_at=time.time(),
        )


def _is_acknowledged(line: Line) -> bool:
    return line.status in (200, 413) and line.durability in ("committed", "spooled")


def _seen_in_spools(folder: Path, ids: set[str]) -> tuple[str | None, set[str]]:
    """The id of the spool folder, None if it cannot be read or has none, and which of `ids` lie in it."""
    try:
        os.scandir(folder).close()  # one that may not be listed would seem to be empty
        return spool.identity(folder), spool.contained(folder, ids)
    except (OSError, sqlite3.Error):
        return None, set()


def _from(first_id: str, ids: Iterable[str]) -> int:
    return sum(id >= first_id for id in ids)


def _lowest_id(ms: int) -> str:
    return f"{ms >> 16:08x}-{ms & 0xFFFF:04x}-7000-8000-000000000000"


def _highest_id(ms: int) -> str:
    return f"{ms >> 16:08x}-{ms & 0xFFFF:04x}-7fff-bfff-ffffffffffff"


async def _in_thread(work: Callable[[], T]) -> T:
    """What `work` returns. Who is cancelled waits for the thread: nothing is closed while that reads it."""
    running = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(running)
    finally:
        await asyncio.wait({running})


async def _in_threads(items: Iterator[T]) -> AsyncIterator[T]:
    """Each of `items`, made in a thread."""
    while (item := await _in_thread(lambda: next(items, None))) is not None:
        yield item
