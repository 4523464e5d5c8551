"""What of a tree is open at first: all of a short one; of a long one as many levels as can be looked over, and the
beginning of the next level."""

from collections import Counter
from collections.abc import Sequence
from itertools import count
from typing import Protocol

MOST_LINES = 400  # that are seen at first by levels
MORE_LINES = 150  # and of the next level


class Line(Protocol):
    """A line of a tree as it is drawn."""

    kind: str
    open: bool


def fold(lines: Sequence[Line], begins: Sequence[str]) -> None:
    """Closes what is too deep. Lines of the kinds in `begins` have others within them, up to one of kind "end"."""
    depths = _depths(lines, begins)
    levels, more = _levels(depths), MORE_LINES
    for line, depth in zip(lines, depths, strict=True):
        more -= depth == levels
        line.open = depth < levels - 1 or (depth == levels - 1 and more > 0)


def _levels(depths: Sequence[int]) -> int:
    """How many levels are seen whole; at least what is directly in the root."""
    at, seen = Counter(depths), 0
    for level in count():
        seen += at[level]
        if level not in at or (seen > MOST_LINES and level > 1):
            return level
    raise AssertionError


def _depths(lines: Sequence[Line], begins: Sequence[str]) -> list[int]:
    found, depth = [], 0
    for line in lines:
        depth -= line.kind == "end"
        found.append(depth)
        depth += line.kind in begins
    return found
