"""Where the contents of XML elements are whose names are meant, with or without a prefix: `<wsse:Password>`.

Rule: nothing has to be XML as a whole. What nobody closes goes on to the end, or if it may stand in a string of
something else, to the next quotation mark.
"""

import re
from collections.abc import Iterator

from gatebook.redact.names import Names
from gatebook.redact.span import Span

_OPENING = re.compile(r"<([A-Za-z_\x80-\U0010ffff][\w:.\x80-\U0010ffff-]{0,200}+)(?:[ \t\r\n][^<>]*+)?>")
_QUOTE = re.compile(r'(?<!\\)"')
_CDATA, _CDATA_END = "<![CDATA[", "]]>"
_MOST_UNCLOSED = 5  # names, each of which was sought to the end of the text


def spans(text: str, names: Names) -> Iterator[Span]:
    """What stands between an opening tag and its closing one, of all elements that are in `names`."""
    at, is_xml, quotes_begin = 0, text.lstrip()[:1] == "<", text.find('"')
    unclosed: set[str] = set()  # what is not closed behind one tag is not behind a later one
    while tag := _OPENING.search(text, at):
        at = tag.end()
        name = tag[1]
        if tag[0].endswith("/>") or (name not in names and name.rpartition(":")[2] not in names):
            continue
        end = None if name in unclosed else _closing(text, at, name)
        if end is None:
            unclosed.add(name)
            is_in_string = 0 <= quotes_begin < at and not is_xml
            end = _end_of_string(text, at) if is_in_string and len(unclosed) <= _MOST_UNCLOSED else len(text)
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


def _end_of_string(text: str, start: int) -> int:
    found = _QUOTE.search(text, start)
    return found.start() if found else len(text)
