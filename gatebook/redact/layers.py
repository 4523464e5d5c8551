"""The same text written in another way: percent-encoded, once or twice, and in two or four bytes a character.

Rule: what is found in it is told by its place in what was sent, so that everything else stays as it was.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate
from typing import NamedTuple

from gatebook.redact.span import Span

_PERCENT = re.compile(r"%([0-9a-fA-F]{2})")
_DEEPEST = 2
_BEYOND_BMP = re.compile("[\U00010000-\U0010ffff]")
_MARKS = b'"=:'


class Unescaped(NamedTuple):
    """A text without its %XX. Where in the text that was sent something is: `place`."""

    text: str
    ends: list[int]  # in `text`, behind each character that was an escape
    places: list[int]  # and in what was sent

    def place(self, at: int) -> int:
        """Where that is which is at `at` here."""
        before = bisect_right(self.ends, at) - 1
        return self.places[before] + at - self.ends[before]

    def sent(self, span: Span) -> Span:
        return span._replace(start=self.place(span.start), end=self.place(span.end))


def unescaped(text: str) -> Unescaped:
    """`text` is wire text."""
    pieces = _PERCENT.split(text)
    literal, escaped = pieces[::2], pieces[1::2]
    joined = [one for pair in zip(literal, (chr(int(two, 16)) for two in escaped), strict=False) for one in pair]
    lengths = [len(one) for one in literal[:-1]]
    return Unescaped(
        "".join([*joined, literal[-1]]),
        [0, *accumulate(length + 1 for length in lengths)],
        [0, *accumulate(length + 3 for length in lengths)],
    )


def within(text: str) -> Iterator[list[Unescaped]]:
    """The text without its escapes, and that without those that are left: each with all that lead to it."""
    ways: list[Unescaped] = []
    while "%" in text and len(ways) < _DEEPEST:
        found = unescaped(text)
        if len(found.ends) == 1:
            return
        ways = [found, *ways]
        text = found.text
        yield ways


class Wide(NamedTuple):
    """The text that some bytes are, a character for each `width` of them."""

    text: str
    encoding: str
    width: int


def wide(content: bytes) -> Iterator[Wide]:
    """What these bytes may be as UTF-16 and UTF-32."""
    if b"\0" not in content:
        return
    for width in (2, 4):
        zeros = bytes(width - 1)
        whole = content[: len(content) // width * width]
        for suffix, marks in (
            ("le", [mark + zeros for mark in _bytes(_MARKS)]),
            ("be", [zeros + mark for mark in _bytes(_MARKS)]),
        ):
            if any(mark in content for mark in marks):
                yield Wide(_units(whole, width, suffix), f"utf-{width * 8}-{suffix}", width)


def _bytes(marks: bytes) -> list[bytes]:
    return [marks[at : at + 1] for at in range(len(marks))]


def _units(content: bytes, width: int, suffix: str) -> str:
    """As many characters as there are units."""
    if width == 4:
        return content.decode(f"utf-32-{suffix}", "replace")
    return _BEYOND_BMP.sub("\ufffd\ufffd", content.decode(f"utf-16-{suffix}", "surrogatepass"))
