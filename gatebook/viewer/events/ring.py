"""The newest portions in memory, without a hole between them, shared by all listeners.

Rules: a portion is there once for all. It has a number, and those are counted on and on; the oldest portions go when
there are too many bytes. What a filter takes of a portion is known later than the portion: listeners without a filter
never wait for those with one.
"""

import contextlib
from collections import deque
from collections.abc import Iterator, Sequence

from gatebook.filter import EVERYTHING, Expression, is_heavy
from gatebook.viewer.events.portion import Portion, blocks
from gatebook.viewer.events.position import Position

BYTES = 8 * 1024 * 1024  # of events; what is sent of them is made of copies, so twice that in memory
_PORTION_BYTES = 1000  # what one takes in any case


class Filter:
    """What one filter takes, for all listeners that have it: the numbers of events by portion."""

    def __init__(self, expression: Expression, first: int) -> None:
        self.expression = expression
        self.first = first  # the portion from which on it is asked
        self.is_heavy = is_heavy(expression)
        self.listeners = 0
        self.too_slow = False


class Entry:
    """A portion of the ring, and the blocks of it that are sent."""

    def __init__(self, portion: Portion) -> None:
        self.portion = portion
        self.bytes = _PORTION_BYTES + sum(len(sent) for _, sent in portion.events)
        self._blocks: dict[Filter | None, list[bytes]] = {}
        self._taken: dict[Filter, Sequence[int]] = {}

    def take(self, filter: Filter, events: Sequence[int]) -> None:
        """`filter` takes these of the portion's events."""
        self._taken[filter] = events

    def behind(self, position: Position, filter: Filter | None) -> list[bytes]:
        """What a listener at `position` is to be sent, in blocks; joined once for all of them."""
        portion = self.portion
        if position.key > portion.after.key:
            taken = self._events(filter)
            return list(blocks(sent for key, sent in taken if key > position.key))
        if filter not in self._blocks:
            self._blocks[filter] = list(blocks(sent for _, sent in self._events(filter)))
        return self._blocks[filter]

    def _events(self, filter: Filter | None) -> list[tuple[tuple[int, str], bytes]]:
        events = self.portion.events
        return list(events) if filter is None else [events[number] for number in self._taken[filter]]


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
    """How one listener sees the ring."""

    def __init__(self, ring: Ring, filter: Filter | None) -> None:
        self.ring = ring
        self.filter = filter

    def begins(self, position: Position) -> int | None:
        """The portion with which a listener at `position` can go on; None while something lies in between."""
        if self.filter and self.filter.too_slow:
            return None
        number = max(self.ring.first, self.filter.first if self.filter else 0)
        return number if self.ring.before(number).key <= position.key else None

    @property
    def end(self) -> int:
        """The portion that is still to come."""
        return self.ring.matched if self.filter else self.ring.next
