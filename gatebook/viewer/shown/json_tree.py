"""A JSON body as lines to fold. Numbers, the order of keys, and keys that come twice are as they were sent.

Rule: it is read once, without recursion, and only as far as the limits let it be drawn. What is nested more deeply than
DEEPEST is one piece of JSON text. Numbers never become floats.
"""

import json
import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import NamedTuple

from gatebook.filter import written
from gatebook.viewer.shown.fold import fold
from gatebook.viewer.shown.limits import Limits

DEEPEST = 64
_LONGEST = 4096  # characters of one value that are drawn
_LONGEST_KEY = 512
_LONGEST_TERM = 512
_DEEPEST_TERM = 16
_PREVIEW = 60  # characters
_AND_MORE = ", …"
_SHOWN_OF_MISTAKE = 20  # characters

_BLANK = re.compile(r"[ \t\r\n\x1e]*")  # U+001E begins each value of application/json-seq
_STRING = r'"[^"\\\x00-\x1f]*(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*)*"'
_TOKEN = re.compile(
    rf"(?P<string>{_STRING})|(?P<number>-?(?:0|[1-9][0-9]*)(?:[.][0-9]+)?(?:[eE][+-]?[0-9]+)?)"
    r"|(?P<word>true|false|null)|(?P<mark>[][{}:,])"
)
# A string that nobody closes, where a text was cut, goes on to the end, so that its time grows with the text even then.
_BRACKETS = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)|[][{}]', re.DOTALL)
# What PostgreSQL does not take in JSON, beside numbers that are too long: U+0000, and half of a surrogate pair.
_NOT_TAKEN = re.compile(
    r"\\u0000|\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F]"
)
_MOST_DIGITS, _MOST_DECIMALS = 131_072, 16_383  # of its numbers, before and behind the point
_CONTAINER = {"{": "object", "[": "array"}
_END = {"object": "}", "array": "]"}


class NotJson(Exception):
    """Its words say why, and where."""


@dataclass(slots=True)
class Row:
    """A line of the tree: a value, or the begin or end of an object or array."""

    kind: str  # string, number, word, empty ({} or []), deep (JSON that is not taken apart); object, array; end
    key: str | None = None  # of a value in an object
    key_more: int = 0  # characters that are left out of the key
    text: str = ""  # of a string its characters, of an end its bracket, else JSON
    more: int = 0  # characters that are left out of the text
    term: str | None = None  # the filter that finds this value
    count: int = 0  # values in this object or array, as far as they are drawn
    whole: bool = True  # False: there are more
    begin: str = ""  # its first values on one line, to be seen while it is closed
    open: bool = True


class Tree(NamedTuple):
    rows: list[Row]
    complete: bool  # False: there is more than is drawn
    linked: bool  # whether there are terms


def tree(text: str, limits: Limits, cut: bool = False, lines: bool = False, terms: bool = False) -> Tree:
    """Raises NotJson. `cut`: the text is only the beginning of what was sent; `lines`: values may follow each other;
    `terms`: the body as the table has it is this very JSON, so filters find its values."""
    if not cut:
        _check(text, lines)
    reader = _Reader(text, cut, lines, terms and not _NOT_TAKEN.search(text), limits)
    complete = reader.read() and not cut
    rows = reader.rows
    for row in reversed(reader.containers):
        row.whole = False
        rows.append(Row("end", text=_END[row.kind]))
    fold(rows, ("object", "array"))
    return Tree(rows, complete, any(row.term for row in rows))


def _check(text: str, lines: bool) -> None:
    """Raises NotJson with the place of the first mistake."""
    for number, line in enumerate(text.split("\n") if lines else [text], 1):
        if lines and not line.strip(" \t\r\x1e"):
            continue
        try:
            json.loads(line.lstrip("\x1e") if lines else line, parse_int=str, parse_float=str, parse_constant=_refuse)
        except json.JSONDecodeError as error:
            at = number if lines else error.lineno
            place = f"in line {at}, column {error.colno}"
            raise NotJson(f"{error.msg.removesuffix(' at')} {place}, {_before(error)}") from None
        except RecursionError:
            raise NotJson("it is nested too deeply") from None


def _before(error: json.JSONDecodeError) -> str:
    rest = error.doc[error.pos : error.pos + _SHOWN_OF_MISTAKE]
    return f"before {rest}" if rest else "at its end"


def _refuse(word: str) -> None:
    raise NotJson(f"it has {word}, which is JavaScript")


class _Reader:
    """Reads token by token; what may come next is `expected`."""

    def __init__(self, text: str, cut: bool, lines: bool, terms: bool, limits: Limits) -> None:
        self.rows: list[Row] = []
        self.containers: list[Row] = []
        self._text, self._cut, self._lines, self._terms, self._limits = text, cut, lines, terms and not lines, limits
        self._path: list[str] = []  # for each of the containers where in it we are
        self._places: list[dict[str, int]] = []  # likewise, of each key the row
        self._expected = "value"
        self._key: str | None = None
        self._position = 0

    def read(self) -> bool:
        """Whether it was read to its end."""
        end = len(self._text)
        while (start := self._after_blanks()) < end:
            if self._limits.reached:
                return False
            token = _TOKEN.match(self._text, start)
            if self._cut and (token is None or (token.end() == end and token["mark"] is None)):
                return False  # it may go on
            if token is None:
                raise NotJson(f"what begins at character {start} is no JSON")
            self._position = token.end()
            self._take(token)
        return not self.containers

    def _after_blanks(self) -> int:
        blanks = _BLANK.match(self._text, self._position)
        return blanks.end() if blanks else self._position

    def _take(self, token: re.Match[str]) -> None:
        inside = self.containers[-1].kind if self.containers else ""
        match token[0], self._expected:
            case "}" | "]", "first" | "first key" | "after" if _END.get(inside) == token[0]:
                self._close()
            case ",", "after" if inside:
                self._expected = "key" if inside == "object" else "value"
            case ":", "colon":
                self._expected = "value"
            case _, "key" | "first key" if token["string"]:
                self._key, self._expected = _characters(token[0]), "colon"
            case "{" | "[", "value" | "first":
                self._open(token)
            case _, "value" | "first" if token["mark"] is None:
                self._add(self._scalar(token))
                self._expected = self._after()
            case _:
                raise NotJson(f"{token[0][:20]} is not expected at character {token.start()}")

    def _after(self) -> str:
        return "value" if self._lines and not self.containers else "after"

    def _open(self, token: re.Match[str]) -> None:
        if len(self.containers) == DEEPEST:
            end = self._end_of(token.start())
            self._add(_shortened(Row("deep", text=self._text[token.start() : end])))
            self._position, self._expected = end, "after"
            return
        row = Row(_CONTAINER[token[0]])
        self._add(row)
        self.containers.append(row)
        self._path.append("")
        self._places.append({})
        self._expected = "first key" if row.kind == "object" else "first"

    def _close(self) -> None:
        self._path.pop()
        self._places.pop()
        closed = self.containers.pop()
        if closed.count:
            self.rows.append(Row("end", text=_END[closed.kind]))
        else:
            closed.kind, closed.text = "empty", {"object": "{}", "array": "[]"}[closed.kind]
        self._expected = self._after()

    def _end_of(self, start: int) -> int:
        """Where the object or array ends that begins at `start`."""
        depth = 0
        for found in _BRACKETS.finditer(self._text, start):
            depth += {"{": 1, "[": 1, "}": -1, "]": -1}.get(found[0], 0)
            if depth == 0:
                return found.end()
        return len(self._text)

    def _add(self, row: Row) -> None:
        if self.containers:
            inside = self.containers[-1]
            if inside.kind == "object":
                self._path[-1] = key = self._key or ""
                self._shadow(key)
                row.key, row.key_more = key[:_LONGEST_KEY], max(0, len(key) - _LONGEST_KEY)
            else:
                self._path[-1] = str(inside.count)
            inside.count += 1
            _preview(inside, row)
        if self._terms and row.kind in ("string", "number", "word") and 0 < len(self._path) <= _DEEPEST_TERM:
            row.term = _term(row, self._path)
        self.rows.append(row)
        self._limits.rows -= 1
        self._limits.characters -= len(row.text) + len(row.key or "")

    def _shadow(self, key: str) -> None:
        """Of several values of a key filters find the last; those before, and all that is in them, have no terms."""
        depth = 0
        for row in self.rows[self._places[-1].get(key, len(self.rows)) :]:
            row.term = None
            depth += (row.kind in _END) - (row.kind == "end")
            if depth == 0:
                break
        self._places[-1][key] = len(self.rows)

    def _scalar(self, token: re.Match[str]) -> Row:
        if token["string"]:
            return _shortened(Row("string", text=_characters(token[0])))
        if token["number"] and self._terms and _numeric(token[0]) is None:
            self._terms = False
            for row in self.rows:
                row.term = None
        return _shortened(Row("number" if token["number"] else "word", text=token[0]))


def _characters(string: str) -> str:
    if "\\" not in string:
        return string[1:-1]
    found: str = json.loads(string)
    return found


def _shortened(row: Row) -> Row:
    row.more = max(0, len(row.text) - _LONGEST)
    row.text = row.text[:_LONGEST]
    return row


def _preview(inside: Row, row: Row) -> None:
    """Adds a value to the line that is seen of the closed object or array, while there is room."""
    if len(inside.begin) >= _PREVIEW:
        inside.begin = inside.begin.removesuffix(_AND_MORE) + _AND_MORE
        return
    quote = '"' if row.kind == "string" else ""
    text = f"{quote}{row.text[:_PREVIEW]}{quote}" if row.kind in ("string", "number", "word", "empty") else "…"
    key = "" if row.key is None else f'"{row.key[:_PREVIEW]}": '
    inside.begin += (", " if inside.begin else "") + key + text


def _term(row: Row, path: list[str]) -> str | None:
    """None where no filter can say it, or where it would be too long to be read."""
    if row.more or len(row.text) > _LONGEST_TERM or (row.text == "null" and row.kind == "word"):
        return None
    value = _as_numeric(row.text) if row.kind == "number" else row.text
    found = None if value is None else written.term("json", value, *path)
    return found if found and len(found) <= 2 * _LONGEST_TERM else None


def _as_numeric(number: str) -> str | None:
    """As PostgreSQL writes it: 1e2 is 100 and -0 is 0; None when it has more digits than anyone reads."""
    value = _numeric(number)
    if value is None or abs(value.adjusted()) > _LONGEST_TERM:
        return None
    return f"{abs(value) if value == 0 else value:f}"


def _numeric(number: str) -> Decimal | None:
    """None for what PostgreSQL does not take, and for some that it would, which nobody sends: then it takes none of the
    body as JSON."""
    if len(number) > _LONGEST:
        return None
    try:
        value = Decimal(number)
    except InvalidOperation:  # an exponent of 19 digits
        return None
    exponent = int(value.as_tuple().exponent)
    return value if exponent >= -_MOST_DECIMALS and value.adjusted() < _MOST_DIGITS else None
