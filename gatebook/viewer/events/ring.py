"""The newest portions in memory, without a hole between them, shared by all listeners.

Rules: a portion is there once for all. It has a number, and those are counted on and on; the oldest portions go when
there are too many bytes. What a filter takes of a portion is known later than the portion: listeners without a filter
never wait for those with one.
"""

import contextlib
from collections import deque
from collections.abc import Iterator, Set
from dataclasses import replace

from gatebook.filter import EVERYTHING, Expression, is_heavy
from gatebook.viewer.events.portion import Portion, blocks
from gatebook.viewer.events.position import Key, Position

BYTES = 8 * 1024 * 1024  # of events and of what filters take; with the blocks that are sent, twice that in memory
_PORTION_BYTES = 1000  # what one takes in any case
_TAKEN_BYTES = 200  # and to note what a filter takes of it


class Filter:
    """One filter, for all listeners that have it."""

    def __init__(self, expression: Expression, first: int) -> None:
        self.expression = expression
        self.first = first  # the portion from which on it is asked
        self.is_heavy = is_heavy(expression)
        self.listeners = 0
        self.too_slow = False


class Entry:
    """A portion of the ring, and what filters take of it; `bytes` of memory in all."""

    def __init__(self, portion: Portion) -> None:
        self.portion = portion
        self.bytes = _PORTION_BYTES + sum(len(sent) for _, sent in portion.events)
        self._blocks: list[bytes] = []
        self._taken: dict[Filter, int] = {}

    def take(self, filter: Filter, events: int) -> int:
        """`filter` takes those of the portion's events whose bits are set; returns the bytes in which that is noted."""
        if not events:
            return 0
        self._taken[filter] = events
        return _TAKEN_BYTES

    @property
    def ids(self) -> Iterator[str]:
        """Of its requests."""
        return (id for (_, id), _ in self.portion.events)

    def forget(self, ids: Set[str]) -> int:
        """Leave these events empty; the others keep their places. Returns the bytes that are gone."""
        events = [(key, b"" if key[1] in ids else sent) for key, sent in self.portion.events]
        gone = sum(len(sent) for _, sent in self.portion.events) - sum(len(sent) for _, sent in events)
        self.portion = replace(self.portion, events=events)
        self.bytes -= gone
        self._blocks = []
        return gone

    def behind(self, position: Position, filter: Filter | None) -> list[bytes]:
        """What a listener at `position` is to be sent, in blocks; joined once for all that take everything."""
        portion = self.portion
        if filter is None and position.key <= portion.after.key:
            self._blocks = self._blocks or list(blocks(sent for _, sent in portion.events))
            return self._blocks
        return list(blocks(sent for key, sent in self._events(filter) if key > position.key))

    def _events(self, filter: Filter | None) -> list[tuple[Key, bytes]]:
        events = self.portion.events
        if filter is None:
            return list(events)
        taken = self._taken.get(filter, 0)
        return [event for number, event in enumerate(events) if taken >> number & 1]


class Ring:
    """Portions `first` to `next` - 1. `matched`: below this one it is known what every filter takes."""

    def __init__(self, start: Position) -> None:
        self.first = self.next = self.matched = 0
        self.matching = 0  # a filter that comes now is asked from this portion on
        self.end = start
        self.filters: dict[Expression, Filter] = {}
        self._entries: deque[Entry] = deque()
        self._bytes = 0

    def append(self, portion: Portion) -> None:
        """`portion` begins where the last one ended."""
        entry = Entry(portion)
        self._entries.append(entry)
        self._bytes += entry.bytes
        if not self.filters and self.matched == self.next:
            self.matched = self.matching = self.next + 1
        self.next += 1
        self.end = portion.until
        while self._bytes > BYTES and len(self._entries) > 1:
            self._bytes -= self._entries.popleft().bytes
            self.first += 1

    def take(self, number: int, filter: Filter, events: int) -> None:
        """`filter` takes the events of a portion whose bits are set. The portion may have gone meanwhile."""
        if number >= self.first:
            entry = self[number]
            bytes = entry.take(filter, events)
            entry.bytes += bytes
            self._bytes += bytes

    @property
    def ids(self) -> list[str]:
        """Of the requests that are there."""
        return [id for entry in self._entries for id in entry.ids]

    def forget(self, ids: Set[str]) -> None:
        """Tell nobody of these any more: they were deleted for good."""
        for entry in self._entries:
            if not ids.isdisjoint(entry.ids):
                self._bytes -= entry.forget(ids)

    @property
    def last(self) -> Key | None:
        """Of the last event that is there."""
        return next((entry.portion.events[-1][0] for entry in reversed(self._entries) if entry.portion.events), None)

    def __getitem__(self, number: int) -> Entry:
        return self._entries[number - self.first]

    def before(self, number: int) -> Position:
        """The position before a portion that is there, or is the next to come."""
        return self[number].portion.after if number < self.next else self.end

    @contextlib.contextmanager
    def following(self, expression: Expression) -> "Iterator[Follower]":
        """A listener with this filter follows the ring for as long as the block runs."""
        if expression == EVERYTHING:
            yield Follower(self, None)
            return
        filter = self.filters.setdefault(expression, Filter(expression, self.matching))
        filter.listeners += 1
        try:
            yield Follower(self, filter)
        finally:
            filter.listeners -= 1
            if not filter.listeners:
                del self.filters[expression]


class Follower:
    """How one listener sees the ring; `apart`: it takes nothing out of it."""

    def __init__(self, ring: Ring, filter: Filter | None, apart: bool = False) -> None:
        self.ring = ring
        self.filter = filter
        self._apart = apart

    def begins(self, position: Position) -> int | None:
        """The portion with which a listener at `position` can go on; None while something lies in between."""
        if self._apart or (self.filter and self.filter.too_slow):
            return None
        number = max(self.ring.first, self.filter.first if self.filter else 0)
        return number if self.ring.before(number).key <= position.key else None

    @property
    def end(self) -> int:
        """The portion that is still to come."""
        return self.ring.matched if self.filter else self.ring.next
