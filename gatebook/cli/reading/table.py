"""Requests one a line, in columns, as `gatebook tail` shows them.

On a terminal: the time of day, under a line with the date where that is not today; colours; what a request's line has
no room for is cut, and on a narrow one the id stands on a line of its own. Anywhere else nothing is cut, and the time
has its date and offset. Ids are always whole, for `gatebook show`.
"""

import os
import shutil
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any

import click

from gatebook.cli.reading import shown

_GAP = "  "
_WIDEST = 24  # of a column; what is wider stands out of line
_LEAST_TARGET = 24
_TIME, _STATUS, _SIZE, _CLIENT, _REPLICA, _ID, _METHOD = range(7)
_TO_THE_RIGHT = (_SIZE,)


class Table:
    """Makes lines of requests. Columns grow with what they hold and never shrink: what follows stands in line."""

    def __init__(self, utc: bool) -> None:
        self._utc = utc
        self._on_terminal = sys.stdout.isatty()
        self._in_colour = self._on_terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        self._widths = [0, 3, 5, 9, 8, 36, 4]  # an id's is known; the others grow
        self._day: date = datetime.now(UTC if utc else None).date()

    def lines(self, requests: list[dict[str, Any]]) -> Iterator[str]:
        """The lines of these, which come next."""
        rows = [self._cells(request) for request in requests]
        for cells in rows:
            wanted = (min(shown.columns(cell), _WIDEST) for cell in cells)
            self._widths = [max(widths) for widths in zip(self._widths, wanted, strict=True)]
        for request, cells in zip(requests, rows, strict=True):
            yield from self._new_day(request)
            yield from self._line(cells, shown.text(request["target"]))

    def _cells(self, request: dict[str, Any]) -> list[str]:
        """The text of each column but the last, the target."""
        return [
            self._time(shown.moment(request["received_at"], self._utc)),
            str(request["status"]),
            shown.size(request["body_size"]),
            request["client"],
            shown.text(request["replica"]),
            request["id"],
            shown.text(request["method"]),
        ]

    def _time(self, moment: datetime | None) -> str:
        if moment is None:
            return "-"
        if not self._on_terminal:
            return moment.isoformat(timespec="milliseconds")
        return f"{moment:%H:%M:%S}.{moment.microsecond // 1000:03}"

    def _new_day(self, request: dict[str, Any]) -> Iterator[str]:
        moment = shown.moment(request["received_at"], self._utc)
        if self._on_terminal and moment and moment.date() != self._day:
            self._day = moment.date()
            yield self._style(f"{moment:%A, %d %B %Y}", bold=True)

    def _line(self, cells: list[str], target: str) -> Iterator[str]:
        padded = [
            cell.rjust(width) if at in _TO_THE_RIGHT else cell + " " * (width - shown.columns(cell))
            for at, (cell, width) in enumerate(zip(cells, self._widths, strict=True))
        ]
        if not self._on_terminal:
            yield _GAP.join([*padded, target])
            return
        room = shutil.get_terminal_size().columns
        coloured = [self._coloured(at, cell) for at, cell in enumerate(padded)]
        left = room - shown.columns(_GAP.join(padded)) - len(_GAP)
        if left >= _LEAST_TARGET:
            yield _GAP.join([*coloured, shown.cut(target, left)])
            return
        left += self._widths[_ID] + len(_GAP)
        del coloured[_ID]
        yield _GAP.join([*coloured, shown.cut(target, max(left, 1))])
        yield " " * self._widths[_TIME] + _GAP + self._coloured(_ID, cells[_ID])

    def _coloured(self, at: int, cell: str) -> str:
        if at in (_TIME, _ID):
            return self._style(cell, dim=True)
        if at == _STATUS:
            return self._style(cell, fg="green" if cell.startswith("2") else "yellow")
        if at == _REPLICA:
            return self._style(cell, fg="cyan")
        if at == _METHOD:
            return self._style(cell, bold=True)
        return cell

    def _style(self, text: str, **style: Any) -> str:
        return click.style(text, **style) if self._in_colour else text
