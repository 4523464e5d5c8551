"""What is wrong with a filter, in words that its author knows."""

_SHOWN = 60


class FilterError(ValueError):
    """A filter that cannot be read: at `position` (in characters, from 0) stands something else than was `expected`.

    As a string it is one sentence: what was found (left out when that is plain to see), what was expected, where.
    """

    def __init__(self, found: str, expected: str, position: int, at_end: bool = False) -> None:
        self.found = found
        self.expected = expected
        self.position = position
        self.at_end = at_end
        super().__init__(found, expected, position, at_end)

    def __str__(self) -> str:
        shown = self.found if len(self.found) <= _SHOWN else f"{self.found[:_SHOWN]}…"
        where = "at the end" if self.at_end else f"at character {self.position + 1}"
        return f"{shown and f'{shown}: '}expected {self.expected}, {where}"
