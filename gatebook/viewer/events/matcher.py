"""Which events of the ring each filter takes: all filters of all listeners in a few statements a portion.

Rule: one filter never holds up the others for long. A statement that takes too long, or fails, is asked again by
halves, until the filter that it was is alone. Heavy filters, which look into bodies or have many conditions, are asked
last, and none of them any more once they take too long together. The listeners of what is too slow are served out of
the database from then on.
"""

import asyncio
from collections.abc import Sequence

import asyncpg

from gatebook.db.connect import AWAY
from gatebook.filter import Parameters, condition
from gatebook.viewer.events.portion import QUERIES, Fetch
from gatebook.viewer.events.ring import Entry, Filter, Ring

STATEMENT_TIMEOUT_S = 0.5  # of the connection that it asks on
_HEAVY_WITHIN_S = 0.2  # all heavy filters, of one portion
_FILTERS = 50  # in one statement


class Matcher:
    """Asks the filters of a ring, portion by portion."""

    def __init__(self, ring: Ring, fetch: Fetch) -> None:
        self._ring = ring
        self._fetch = fetch

    async def match(self) -> None:
        """Ask the filters what they take of the next portion. Raises what `fetch` raises when the database is away."""
        ring = self._ring
        number = max(ring.matched, ring.first)
        entry = ring[number]
        ring.matching = number + 1  # before the filters are looked at: one that comes meanwhile begins behind it
        filters = [filter for filter in ring.filters.values() if filter.first <= number and not filter.too_slow]
        light = [filter for filter in filters if not filter.is_heavy]
        for first in range(0, len(light), _FILTERS):
            await self._ask(entry, light[first : first + _FILTERS])
        await self._ask_heavy(entry, [filter for filter in filters if filter.is_heavy])
        ring.matched = number + 1

    async def _ask_heavy(self, entry: Entry, filters: Sequence[Filter]) -> None:
        clock = asyncio.get_running_loop().time
        began = clock()
        for first in range(0, len(filters), _FILTERS):
            if clock() - began <= _HEAVY_WITHIN_S:
                await self._ask(entry, filters[first : first + _FILTERS])
        if clock() - began > _HEAVY_WITHIN_S:
            for filter in filters:
                filter.too_slow = True

    async def _ask(self, entry: Entry, filters: Sequence[Filter]) -> None:
        if not entry.portion.events:
            for filter in filters:
                entry.take(filter, [])
            return
        try:
            await self._take(entry, filters)
        except asyncpg.PostgresError as error:
            if isinstance(error, AWAY) and not isinstance(error, asyncpg.QueryCanceledError):
                raise
            if filters[0].is_heavy:
                for filter in filters:
                    filter.too_slow = True
            else:
                await self._by_halves(entry, filters)

    async def _by_halves(self, entry: Entry, filters: Sequence[Filter]) -> None:
        if len(filters) == 1:
            filters[0].too_slow = True
            return
        middle = len(filters) // 2
        await self._ask(entry, filters[:middle])
        await self._ask(entry, filters[middle:])

    async def _take(self, entry: Entry, filters: Sequence[Filter]) -> None:
        numbers = {key[1]: number for number, (key, _) in enumerate(entry.portion.events)}
        parameters = Parameters(list(numbers), min(numbers), max(numbers))
        conditions = [f"{condition(filter.expression, parameters)} AS f{n}" for n, filter in enumerate(filters)]
        asked = QUERIES["matches"].format(conditions=", ".join(conditions))
        rows = await self._fetch(asked, *parameters.values)
        for place, filter in enumerate(filters, start=1):
            entry.take(filter, sorted(numbers[row[0]] for row in rows if row[place]))
