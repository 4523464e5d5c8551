"""The newest requests that this replica knows of, each rendered once, for the page.

A flush brings what others wrote, own rows are at hand; so a page is a join of ready fragments and costs the database
no read of its own.
"""

from collections.abc import Collection, Iterable

from gatebook.app.page import ROWS, Page, Seen


class Recent:
    """At most ROWS of the newest requests by id, whichever load balancer's clock stamped them."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._newest: list[Seen] = []
        self._rendered = False  # whether what follows is of the newest as they are: it is made when somebody asks
        self._rows: dict[str, bytes] = {}
        self._spread = b""
        self._beside: tuple[bytes, bytes] | None = None

    def learn(self, seen: Iterable[Seen]) -> None:
        """Add requests that are committed; one already known stays as it is."""
        merged = {row.id: row for row in seen} | {row.id: row for row in self._newest}
        self._newest = [merged[id] for id in sorted(merged, reverse=True)[:ROWS]]
        self._rendered = False

    @property
    def ids(self) -> list[str]:
        """Of the requests that are known."""
        return [row.id for row in self._newest]

    def forget(self, ids: Collection[str]) -> None:
        """Know these no more: they were deleted for good."""
        self._newest = [row for row in self._newest if row.id not in ids]
        self._rendered = False

    def html(self, own: Seen, origin: str, notice: bytes = b"") -> bytes:
        """The page for whoever sent `own`: their request, then the 24 newest others."""
        if not self._rendered:
            self._render()
        row = self._rows.get(own.id)
        if row:
            others = b"".join([other for other in self._rows.values() if other is not row])
            return self._page.compose(own, row, others, self._spread, origin, notice)
        if not self._beside:
            others = b"".join(list(self._rows.values())[: ROWS - 1])
            replicas = [*(seen.replica for seen in self._newest[: ROWS - 1]), own.replica]
            self._beside = others, self._page.spread(replicas)
        return self._page.compose(own, self._page.row(own), *self._beside, origin, notice)

    def _render(self) -> None:
        self._rows = {row.id: self._rows.get(row.id) or self._page.row(row) for row in self._newest}
        self._spread = self._page.spread([row.replica for row in self._newest])
        self._beside = None
        self._rendered = True
