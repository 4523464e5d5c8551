"""What was recorded up to now, newest first, page by page."""

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from gatebook.cli.reading.remote import Gatebook, Query
from gatebook.cli.reading.revealing import reveal_query

_PAGE = 500


def newest(
    gatebook: Gatebook,
    filter: str,
    most: int,
    in_a_hurry: Callable[[str | None], None] | None = None,
    patiently: bool = False,
    reveal: bool = False,
) -> Iterator[dict[str, Any]]:
    """The newest requests that the filter finds, `most` at most. Raises UserError.

    An answer may end at its deadline, before there are enough. Then the search goes on from there, as long as it takes;
    for who is in a hurry it ends, and that is told with the time down to which it has looked. `patiently`: through
    restarts.
    """
    query: Query = {"filter": filter, "limit": min(most, _PAGE), **reveal_query(reveal)}
    return islice(_all(gatebook, query, in_a_hurry, patiently), most) if most else iter(())


def _all(
    gatebook: Gatebook, query: Query, in_a_hurry: Callable[[str | None], None] | None, patiently: bool
) -> Iterator[dict[str, Any]]:
    for page in gatebook.pages("/requests", "searching", patiently, **query):
        yield from page["requests"]
        if in_a_hurry and not page["complete"]:
            return in_a_hurry(page["reached"])
