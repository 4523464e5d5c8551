"""What is to be replaced of a text."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

Mask = Callable[[str], str]  # what stands in place of a value


class Span(NamedTuple):
    """A value, from `start` up to `end`. What replaces it stands between two `quote`s."""

    start: int
    end: int
    quote: str = ""


def merged(spans: Iterable[Span]) -> list[Span]:
    """In their order, none within another; two that overlap are one."""
    found: list[Span] = []
    for span in sorted(spans, key=lambda span: (span.start, -span.end)):
        if found and (span.start < found[-1].end or span.start == found[-1].start):
            found[-1] = found[-1]._replace(end=max(found[-1].end, span.end))
        else:
            found.append(span)
    return found


def replaced(text: str, spans: Iterable[Span], mask: Mask) -> str:
    """`text` with a mask for each of the (merged) spans."""
    pieces, at = [], 0
    for span in spans:
        pieces += [text[at : span.start], span.quote, mask(text[span.start : span.end]), span.quote]
        at = span.end
    return "".join([*pieces, text[at:]])
