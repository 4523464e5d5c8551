"""A text by pages, which end where a line does if they can. Nothing is wrapped, changed or left out."""

from typing import NamedTuple

from gatebook.viewer.shown.charset import Decoded

PAGE_CHARACTERS = 64 * 1024


class Plain(NamedTuple):
    text: str  # U+DC00 to U+DCFF are bytes that are not of the charset
    readable: bool  # False: it is text only because it is said to be
    charset: str
    undecoded: int  # bytes of the whole text that are not of that charset
    first: int  # where this page begins, in characters
    end: int
    size: int
    before: int | None  # where the page before begins
    after: int | None


def plain(found: Decoded, readable: bool = True, at: int = 0, page_characters: int = PAGE_CHARACTERS) -> Plain:
    """The page that holds character `at`, or the last one."""
    text = found.text
    starts = [0]
    while (end := _end(text, starts[-1], page_characters)) < len(text) and end <= at:
        starts.append(end)
    first, after = starts[-1], end if end < len(text) else None
    before = starts[-2] if len(starts) > 1 else None
    return Plain(text[first:end], readable, found.charset, found.undecoded, first, end, len(text), before, after)


def _end(text: str, first: int, page_characters: int) -> int:
    """Where the page ends that begins at `first`: after its last line, or in the middle of a very long one."""
    if first + page_characters >= len(text):
        return len(text)
    return (text.rfind("\n", first, first + page_characters) + 1) or first + page_characters
