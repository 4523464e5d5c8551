"""What a filter asks of blocks: as SQL over their terms, and of numbers whose bits are blocks. Pure."""

from collections.abc import Iterator, Mapping
from functools import reduce
from operator import and_, or_

from gatebook.filter import Expression, Needed, Parameters, block_condition, needed


class Asked:
    """What an expression asks; `sql` is None when blocks can tell nothing of it.

    The parameters of `sql`, `values`, are numbered from `first` on.
    """

    def __init__(self, expression: Expression, first: int) -> None:
        parameters = Parameters(*[None] * (first - 1))
        self.sql = block_condition(expression, parameters)
        self.values = parameters.values[first - 1 :]
        self._needed = needed(expression) or Needed(True, ())
        self.terms = list(_terms(self._needed))

    def chosen(self, having: Mapping[int, int]) -> int:
        """Which blocks may match, as bits, when `having` says which may have each term."""
        return _chosen(self._needed, having)


def _terms(needed: Needed) -> Iterator[int]:
    yield from needed.terms
    for part in needed.parts:
        yield from _terms(part)


def _chosen(needed: Needed, having: Mapping[int, int]) -> int:
    numbers = [*(having[term] for term in needed.terms), *(_chosen(part, having) for part in needed.parts)]
    return reduce(and_, numbers, -1) if needed.all else reduce(or_, numbers, 0)
