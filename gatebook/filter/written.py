"""Filters written by the program: a term for a value, and one filter AND another. Pure; filter_text.js is the same.

Rule: what is written means that very value, whatever characters are in it, or nothing is written. Values of `json` are
Unicode, as JSON is; all others are wire text, one character per byte.
"""

import re
from functools import lru_cache

from gatebook.filter.parse import MOST_CHARACTERS

_EXACTLY = ("method", "target", "header", "body")  # where : asks for less than the whole value, or ignores case
_ENDS_A_VALUE = re.compile(r'[ \t\r\n()"]')
_ENDS_A_NAME = re.compile(r'[ \t\r\n()":=<>]')
_UNWRITABLE = re.compile("[\0\r\n\ud800-\udfff]")  # no column has them, a box of one line, or UTF-8
# A quote that nobody closes goes on to the end, so that its time grows with the text even then.
_TOKEN = re.compile(
    r'[()]|(?P<word>(?:AND|OR|NOT)(?![^ \t\r\n()"])|-)|(?:[^ \t\r\n()"]|"(?:[^"\\]|\\[\s\S])*(?:"|\\?\Z))+'
)


def term(field: str, value: str, *keys: str) -> str | None:
    """The term that finds this value alone; None when the language cannot say it, such as bytes that are no UTF-8.

    A header's name stands behind the dot, `header.X-Event`, or is the key; the keys of a value in JSON likewise, where
    those behind dots have none in them. Of client, status, size and so on, the value is as filters have it.
    """
    word, _, behind = field.partition(".")
    if behind and not keys:
        keys = tuple(behind.split(".")) if word == "json" else (behind,)
    texts = [text if word == "json" else _decoded(text) for text in (value, *keys)]
    said = [text for text in texts if text is not None and not _UNWRITABLE.search(text)]
    if len(said) != len(texts) or (word == "header" and not all(keys)):
        return None
    name = ".".join([word, *(_name(key, dots=word != "json") for key in said[1:])])
    operator = "=" if word in _EXACTLY else ":"
    found = f"{name}{operator}{quoted(said[0], operator)}"
    return found if len(found) <= MOST_CHARACTERS else None


def quoted(text: str, operator: str = "=") -> str:
    """A value as it stands behind the operator, in quotes if it has to."""
    if text and not _ENDS_A_VALUE.search(text) and not (operator == ":" and "*" in text):
        return text
    return _in_quotes(text)


def both(filter: str, term: str) -> str:
    """A filter of what matches both; the same one if it says so already."""
    filter = filter.strip(" \t\r\n")
    parts, either = _parts(filter)
    if term in parts and not either:
        return filter
    if either:
        return f"({filter}) {term}"
    return f"{filter} {term}" if filter else term


@lru_cache(64)  # a page adds each of its values to the same one
def _parts(filter: str) -> tuple[frozenset[str], bool]:
    """What stands beside each other at the top, without AND, and whether there is an OR."""
    found: set[str] = set()
    either, depth, start = False, 0, None
    for token in _TOKEN.finditer(filter):
        depth += {"(": 1, ")": -1}.get(token[0], 0)
        start = token.start() if start is None else start
        if depth == 0 and token["word"]:
            either = either or token[0] == "OR"
            start = None if token[0] in ("OR", "AND") else start
        elif depth == 0:
            found.add(filter[start : token.end()])
            start = None
    return frozenset(found), either


def _decoded(wire: str) -> str | None:
    try:
        return wire.encode("latin-1").decode()
    except UnicodeError:
        return None


def _name(key: str, dots: bool) -> str:
    """A header's name or a key, in quotes if it has to."""
    return key if key and not _ENDS_A_NAME.search(key) and (dots or "." not in key) else _in_quotes(key)


def _in_quotes(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
