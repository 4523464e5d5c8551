"""Where the values of JSON keys are: strings, numbers, words, whole objects and arrays.

A key is also what stands for one: `{"name": "password", "value": "..."}`, in any order.

Rule: nothing has to be JSON as a whole. Any string before a colon is a key, so what is broken, cut off or surrounded by
something else is looked into, too. A value that nobody closes goes on to the end.

JSON is often sent as a string within JSON, `"{\\"password\\": \\"...\\"}"`, and that within another. Each such level
escapes once more, so the number of backslashes before a quote tells on which level it stands: where it and they are
together divided by 2 to the power of n, and by no higher one, that is level n. A string ends at a quote of its own
level, or of one further out.
"""

import re
from collections.abc import Iterator

from gatebook.redact.names import Names
from gatebook.redact.span import Span

# The end of a key. Blanks are escaped in JSON that is within a string.
_BLANKS = r"[ \t\r\n]*+(?:\\{1,7}[nrt][ \t\r\n]*+){0,100}"
_KEY_END = re.compile(rf'"{_BLANKS}:{_BLANKS}')
_ESCAPE = re.compile(r'\\(?:u([0-9a-fA-F]{4})|([nrtbf"\\/]))')
_MEANS = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}
_BRACKETS_AND_QUOTES = re.compile(r'[][{}"]')
_BARE = re.compile(r"'[^'\r\n]*+'|[^,}\]\r\n]*+")
_BARE_WITHIN = re.compile(r'[^,}\]\r\n"\\]*+')  # within a string
_DEPTH = {"{": 1, "[": 1, "}": -1, "]": -1}
_NAMING = frozenset(("name", "key"))  # in lower case
_NAMED = frozenset(("value", "values"))


def spans(text: str, names: Names) -> Iterator[Span]:
    """The values of all keys that are in `names`."""
    at, beside = 0, _Beside(text, names)
    while found := _KEY_END.search(text, at):
        beside.between(at, found.start())
        at, level = found.end(), _level(text, found.start())
        key = _key(text, found.start(), level)
        if key is None:
            continue
        if span := _value(text, at, level) if key in names else beside.member(key, at, level):
            yield span
            at = max(at, span.end)


class _Beside:
    """What the members of one object, without objects in between, say of each other. To be told of all keys in turn."""

    def __init__(self, text: str, names: Names) -> None:
        self._text = text
        self._names = names
        self._begin(0)

    def _begin(self, level: int) -> None:
        self._level = level
        self._is_meant = False  # a name that stood there
        self._value_at = -1  # where a value stood

    def between(self, start: int, end: int) -> None:
        """What lies behind one key and before the end of the next one."""
        if not self._is_meant and self._value_at < 0:
            return
        if next(_brackets(self._text, start, end, self._level), None):
            self._begin(self._level)

    def member(self, key: str, at: int, level: int) -> Span | None:
        """The value that this key, whose own value begins at `at`, shows to be meant."""
        lowered = key.lower()
        if lowered not in _NAMING and lowered not in _NAMED:
            return None
        if level != self._level:
            self._begin(level)
        if lowered in _NAMED:
            self._value_at = at
        else:
            self._is_meant |= self._is_name(at)
        if not self._is_meant or self._value_at < 0:
            return None
        return _value(self._text, self._value_at, level)

    def _is_name(self, at: int) -> bool:
        quote = _quote(self._level)
        if not self._text.startswith(quote, at):
            return False
        start = at + len(quote)
        name = _characters(self._text[start : _end_of_string(self._text, start, self._level)], self._level)
        return self._names.may_be_in(name) and name in self._names


def _level(text: str, quote: int) -> int:
    """On which level the quote stands."""
    start = quote
    while start and text[start - 1] == "\\":
        start -= 1
    more = quote - start + 1
    return (more & -more).bit_length() - 1


def _escaping(level: int) -> int:
    """Backslashes that belong to a quote of this level."""
    return (1 << level) - 1


def _key(text: str, closing: int, level: int) -> str | None:
    """The characters of the key whose closing quote that is; None when there is no opening one."""
    end = at = closing - _escaping(level)
    while (at := text.rfind('"', 0, at)) >= 0:
        found = _level(text, at)
        if found < level:
            return None
        if found == level:
            return _characters(text[at + 1 : end], level)
    return None


def _characters(string: str, level: int) -> str:
    for _ in range(level + 1):
        if "\\" not in string:
            break
        string = _ESCAPE.sub(_character, string)
    return string


def _character(escape: re.Match[str]) -> str:
    return chr(int(escape[1], 16)) if escape[1] else _MEANS.get(escape[2], escape[2])


def _quote(level: int) -> str:
    return "\\" * _escaping(level) + '"'


def _value(text: str, at: int, level: int) -> Span | None:
    """What begins there; None when nothing does."""
    quote = _quote(level)
    if text.startswith(quote, at):
        start = at + len(quote)
        return Span(start, _end_of_string(text, start, level))
    if text.startswith(("{", "["), at):
        return Span(at, _end_of_container(text, at, level), quote)
    bare = (_BARE_WITHIN if level else _BARE).match(text, at)
    end = at + len(bare[0].rstrip(" \t")) if bare else at
    return Span(at, end, quote) if end > at else None


def _end_of_string(text: str, start: int, level: int) -> int:
    at = start - 1
    while (at := text.find('"', at + 1)) >= 0:
        if (found := _level(text, at)) <= level:
            return max(start, at - _escaping(found))
    return len(text)


def _end_of_container(text: str, start: int, level: int) -> int:
    """Of an object or array, which is over where a string is in which it stands."""
    depth = 0
    for found in _brackets(text, start, len(text), level):
        if found[0] == '"':
            return found.start() - _escaping(_level(text, found.start()))
        depth += _DEPTH[found[0]]
        if depth == 0:
            return found.end()
    return len(text)


def _brackets(text: str, start: int, end: int, level: int) -> Iterator[re.Match[str]]:
    """Those outside the strings of this level, and the quote that ends a string further out."""
    in_string = False
    for found in _BRACKETS_AND_QUOTES.finditer(text, start, end):
        if found[0] != '"':
            if not in_string:
                yield found
            continue
        its_level = _level(text, found.start())
        if its_level < level:
            yield found
        in_string ^= its_level == level
