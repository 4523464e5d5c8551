"""A target: something that takes bytes, and what must be true of it whatever they are."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

TARGETS: "dict[str, Target]" = {}


class Target(NamedTuple):
    """`check` raises whatever it likes when something is wrong, and nothing when all is well."""

    name: str
    check: Callable[[bytes], None]
    words: Sequence[bytes]  # that its parser knows
    seeds: Sequence[bytes]  # to begin with, beside the corpus


def target(
    name: str, words: Sequence[bytes] = (), seeds: Sequence[bytes] = ()
) -> Callable[[Callable[[bytes], None]], Callable[[bytes], None]]:
    """Enters a function in the table."""

    def entered(check: Callable[[bytes], None]) -> Callable[[bytes], None]:
        TARGETS[name] = Target(name, check, words, seeds)
        return check

    return entered
