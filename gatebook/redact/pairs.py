"""Where the values of name=value are: in a target, in a form, and in URLs and attributes wherever they stand.

Rule: in a target or a form a value goes to the next &, whatever it has in it. In any other text it also ends where a
URL would, or the quotes that it stands in.
"""

import re
from collections.abc import Iterator
from urllib.parse import unquote_to_bytes

from gatebook.redact.names import Names
from gatebook.redact.span import Span

# What may stand before a name: in JSON & and the like may be written as escapes. Not \s, which takes 0xA0 and 0x85 for
# blanks, and these are bytes of UTF-8.
_BEFORE = r"(?:\A|[&?;#,/({<>|!\"' \t\r\n\f\v]|\\[nrt/]|\\u00(?:26|3[fF]|3[bB]|23))"
_PAIR = re.compile(rf"{_BEFORE}([^&?;#,/({{<>|!\"' \t\r\n\f\v=\\]++)[ \t]*+=")

_BLANKS = re.compile(r"[ \t]*+")
_AMPERSAND = re.compile("&")
# A line that begins another pair: what looks like a form is a file of settings.
_AMPERSAND_OR_PAIR = re.compile(r"&|\n(?=[\w.\[\]%+-]++=)")
_QUOTED = re.compile(r"\\*+\"([^\"]*+)\"?|'([^']*+)'?")
_END_OF_URL = re.compile(r"[& \t\r\n\f\v\"<>]|\\(?=[\"\\nrt]|u0026)")

_FORM = re.compile(r"[& \t\r\n]*+(?!--|[\[{<\"])[^= \t\r\n\f\v{<\"]{1,4096}+=")


def in_target(text: str, names: Names) -> Iterator[Span]:
    """Those of a target."""
    return _spans(text, names, _AMPERSAND)


def in_text(text: str, names: Names) -> Iterator[Span]:
    """Those of any text, be it a form."""
    return _spans(text, names, _AMPERSAND_OR_PAIR if _FORM.match(text) else None)


def _spans(text: str, names: Names, end: re.Pattern[str] | None) -> Iterator[Span]:
    at = 0
    while found := _PAIR.search(text, at):
        at = found.end()
        if _name(found[1]) in names:
            span = _value(text, at, end)
            yield span
            at = max(at, span.end)


def _name(sent: str) -> str:
    if "%" not in sent and "+" not in sent:
        return sent
    return unquote_to_bytes(sent.replace("+", " ").encode("latin-1", "replace")).decode("latin-1").strip(" ")


def _value(text: str, at: int, end: re.Pattern[str] | None) -> Span:
    if end is None:
        blanks = _BLANKS.match(text, at)
        at = blanks.end() if blanks else at
        if quoted := _QUOTED.match(text, at):
            group = 1 if quoted[1] is not None else 2
            return Span(quoted.start(group), quoted.start(group) + len(quoted[group].rstrip("\\")))
        end = _END_OF_URL
    found = end.search(text, at)
    return Span(at, found.start() if found else len(text))
