"""Where the parts of a multipart body are whose names are meant (RFC 7578), each as a whole.

Rule: the body itself says what divides it. A part that is not ended goes on to the end.
"""

import re
from collections.abc import Iterator
from urllib.parse import unquote_to_bytes

from gatebook.redact.names import Names
from gatebook.redact.span import Span

# A line that divides, and the header lines up to an empty one. No header line begins like one that divides, so no line
# is read for two parts.
_PART = re.compile(
    r"^(--[^\r\n]{1,1000}+)\r?\n((?:(?!--|\r?\n)[^\r\n]*+(?:\r(?!\n)[^\r\n]*+){0,50}\r?\n){1,200})\r?\n", re.MULTILINE
)
_NAME = re.compile(
    r";[ \t\r\n]*+name(\*[0-9]*+\*?)?[ \t]*+=[ \t]*+(?:\"([^\"\\]*+(?:\\.[^\"\\]*+){0,1000})|([^; \t\r\n]*+))", re.I
)
_REST_OF_LINE = re.compile(r"(?:--)?[ \t]*+(?:\r?\n|\Z)")  # of a line that divides, behind the boundary
_HEADER = re.compile(r"^([^:\r\n]++):[ \t]*+([^\r\n]*+)", re.MULTILINE)


def spans(text: str, names: Names) -> Iterator[Span]:
    """The contents of the parts whose name, and the values of their headers whose name is in `names`."""
    at = 0
    while part := _PART.search(text, at):
        at = part.end()
        for header in _HEADER.finditer(text, part.start(2), part.end(2)):
            if header[1] in names:
                yield Span(*header.span(2))
        if any(name in names for name in _called(part[2])):
            end = _end(text, at, part[1].rstrip(" \t"))
            yield Span(at, end)
            at = max(at, end)


def _called(headers: str) -> Iterator[str]:
    """What the part is called; as some read it, and as others do."""
    for found in _NAME.finditer(headers):
        name = found[2] if found[2] is not None else found[3]
        if found[1]:  # charset'language'name
            name = name.rpartition("'")[2]
        yield name.replace('\\"', '"')
        if "%" in name:
            yield unquote_to_bytes(name.encode("latin-1", "replace")).decode("latin-1")


def _end(text: str, start: int, boundary: str) -> int:
    end = start - 1
    while (end := text.find(f"\n{boundary}", end)) >= 0:
        if _REST_OF_LINE.match(text, end + 1 + len(boundary)):
            return max(start, end - (text[end - 1] == "\r"))
        end += 1
    return len(text)
