"""Puts requests into blocks, behind the captures: what is new by commits, what is old from the newest down.

Rules: `search_state` moves on in the transaction that adds the last block of what it moves over, so wherever this ends,
what is in no block is known; a request in two blocks does no harm. Transactions are short, since live events wait for
them. Work is done in slices, since others share the event loop.
"""

import asyncio
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import asyncpg

from gatebook.db.connect import Connection
from gatebook.db.queries import named
from gatebook.filter import terms
from gatebook.viewer.index.blocks import BLOCKS, ROWS, Block, Chunk, Cutter

SQL = named("gatebook.viewer.index", "index.sql")
SQL |= {name: SQL[name].format(parts=SQL["parts"]) for name in ("rows", "rows_below")}

COMMITS = 4096  # looked at in a step
BEHIND = 16_384  # rows of these commits
_WAITED = timedelta(hours=1)  # after which few requests make a block as well; commits are kept for a day
_LARGE_BYTES = 32_768  # a thousand requests are read at once, but for the large ones
_LATE = 2_000 << 80  # two seconds, as a difference of ids: further below the newest lie those that came late
_DAY = 86_400_000 << 80
_SLICE_S, _PAUSE_S = 0.004, 0.001
_DROPPED = {"method": "", "target": "", "headers": "[]"}


class Lost(Exception):
    """The blocks or the state are not as we left them."""


@dataclass(frozen=True)
class State:
    """Requests of commits below `next` are in blocks, and those from `down_to` on that were there at the beginning."""

    next: int
    down_to: UUID


class Filling:
    """Step by step, by a connection that nobody else uses meanwhile."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._loop = asyncio.get_running_loop()
        self._slice_ends = 0.0
        self._newest: int | None = None  # the highest id in a block
        self._width = _DAY  # of the next stretch of ids below
        self._looked: tuple[float, int] | None = None
        self.transactions_a_second = 0.0

    async def step(self) -> bool:
        """Do a little of what is to be done; False when there is nothing."""
        [row] = await self._connection.fetch(SQL["look"])
        self._measure(row["transactions"])
        if row["next"] is None:
            await self._begin()
            return True
        state = State(row["next"], row["down_to"])
        return (
            await self._lay_together()
            or await self._forward(state, row["settled"])
            or await self._refine()
            or await self._backward(state)
        )

    async def forget(self) -> None:
        """Delete the blocks of days that were dropped."""
        deleted = True
        while deleted:
            await asyncio.sleep(_PAUSE_S)
            deleted = await self._connection.fetchval(SQL["forget"])

    async def _begin(self) -> None:
        """Begin anew: there are no blocks yet, or of another epoch, or commits were pruned before they were in any."""
        await self._connection.execute(SQL["disown"])
        async with self._connection.transaction():
            await self._connection.execute("SET LOCAL lock_timeout = '1s'")
            await self._connection.execute(SQL["empty"])
            await self._connection.execute(SQL["begin"])
        self._newest, self._width = None, _DAY

    async def _forward(self, state: State, settled: int) -> bool:
        """Cover the next commits, once they are enough for a block or have waited for long."""
        commits = await self._connection.fetch(SQL["commits"], state.next, settled, COMMITS, _WAITED)
        is_behind = len(commits) == COMMITS or sum(commit["rows"] for commit in commits) > BEHIND
        rows, next = 0, state.next
        for commit in commits:
            rows, next = rows + commit["rows"], commit["xid"] + 1
            if rows >= ROWS and not is_behind:
                break
        if rows < ROWS and not is_behind and not any(commit["old"] for commit in commits):
            return False
        new = State(next, state.down_to)
        await (self._cover_roughly(state, new) if is_behind else self._cover_commits(state, new))
        return True

    async def _cover_roughly(self, old: State, new: State) -> None:
        """So many wait that searches would have to read too much to learn where these are: only that is noted now."""
        async with self._connection.transaction():
            await self._connection.execute(SQL["add_rough"], old.next, new.next)
            await self._move(old, new)

    async def _cover_commits(self, old: State, new: State) -> None:
        self._newest = self._newest or int.from_bytes(await self._connection.fetchval(SQL["newest"]) or b"")
        ids = [row["id"] for row in await self._connection.fetch(SQL["ids"], old.next, new.next)]
        late = [id for id in ids if id.int < self._newest - _LATE]
        # What came late lies among requests of other blocks, however far apart; what is new lies alone.
        blocks = [await self._cover_ids(part, apart=part is late) for part in (late, ids[len(late) :])]
        await self._advance(blocks, old, new)
        self._newest = max(self._newest, ids[-1].int) if ids else self._newest

    async def _refine(self) -> bool:
        """Cover the newest requests that are covered roughly, as there was no time then."""
        rough = await self._connection.fetchrow(SQL["rough"])
        if rough is None:
            return False
        low, high = rough["low"], rough["high"]
        rows = await self._rows_below(low, UUID(int=min(high.int + 1, 2**128 - 1)))
        block = await self._cover(rows, Cutter())
        async with self._connection.transaction():
            if block:
                await self._add(block)
            if len(rows) == ROWS and rows[-1]["id"] > low:
                left = max(rough["rows"] - ROWS, 1)
                await self._connection.execute(SQL["add_block"], low, UUID(int=rows[-1]["id"].int - 1), left, None)
            await self._drop([rough["number"]])
        return True

    async def _backward(self, state: State) -> bool:
        """Cover the newest requests that were there at the beginning and are in no block."""
        if not state.down_to.int:
            return False
        high = state.down_to.int
        edge = min(high, time.time_ns() // 10**6 << 80)
        low = max(0, edge - self._width)
        rows = await self._rows_below(UUID(int=low), state.down_to)
        block = await self._cover(rows, Cutter())
        if len(rows) < ROWS:
            down_to, self._width = UUID(int=low), self._width * 4
        else:
            down_to = rows[-1]["id"]
            self._width = max(_DAY, 2 * (edge - down_to.int))
        await self._advance([block], state, State(state.next, down_to))
        return True

    async def _rows_below(self, low: UUID, high: UUID) -> list[asyncpg.Record]:
        return list(await self._connection.fetch(SQL["rows_below"], low, high, ROWS, _LARGE_BYTES))

    async def _cover_ids(self, ids: Sequence[UUID], apart: bool) -> Block | None:
        """Add blocks of these but for the last one, which is returned."""
        cutter = Cutter(apart)
        for start in range(0, len(ids), ROWS):
            part = ids[start : start + ROWS]
            await self._cover(await self._connection.fetch(SQL["rows"], part[0], part[-1], part, _LARGE_BYTES), cutter)
        return cutter.last

    async def _cover(self, rows: list[asyncpg.Record], cutter: Cutter) -> Block | None:
        for row in rows:
            if full := cutter.add(row["id"], await self._terms_of(row)):
                await self._add(full)
            await self._breathe()
        return cutter.last

    async def _terms_of(self, row: asyncpg.Record) -> set[int]:
        if not row["large"]:
            return terms(dict(row))
        large = await self._connection.fetchrow(SQL["large_row"], row["id"]) or _DROPPED
        return await asyncio.to_thread(terms, {**row, **large})  # which may have 20,000 headers

    async def _advance(self, blocks: Iterable[Block | None], old: State, new: State) -> None:
        async with self._connection.transaction():
            for block in blocks:
                if block:
                    await self._add(block)
            await self._move(old, new)

    async def _move(self, old: State, new: State) -> None:
        if not await self._connection.fetchval(SQL["advance"], old.next, old.down_to, new.next, new.down_to):
            raise Lost("it was begun anew meanwhile")

    async def _drop(self, numbers: list[int]) -> None:
        if len(await self._connection.fetch(SQL["drop_blocks"], numbers)) != len(numbers):
            raise Lost("it was begun anew meanwhile")

    async def _add(self, block: Block) -> None:
        await self._connection.execute(SQL["add_block"], block.low, block.high, block.rows, list(block.terms))

    async def _lay_together(self) -> bool:
        """Make a chunk of blocks, once they are enough."""
        blocks = await self._connection.fetch(SQL["blocks"], BLOCKS)
        if len(blocks) < BLOCKS:
            return False
        numbers = [block["number"] for block in blocks]
        chunk = Chunk([row["size"] for row in await self._connection.fetch(SQL["sizes"], numbers)])
        for block in blocks:
            chunk.add(block["low"], block["high"], block["rows"], await self._terms(block["number"]))
            await self._breathe()
        low, high = min(block["low"] for block in blocks), max(block["high"] for block in blocks)
        async with self._connection.transaction():
            await self._connection.execute(SQL["add_chunk"], low, high, chunk.blocks, chunk.positions, chunk.bits)
            await self._drop(numbers)
        return True

    async def _terms(self, number: int) -> list[int]:
        found: list[int] = await self._connection.fetchval(SQL["terms_of"], number)
        return found

    async def _breathe(self) -> None:
        """Let others use the event loop, when we have for long enough."""
        if self._loop.time() > self._slice_ends:
            await asyncio.sleep(_PAUSE_S)
            self._slice_ends = self._loop.time() + _SLICE_S

    def _measure(self, transactions: int) -> None:
        now = self._loop.time()
        if self._looked and now - self._looked[0] > 0.2:
            at, before = self._looked
            self.transactions_a_second = (transactions - before) / (now - at)
            self._looked = now, transactions
        self._looked = self._looked or (now, transactions)
