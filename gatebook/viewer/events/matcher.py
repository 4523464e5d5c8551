"""Which events of the ring each filter takes: all filters of all listeners in a few statements a portion.

Rule: one filter never holds up the others for long. A statement that takes too long, or fails, is asked again by
halves, until the filter that it was is alone. Heavy filters, which look into bodies or have many conditions, are asked
last, and none of them any more once they take too long together. The listeners of what is too slow are served out of
the database from then on.
"""

import asyncio
from collections.abc import Mapping, Sequence

import asyncpg

from gatebook.db.connect import AWAY
from gatebook.filter import Parameters, condition
from gatebook.viewer.events.portion import QUERIES, Fetch
from gatebook.viewer.events.ring import Filter, Ring

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
        ring.matching = number + 1  # before the filters are looked at: one that comes meanwhile begins behind it
        filters = [filter for filter in ring.filters.values() if filter.first <= number and not filter.too_slow]
        if events := ring[number].portion.events:
            asking = Asking(ring, number, {key[1]: place for place, (key, _) in enumerate(events)}, self._fetch)
            await asking.ask([filter for filter in filters if not filter.is_heavy])
            await asking.ask_heavy([filter for filter in filters if filter.is_heavy])
        ring.matched = number + 1


class Asking:
    """What filters take of one portion; `places` are its requests' places among its events, by id."""

    def __init__(self, ring: Ring, number: int, places: Mapping[str, int], fetch: Fetch) -> None:
        self._ring = ring
        self._number = number
        self._places = places
        self._fetch = fetch

    async def ask(self, filters: Sequence[Filter]) -> None:
        """Filters of which none takes long. Raises what `fetch` raises when the database is away."""
        for first in range(0, len(filters), _FILTERS):
            await self._by_halves(filters[first : first + _FILTERS])

    async def ask_heavy(self, filters: Sequence[Filter]) -> None:
        """Filters that may take long: as many as there is time for. Raises as `ask`."""
        clock = asyncio.get_running_loop().time
        ends = clock() + _HEAVY_WITHIN_S
        try:
            for first in range(0, len(filters), _FILTERS):
                if clock() <= ends:
                    await self._take(filters[first : first + _FILTERS])
        except TimeoutError:  # they may have caused it: PostgreSQL does not look up from a long comparison
            _leave_out(filters)
            raise
        except asyncpg.PostgresError as error:
            if _is_away(error):
                raise
            _leave_out(filters)
        if clock() > ends:
            _leave_out(filters)

    async def _by_halves(self, filters: Sequence[Filter]) -> None:
        try:
            await self._take(filters)
        except asyncpg.PostgresError as error:
            if _is_away(error):
                raise
            if len(filters) == 1:
                return _leave_out(filters)
            middle = len(filters) // 2
            await self._by_halves(filters[:middle])
            await self._by_halves(filters[middle:])

    async def _take(self, filters: Sequence[Filter]) -> None:
        parameters = Parameters(list(self._places), min(self._places), max(self._places))
        conditions = [f"{condition(filter.expression, parameters)} AS f{n}" for n, filter in enumerate(filters)]
        asked = QUERIES["matches"].format(conditions=", ".join(conditions))
        rows = await self._fetch(asked, *parameters.values)
        for place, filter in enumerate(filters, start=1):
            taken = sum(1 << self._places[row[0]] for row in rows if row[place])
            self._ring.take(self._number, filter, taken)


def _is_away(error: asyncpg.PostgresError) -> bool:
    """Whether it is the database's, and not the statement's."""
    return isinstance(error, AWAY) and not isinstance(error, asyncpg.QueryCanceledError)


def _leave_out(filters: Sequence[Filter]) -> None:
    """Their listeners are served out of the database from now on."""
    for filter in filters:
        filter.too_slow = True
