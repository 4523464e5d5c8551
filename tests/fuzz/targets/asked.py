"""What somebody asks for: filters, cursors, positions in the stream, ranges of a body."""

import json
import re
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import unquote
from uuid import UUID

from fuzz.bytes_of import Bytes
from fuzz.target import target
from gatebook import filter as filters
from gatebook.filter import FilterError, Parameters, condition, parse, span, written
from gatebook.filter.expression import And, Expression, Not, Or, Pattern, Term
from gatebook.filter.fields import FIELDS
from gatebook.filter.parse import MOST_CHARACTERS
from gatebook.viewer.api.body import NotSatisfiable, wanted
from gatebook.viewer.api.parameters import CURSOR, Begin
from gatebook.viewer.events import position

_NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
_EXAMPLES = [field.example.encode() for field in FIELDS]
_WORDS = [field.word.encode() + operator.encode() for field in FIELDS for operator in field.operators]
_WORDS += [b" AND ", b" OR ", b" NOT ", b"-", b"(", b")", b'"a b"', b"json.a.", b"header.x", b"since:1h", b"size>1MB"]
_WORDS += [b'json."a.b":', b"status:4xx", b"client:10.0.0.0/8", b"*", b'\\"']

# All words that the program itself writes into SQL: what is not among them came from somebody.
_SOURCES = [path.read_text() for path in Path(filters.__file__).parent.glob("*.py")]
_OWN_WORDS = frozenset(re.findall(r"\w+", "\n".join(_SOURCES)))
_PLACE = re.compile(r"\$[1-9][0-9]*::(?:text|bytea|bigint|uuid|cidr|bytea\[\]|text\[\])")


@target(
    "filter", _WORDS, [b"", *_EXAMPLES, b" ".join(_EXAMPLES), b"(method:GET OR -body:x) AND NOT json.a.0:1 size<2k"]
)
def filter(data: bytes) -> None:
    """It is an expression or a mistake that is pointed at; in SQL its values are parameters and nothing else."""
    text = data.decode("utf-8", "surrogatepass" if data.count(b"\xed") else "replace") if _is_text(data) else ""
    try:
        expression = parse(text, _NOW)
    except FilterError as error:
        assert 0 <= error.position <= max(len(text), MOST_CHARACTERS) and error.expected and str(error)
        return
    parameters = Parameters()
    sql = condition(expression, parameters)
    bare = _PLACE.sub("", sql)
    assert set(re.findall(r"\w+", bare)) <= _OWN_WORDS, bare
    assert bare.count("(") == bare.count(")") and bare.count("'") % 2 == 0 and ";" not in bare and "--" not in bare
    assert sorted(set(map(int, re.findall(r"\$(\d+)::", sql)))) == list(range(1, len(parameters.values) + 1))
    low, high = span(expression)
    assert isinstance(low, UUID) and isinstance(high, UUID)
    filters.needed(expression)
    both = written.both(text, "method=A")
    if len(both) <= MOST_CHARACTERS - 10 and _terms(expression) < 100:
        assert _flat(parse(both, _NOW)) in (
            _flat(And((expression, Term("method", Pattern(("A",)), True)))),
            _flat(expression),
        )


def _is_text(data: bytes) -> bool:
    try:
        data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return b"\xed" not in data
    return True


def _terms(expression: Expression) -> int:
    match expression:
        case And(parts) | Or(parts):
            return sum(map(_terms, parts))
        case Not(part):
            return _terms(part)
        case _:
            return 1


def _flat(expression: Expression) -> object:
    """With ANDs of ANDs as one, and without those of one part."""
    match expression:
        case And(parts):
            inner = [_flat(part) for part in parts]
            flat = [
                each
                for part in inner
                for each in (part[1:] if isinstance(part, tuple) and part[0] == "and" else [part])
            ]
            return flat[0] if len(flat) == 1 else ("and", *flat)
        case Or(parts):
            return ("or", *map(_flat, parts))
        case Not(part):
            return ("not", _flat(part))
        case _:
            return repr(expression)


@target(
    "term", [b"*", b'"', b"\\", b"AND", b"\r", b"."], [b"\x00\x00\x05value", b"\x04\x03a.b\x03x y", b"\x03\x02X-\x01*"]
)
def term(data: bytes) -> None:
    """A term that is written for a value means that value and nothing else."""
    given = Bytes(data)
    field = given.choice(["method", "path", "target", "header", "json", "body", "replica"])
    keys = given.several(lambda: _text(given), 3) if field == "json" else [_text(given)] if field == "header" else []
    value = _text(given)
    if field != "json":
        keys, value = [key.encode().decode("latin-1") for key in keys], value.encode().decode("latin-1")
    said = written.term(field, value, *keys)
    if said is None or (field == "json" and not keys):
        return
    found = parse(said, _NOW)
    assert isinstance(found, Term) and found.field == field
    assert found.value == Pattern((value if field == "json" else value.encode("latin-1").decode(),))
    assert [key if field == "json" else key.encode().decode("latin-1") for key in found.key] == keys


def _text(given: Bytes) -> str:
    return given.some(12).decode("utf-8", "ignore")


@target(
    "blocks",
    [b"/", b"?", b"http://h", b"\xc3\xa9"],
    [b"\x00\x05/a/b?\x01\x01\x03X-A\x01v", b"\x03\x00\x08http://h\x00\x01"],
)
def blocks(data: bytes) -> None:
    """A request is in no block that says "no" to a term that finds it."""
    given = Bytes(data)
    headers = given.several(lambda: [given.wire(20), given.wire(20)], 4)
    row = {
        "method": given.choice(["GET", "POST", "FOO"]),
        "target": "/" + given.wire(60) if given.flag() else given.wire(60),
        "headers": json.dumps(headers, ensure_ascii=False),
        "peer": str(ip_address(given.some(4).ljust(4, b"\1"))),
        "client": str(ip_address(given.some(16).ljust(16, b"\1"))),
        "replica": given.wire(8),
        "scheme": given.choice(["http", "https"]),
        "status": given.choice([200, 413]),
        "truncated": given.flag(),
        "body_size": given.number(2**31),
    }
    has = filters.terms(row)
    assert all(-(2**31) <= one < 2**31 for one in has)
    asked = [written.term(name, str(row[name])) for name in ("method", "replica", "scheme", "peer", "client", "status")]
    asked += [written.term("path", _path(row["target"])), f"size>={row['body_size']}", f"size:{row['body_size']}"]
    asked += [written.term("header", value, name) for name, value in headers]
    asked += [f"peer:{row['peer']}/{given.number(33)}", f"client:{row['client']}/{given.number(129)}"]
    for one in _said(asked):
        expression = parse(one, _NOW)
        assert _may_be(filters.needed(expression), has), one
    together = " ".join(_said(asked))
    if len(together) <= MOST_CHARACTERS:
        assert _may_be(filters.needed(parse(together, _NOW)), has)


def _said(terms: list[str | None]) -> list[str]:
    return [term for term in terms if term is not None]


def _path(target: str) -> str:
    """By another way than the package's."""
    if not target.startswith("/"):
        scheme, found, rest = target.partition("://")
        if found and re.fullmatch(r"[A-Za-z][A-Za-z0-9+.\-]*", scheme):
            target = rest[len(re.split("[/?#]", rest)[0]) :]
    return target.split("?")[0].split("#")[0]


def _may_be(needed: filters.Needed | None, has: set[int]) -> bool:
    if needed is None:
        return True
    each = [one in has for one in needed.terms] + [_may_be(part, has) for part in needed.parts]
    return all(each) if needed.all else any(each)


@target(
    "cursor",
    [b"@", b"-", b"0"],
    [b"019aaf6e-3c5f-7d2a-8b1e-0242ac120002@1795435200123", b"019aaf6e-3c5f-7d2a-8b1e-0242ac120002"],
)
def cursor(data: bytes) -> None:
    """What has a cursor's shape is one, and what goes on from there is one again."""
    text = data.decode("latin-1")
    if not re.fullmatch(CURSOR.strip("^$"), text):
        return
    begin = Begin.at(text)
    assert begin.beyond == UUID(text.partition("@")[0])
    again = begin.next(begin.beyond)
    assert again and re.fullmatch(CURSOR.strip("^$"), again) and Begin.at(again) == begin
    for said in ("since:9999999w", "until:1s", "since:2026-11-22T10:00"):
        parse(said, begin.now)


@target("position", [b"-"], [b"0123abcd-42-019aaf6e-3c5f-7d2a-8b1e-0242ac120002", b"0123abcd-18446744073709551615-"])
def stream_position(data: bytes) -> None:
    """It is a place in the stream that is written as it was read, or ValueError."""
    text = data.decode("latin-1")
    try:
        found = position.parse(text)
    except ValueError:
        return
    epoch, xid, id = text.split("-", 2)
    assert (found.epoch, found.xid, found.id) == (epoch, int(xid), id) and 0 <= found.xid < 2**64
    assert position.parse(str(found)) == found
    assert found.key >= (found.xid, "0") and position.Position(epoch, found.xid).key >= found.key


@target(
    "range",
    [b"bytes=", b"-", b",", b" ", b"\xd9\xa3"],
    [b"\x05bytes=0-1", b"\x09bytes=-3", b"\xffbytes=5-", b"\x00bytes=0-"],
)
def byte_range(data: bytes) -> None:
    """The bytes that RFC 9110, section 14, says; nothing that lies outside of the body."""
    size, header = (data[0] if data else 0), data[1:].decode("latin-1")
    expected = _said_by_the_rfc(header, size)
    try:
        found = wanted(header, size)
    except NotSatisfiable:
        assert expected == "none"
        return
    assert expected == (None if found is None else (found.start, found.stop))
    assert found is None or (0 <= found.start < found.stop <= size and found.step == 1)


def _said_by_the_rfc(header: str, size: int) -> object:
    unit, equals, spec = header.partition("=")
    first, dash, last = spec.strip(" \t").partition("-")
    digits = "0123456789"
    if unit.lower() != "bytes" or not equals or not dash or (first + last).strip(digits) or not first + last:
        return None
    if not first:
        length = min(_number(last), size)
        return None if not size and _number(last) else "none" if not length else (size - length, size)
    if last and _number(last) < _number(first):
        return None
    if _number(first) >= size:
        return "none"
    return _number(first), min(_number(last) + 1, size) if last else size


def _number(digits: str) -> int:
    value = 0
    for digit in digits.lstrip("0")[:30]:
        value = value * 10 + ord(digit) - 48
    return value


@target("link", [b"%2f", b"//evil.example", b"\\\\", b"javascript:", b"\r\nSet-Cookie: x"], [b"a=b&c", b"since:1h"])
def link(data: bytes) -> None:
    """An address that is made of a filter stays on this site, in one line, and says that very filter."""
    from gatebook.viewer.pages.link import to_list, to_request

    text = data.decode("utf-8", "ignore")
    for made in (to_list(text), to_request("019aaf6e-3c5f-7d2a-8b1e-0242ac120002", text)):
        assert made.startswith("/_/") and made.isascii() and made.isprintable() and " " not in made
        if text:
            assert unquote(re.split(r"[?&]filter=", made)[1].split("&")[0].replace("+", " ")) == text
