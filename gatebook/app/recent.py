"""The newest requests that this replica knows of, each rendered once, for the page.

A flush's query brings what others wrote, own rows are at hand; so a page is a join of ready fragments and costs the
database no read of its own.
"""

from collections.abc import Iterable

from gatebook.app.page import ROWS, Page, Seen

NIL = "00000000-0000-0000-0000-000000000000"


class Recent:
    """At most ROWS of the newest requests by id, whichever load balancer's clock stamped them."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._newest: list[Seen] = []
        self._fragments: dict[str, bytes] = {}
        self._others: tuple[bytes, bytes] | None = None  # the 24 newest, joined; their spread with one more own

    @property
    def known(self) -> list[str]:
        """The ids that are here already: a read need not bring them."""
        return [row.id for row in self._newest]

    @property
    def floor(self) -> str:
        """The oldest id that can still be shown: a read need not go below it."""
        return self._newest[-1].id if len(self._newest) == ROWS else NIL

    def learn(self, seen: Iterable[Seen]) -> None:
        """Add requests that are committed; one already known stays as it is."""
        merged = {row.id: row for row in seen} | {row.id: row for row in self._newest}
        self._newest = [merged[id] for id in sorted(merged, reverse=True)[:ROWS]]
        self._fragments = {row.id: self._fragments[row.id] for row in self._newest if row.id in self._fragments}
        self._others = None

    def html(self, own: Seen, origin: str) -> bytes:
        """The page for whoever sent `own`: their request, then the 24 newest others."""
        if own.id in self._fragments or any(row.id == own.id for row in self._newest):
            rest = [row for row in self._newest if row.id != own.id]
            others, spread = b"".join(map(self._fragment, rest)), self._spread(own, rest)
            return self._page.compose(own, self._fragment(own), others, spread, origin)
        if self._others is None:
            rest = self._newest[: ROWS - 1]
            self._others = b"".join(map(self._fragment, rest)), self._spread(own, rest)
        return self._page.compose(own, self._page.row(own), *self._others, origin)

    def _fragment(self, row: Seen) -> bytes:
        fragment = self._fragments.get(row.id)
        if fragment is None:
            fragment = self._fragments[row.id] = self._page.row(row)
        return fragment

    def _spread(self, own: Seen, rest: list[Seen]) -> bytes:
        return self._page.spread([own.replica, *(row.replica for row in rest)])
