"""Links from a value to the list of what has that value too, beside what the filter asks for already.

Rules: a link is made where the filter that it leads to can be said, and is not too long to be read, and not for what is
masked. A page has room for so many of them: a request may have thousands of values, and each link repeats the filter.
"""

from gatebook.filter import written
from gatebook.filter.parse import MOST_CHARACTERS
from gatebook.redact import MASK
from gatebook.viewer.pages import link

ROOM = 4 * 1024 * 1024  # characters of links in a page; 20,000 headers take 2 MB when there is no filter


class Narrowing:
    """Makes the links of one page."""

    def __init__(self, filter: str, room: int = ROOM) -> None:
        self._filter = filter
        self._room = room

    def by_value(self, field: str, value: str) -> str | None:
        """Where the list is of what has this value of this field; None: nowhere."""
        term = written.term(field, value) if self._room > 0 and MASK not in value else None
        return None if term is None else self.by_term(term)

    def by_term(self, term: str) -> str | None:
        """The same for what matches this term."""
        # Two more are the parentheses around an OR, one the blank.
        if self._room <= 0 or len(self._filter) + len(term) + 3 > MOST_CHARACTERS:
            return None
        url = link.to_list(written.both(self._filter, term))
        self._room -= len(url)
        return url
