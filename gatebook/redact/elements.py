"""Where the contents of XML elements are whose names are meant, with or without a prefix: `<wsse:Password>`.

Rule: nothing has to be XML as a whole. What nobody closes goes on to the end, or if it stands in something else, to the
next quotation mark.
"""

import re
from collections.abc import Iterator

from gatebook.redact.names import Names
from gatebook.redact.span import Span

_OPENING = re.compile(r"<([A-Za-z_\x80-\U0010ffff][\w:.\x80-\U0010ffff-]{0,200}+)(?:[ \t\r\n][^<>]*+)?>")
_CDATA, _CDATA_END = "<![CDATA[", "]]>"
_MOST_UNCLOSED = 5  # names, each of which was sought to the end of the text


def spans(text: str, names: Names) -> Iterator[Span]:
    """What stands between an opening tag and its closing one, of all elements that are in `names`."""
    at, is_xml = 0, text.lstrip()[:1] == "<"
    unclosed: set[str] = set()  # what is not closed behind one tag is not behind a later one
    while tag := _OPENING.search(text, at):
        at = tag.end()
        name = tag[1]
        if tag[0].endswith("/>") or (name not in names and name.rpartition(":")[2] not in names):
            continue
        end = None if name in unclosed else _closing(text, at, name)
        if end is None:
            unclosed.add(name)
            end = len(text) if is_xml or len(unclosed) > _MOST_UNCLOSED else _quotation_mark(text, at)
        yield Span(at, end)
        at = max(at, end)


def _closing(text: str, start: int, name: str) -> int | None:
    """Where the closing tag begins; in JSON its slash may be escaped."""
    at = start
    while text.startswith(_CDATA, at):  # what looks like a tag in there is none
        at = text.find(_CDATA_END, at)
        if at < 0:
            return len(text)
        at += len(_CDATA_END)
    closing = re.compile(rf"<\\?/{re.escape(name)}(?=[ \t\r\n>]|\Z)").search(text, at)
    return closing.start() if closing else None


def _quotation_mark(text: str, start: int) -> int:
    return end if (end := text.find('"', start)) >= 0 else len(text)
