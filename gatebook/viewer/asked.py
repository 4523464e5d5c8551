"""What a filter asks of blocks: as SQL over their terms, and as a question about numbers whose bits are blocks. Pure.

gatebook.filter says it once, as SQL; the other is read from that, so the two cannot differ.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, cast

from gatebook.filter import Expression, Parameters, block_condition

_WORD = re.compile(r" *(?:(\(|\)|AND|OR|false)|terms (@>|&&) \$(\d+)::integer\[\])")


class _Group(NamedTuple):
    """Numbers joined bit by bit: those that all have, or any."""

    all: bool
    parts: "Sequence[_Group | int]"  # a number is a term


class Asked:
    """What an expression asks; `sql` is None when blocks can tell nothing of it.

    The parameters of `sql`, `values`, are numbered from `first` on.
    """

    def __init__(self, expression: Expression, first: int) -> None:
        parameters = Parameters(*[None] * (first - 1))
        self.sql = block_condition(expression, parameters)
        self.values = parameters.values[first - 1 :]
        self._parameters = parameters.values
        self.terms: list[int] = []
        self._whole = self._read(self._words(self.sql)) if self.sql else _Group(True, [])

    def chosen(self, having: Mapping[int, int]) -> int:
        """Which blocks may match, as bits, when `having` says which may have each term."""
        return _joined(self._whole, having)

    def _words(self, sql: str) -> Iterator[re.Match[str]]:
        at = 0
        while at < len(sql):
            word = _WORD.match(sql, at)
            if not word:
                raise ValueError(f"blocks cannot be asked this: {sql[at:]}")
            yield word
            at = word.end()

    def _read(self, words: Iterator[re.Match[str]]) -> _Group:
        word, compared, number = next(words).groups()
        if word == "false":
            return _Group(False, [])
        if word != "(":
            hashes = cast(list[int], self._parameters[int(number) - 1])
            self.terms += hashes
            return _Group(compared == "@>", hashes)
        parts: list[_Group | int] = [self._read(words)]
        joined = "AND"
        while (next_word := next(words)[1]) != ")":
            joined = next_word
            parts.append(self._read(words))
        return _Group(joined == "AND", parts)


def _joined(group: _Group | int, having: Mapping[int, int]) -> int:
    if isinstance(group, int):
        return having[group]
    numbers = [_joined(part, having) for part in group.parts]
    found = -1 if group.all else 0
    for number in numbers:
        found = found & number if group.all else found | number
    return found
