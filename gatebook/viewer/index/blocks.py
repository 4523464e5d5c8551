"""Blocks of requests and what they are asked by, and many of them laid together. Pure.

Rule: a block says of a term "maybe" or "no". It says no only when none of its requests has that term; the terms of a
block are known exactly, those of a block in a chunk by a Bloom filter (Burton H. Bloom, 1970).

Rule: what is stored stays readable. Whoever changes how bits lie, as whoever changes terms, empties search_state by a
migration.

A chunk's filters lie crosswise: the bits at one position, of all its blocks, are 16 bytes side by side. So it is asked
for a term by reading 16 bytes in six places, whatever the blocks hold.
"""

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from uuid import UUID

BLOCKS = 128  # of a chunk
HASHES = 6  # positions of a term
_BYTES = BLOCKS // 8
_POSITIONS_A_TERM = 32  # with six hashes, one block in 40,000 says "maybe" to a term that it does not have
_MIX = 0x9E3779B97F4A7C15  # 2**64 divided by the golden ratio (Knuth, volume 3, section 6.4)
_ENTRY = struct.Struct(">16s16sI")

ROWS = 1024  # of a block
_TERMS = 16_384
_APART = 60_000 << 80  # a minute, as a difference of ids


@dataclass
class Block:
    """Requests from `low` to `high`, both included."""

    low: UUID
    high: UUID
    rows: int = 0
    terms: set[int] = field(default_factory=set)

    def add(self, id: UUID, terms: set[int]) -> None:
        self.low, self.high = min(self.low, id), max(self.high, id)
        self.rows += 1
        self.terms |= terms


class Cutter:
    """Makes blocks of requests that come in the order of ids, either way.

    `apart`: other requests, which are in other blocks, may lie between these, so a block should not span much time.
    """

    def __init__(self, apart: bool = False) -> None:
        self._apart = apart
        self.last: Block | None = None  # which may still grow

    def add(self, id: UUID, terms: set[int]) -> Block | None:
        """Take a request; returns the block that is finished by that, if one is."""
        finished = None
        if self.last and not self._has_room(self.last, id, terms):
            finished, self.last = self.last, None
        self.last = self.last or Block(id, id)
        self.last.add(id, terms)
        return finished

    def _has_room(self, block: Block, id: UUID, terms: set[int]) -> bool:
        near = not self._apart or min(abs(id.int - block.high.int), abs(id.int - block.low.int)) <= _APART
        fits = len(block.terms) + len(terms) <= _TERMS or len(block.terms | terms) <= _TERMS
        return near and fits and block.rows < ROWS


class Chunk:
    """Blocks laid together; `add` each of them once."""

    def __init__(self, sizes: Sequence[int]) -> None:
        """`sizes`: how many terms each block has. One that has far more than the others says "maybe" more often."""
        self.positions = max(64, _POSITIONS_A_TERM * sum(sizes) // len(sizes))
        self.bits = bytearray(_BYTES * self.positions)
        self.blocks = b""

    def add(self, low: UUID, high: UUID, rows: int, terms: Iterable[int]) -> None:
        number = len(self.blocks) // _ENTRY.size
        self.blocks += _ENTRY.pack(low.bytes, high.bytes, rows)
        bits, positions, place, bit = self.bits, self.positions, number >> 3, 1 << (number & 7)
        for term in terms:
            at, step = walked(term)
            for position in range(at, at + HASHES * step, step):
                bits[position % positions * _BYTES + place] |= bit


def walked(term: int) -> tuple[int, int]:
    """A term's first position and the step from each to the next, before they are taken modulo a chunk's positions."""
    mixed = term * _MIX
    return mixed >> 32 & 0xFFFFFFFF, mixed & 0xFFFFFFFF | 1


def maybe(slices: bytes, terms: Sequence[int]) -> dict[int, int]:
    """For each term, which blocks may have it, as the bits of a number; `slices` are its bytes of a chunk's `bits`."""
    numbers = [int.from_bytes(slices[at : at + _BYTES], "little") for at in range(0, len(slices), _BYTES)]
    found = {}
    for index, term in enumerate(terms):
        first, *others = numbers[index * HASHES : (index + 1) * HASHES]
        for other in others:
            first &= other
        found[term] = first
    return found


def entries(blocks: bytes, chosen: int) -> Iterator[tuple[int, int, int]]:
    """Low, high and rows of those blocks of a chunk whose bits are set in `chosen`."""
    chosen &= (1 << len(blocks) // _ENTRY.size) - 1
    while chosen:
        last = chosen.bit_length() - 1
        low, high, rows = _ENTRY.unpack_from(blocks, last * _ENTRY.size)
        yield int.from_bytes(low), int.from_bytes(high), rows
        chosen ^= 1 << last
