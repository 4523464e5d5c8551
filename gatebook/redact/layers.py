"""The same text written in another way: with escapes of URLs, JSON and XML, and in two or four bytes a character.

Rule: what is found in it is told by its place in what was sent, so that everything else stays as it was.
"""

import re
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from gatebook.redact.span import Span

# %22, in JSON \u0022, within a string of JSON \\u0022, in XML &quot; &#34; &#x22;. Only ASCII is needed here.
_ESCAPE = re.compile(
    r"(%[0-9a-fA-F]{2}|\\{1,7}u00[2-7][0-9a-fA-F]|&(?:quot|apos|amp|lt|gt|#[0-9]{2,3}|#x[2-7][0-9a-fA-F]);)"
)
_ENTITIES = {"quot": '"', "apos": "'", "amp": "&", "lt": "<", "gt": ">"}
_DEEPEST = 2
_BEYOND_BMP = re.compile("[\U00010000-\U0010ffff]")
_MARKS = b'"=:<'


class Unescaped(NamedTuple):
    """A text without its escapes. Where in the text that was sent something is: `place`."""

    text: str
    ends: Sequence[int]  # in `text`, behind each character that was an escape
    places: Sequence[int]  # and in what was sent

    def place(self, at: int) -> int:
        """Where that is which is at `at` here."""
        before = bisect_right(self.ends, at) - 1
        return self.places[before] + at - self.ends[before]

    def sent(self, span: Span) -> Span:
        return span._replace(start=self.place(span.start), end=self.place(span.end))


def unescaped(text: str) -> Unescaped:
    """`text` is wire text."""
    ends, places, shorter = array("I", (0,)), array("I", (0,)), 0

    def meant(found: re.Match[str]) -> str:
        nonlocal shorter
        escape, end = found[0], found.end()
        character = _meant(escape)
        shorter += len(escape) - len(character)
        ends.append(end - shorter)
        places.append(end)
        return character

    return Unescaped(_ESCAPE.sub(meant, text), ends, places)


@lru_cache(4096)
def _meant(escape: str) -> str:
    if escape[0] == "%":
        return chr(int(escape[1:], 16))
    if escape[0] == "\\":
        slashes, character = escape.index("u"), chr(int(escape[-2:], 16))
        return "\\" * (2 * slashes - 1) + character if character == '"' else character
    name = escape[1:-1]
    if name[0] != "#":
        return _ENTITIES[name]
    return chr(int(name[2:], 16) if name[1] == "x" else int(name[1:]))


def within(text: str) -> Iterator[list[Unescaped]]:
    """The text without its escapes, and that without those that are left: each with all that lead to it."""
    ways: list[Unescaped] = []
    while len(ways) < _DEEPEST and _may_have_escapes(text):
        found = unescaped(text)
        if len(found.ends) == 1:
            return
        ways = [found, *ways]
        text = found.text
        yield ways


def _may_have_escapes(text: str) -> bool:
    return "%" in text or "\\u00" in text or ("&" in text and ";" in text)


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
