"""How a walk reads a window for one filter: two statements of search.sql, filled in. Pure."""

from collections.abc import Sequence
from uuid import UUID

from gatebook.db.queries import named
from gatebook.filter import Expression, Parameters, condition

SEARCH = named("gatebook.viewer.search", "search.sql")

_PARTS = ("reach", "stretch", "short_range", "weighed", "ranked", "groups")


class Reading:
    """The statements `one`, for a range of ids, and `one_in_ranges`, for several.

    Both take from where, to where, and how many rows or which ranges; then `given`, then the values of the filter.
    `pieces` go into their braces.
    """

    def __init__(
        self, one: str, expression: Expression, newest_first: bool, given: Sequence[object], **pieces: str
    ) -> None:
        self.given = given
        before = 3 + len(given)
        parameters = Parameters(*[None] * before)
        words = {
            "condition": condition(expression, parameters),
            "order": "DESC" if newest_first else "ASC",
            "within": ">=" if newest_first else "<=",
            "end": "$1" if newest_first else "$2",
            **pieces,
        }
        for part in _PARTS:
            words[part] = SEARCH[part].format(**words)
        self.one = SEARCH[one].format(**words)
        self.several = SEARCH[f"{one}_in_ranges"].format(**words)
        self._values = parameters.values[before:]

    def values(self, low: int, high: int, rows_or_ranges: object) -> list[object]:
        """The parameters of one window."""
        return [UUID(int=low), UUID(int=high), rows_or_ranges, *self.given, *self._values]
