"""Which names are meant.

Case does not count, a * stands for anything, and a _ is also a - or nothing, as people write names. A name that says
where in something it is, `user[password]` or `user.password`, is meant when its end or any step on the way is; of one
that is longer than any real one, what stands at its beginning and at its end counts.
"""

import re
from collections.abc import Sequence
from functools import lru_cache

_CACHED = 4096  # names, and
_LONGEST_CACHED = 100  # characters of one
_LONGEST = 1000  # characters, beyond which not each step is looked at: there may be a million
_STEPS = re.compile(r"[\[\].]+")


class Names:
    """Says of a name whether it is one of these `patterns`, which are in lower case."""

    def __init__(self, patterns: Sequence[str]) -> None:
        patterns = [variant for pattern in patterns for variant in _variants(pattern)]
        self._exact = frozenset(pattern for pattern in patterns if "*" not in pattern)
        self._parts = [pattern.split("*") for pattern in patterns if "*" in pattern]
        self._known = lru_cache(_CACHED)(self._is_meant)
        hints = [max(pattern.split("*"), key=len) for pattern in patterns]
        self._hints = None if any(not hint or not hint.isascii() for hint in hints) else hints

    def __contains__(self, name: str) -> bool:
        """`name` is wire text, one character for a byte, or any other text."""
        return self._known(name) if len(name) <= _LONGEST_CACHED else self._is_meant(name)

    def may_be_in(self, text: str) -> bool:
        """False: none of them is in the text as it stands there. It is much sooner known than where they are."""
        if self._hints is None:
            return True
        lowered = text.lower()
        for hint in self._hints:  # noqa: SIM110  # any() takes twice as long, and this is asked of every row
            if hint in lowered:
                return True
        return False

    def _is_meant(self, sent: str) -> bool:
        name = _meant(sent).lower()
        if self._is_one(name):
            return True
        if len(name) > _LONGEST:
            name = f"{name[: _LONGEST // 2]}.{name[-_LONGEST // 2 :]}"
        steps = _STEPS.split(name)
        return len(steps) > 1 and any(self._is_one(step) for step in steps if step)

    def _is_one(self, name: str) -> bool:
        return name in self._exact or any(_fits(name, parts) for parts in self._parts)


def _variants(pattern: str) -> list[str]:
    joints = ("_", "-", "") if "_" in pattern else ("_",)
    return [pattern.replace("_", joint) for joint in joints]


def _fits(name: str, parts: Sequence[str]) -> bool:
    """Whether the name has these parts in their order, the first at its beginning and the last at its end.

    Not by a regular expression: of one with several stars, the time grows with a power of the name's length.
    """
    first, *between, last = parts
    if not name.startswith(first) or not name.endswith(last) or len(name) < len(first) + len(last):
        return False
    at, end = len(first), len(name) - len(last)
    for part in between:
        if (found := name.find(part, at, end)) < 0:
            return False
        at = found + len(part)
    return True


def _meant(name: str) -> str:
    """Wire text as its sender most likely meant it: UTF-8 where the bytes are that."""
    if name.isascii():
        return name
    try:
        return name.encode("latin-1").decode()
    except UnicodeError:
        return name
