"""Where the contents of XML elements are whose names are meant, with or without a prefix: `<wsse:Password>`.

Rule: nothing has to be XML as a whole. What nobody closes goes on to the end, or if it stands in something else, to the
next quotation mark.
"""

import re
from collections.abc import Iterator

from gatebook.redact.names import Names
from gatebook.redact.span import Span

_OPENING = re.compile(r"<([A-Za-z_\x80-\U0010ffff][\w:.\x80-\U0010ffff-]{0,200}+)(?:[ \t\r\n][^<>]*+)?>")
_CLOSES = re.compile(r"[ \t\r\n>]|\Z")
_CDATA, _CDATA_END = "<![CDATA[", "]]>"
_MOST_UNCLOSED = 100  # each was sought to the end of the text


def spans(text: str, names: Names) -> Iterator[Span]:
    """What stands between an opening tag and its closing one, of all elements that are in `names`."""
    at, unclosed, is_xml = 0, 0, text.lstrip()[:1] == "<"
    while tag := _OPENING.search(text, at):
        at = tag.end()
        name = tag[1]
        if tag[0].endswith("/>") or (name not in names and name.rpartition(":")[2] not in names):
            continue
        end = _closing(text, at, name)
        if end is None:
            unclosed += 1
            end = len(text) if is_xml or unclosed > _MOST_UNCLOSED else _quotation_mark(text, at)
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
    while (at := text.find(f"/{name}", at)) >= 0:
        before = text[max(start, at - 2) : at]
        if before.endswith(("<", "<\\")) and _CLOSES.match(text, at + 1 + len(name)):
            return at - (2 if before.endswith("\\") else 1)
        at += 1
    return None


def _quotation_mark(text: str, start: int) -> int:
    return end if (end := text.find('"', start)) >= 0 else len(text)
