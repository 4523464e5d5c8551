"""Random rows for tests of filters: few values, so that they come again, and nasty ones among them.

Text is wire text, one character per byte. The same seed makes the same rows.
"""

import json
import random
from dataclasses import dataclass
from uuid import UUID

import orjson

from gatebook.identity import request_uuid

FIRST_MS = 1_763_800_000_000
BATCH_MS = 600_000  # the rows of a batch lie within ten minutes


@dataclass(frozen=True)
class Row:
    """A row of `requests`, its headers unpacked."""

    id: UUID
    body_size: int | None
    peer: str
    client: str
    status: int
    truncated: bool
    scheme: str
    http_version: str
    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes | None
    replica: str

    @property
    def headers_json(self) -> str:
        return orjson.dumps(self.headers).decode()


def wire(text: str) -> str:
    return text.encode().decode("latin-1")


METHODS = ["GET", "POST", "PUT", "get", "Post", "PATCH", "M%T", wire("É"), wire("é")]
TARGET = ["/", "/", "a", "b", "/a/", "/a/b/", "%", "_", "*", "\\", '"', wire("é"), "\xff", "A", "\t", "'", "\n", "\x7f"]
BEGINNINGS = [
    "/",
    "/",
    "/",
    "/a/",
    "/a/b",
    "//",
    "",
    "*",
    "http://h.example",
    "HTTPS://u:p@[::1]:80/",
    "x+y://",
    "://a",
]
QUERIES = ["", "", "", "?a=1", "#f", "?b#c?d", "#?"]
NAMES = [
    "Host",
    "host",
    "HOST",
    "X-A",
    "x-a",
    "X_A",
    "X-B",
    "a b",
    'q"\\',
    wire("É"),
    wire("é"),
    "\xc3",
    "%",
    "],[",
    "",
]
VALUES = [
    "push",
    "pull",
    "Push",
    "a",
    "b",
    '"',
    "\\",
    "n",
    "\n",
    "\t",
    "u0000",
    "\0",
    '","',
    '"],["',
    "%",
    "_",
    "*",
    wire("é"),
]
VALUES += ["\xff", "/a/b", " ", "\x7f", "\x1f", "\\u0000", "'", "X-A"]
BODIES = [
    b"push",
    b"a",
    b"b",
    b"\0",
    b"%",
    b"_",
    b"\\",
    b"*",
    b"\xff",
    "é".encode(),
    b"\n",
    b"/a/",
    b'"',
    b"\xed\xa0\x80",
    b" ",
]
SIZES = [0, 1, 512, 1023, 1024, 1025, 2048, 1 << 20, (1 << 20) + 1, 1 << 30, (1 << 40) + 7, None]
ADDRESSES = [
    "10.0.0.1",
    "10.0.1.1",
    "10.1.0.1",
    "11.0.0.1",
    "0.0.0.0",
    "255.255.255.255",
    "2001:db8::1",
    "2001:db8:0:1::1",
]
ADDRESSES += ["2001:db9::1", "::1", "::ffff:10.0.0.1"]
STATUSES = [200, 200, 204, 301, 404, 413, 499, 500, 503, 599, 99, 600, 1000, -1]
KEYS = ["a", "b", "a.b", "", "0", "1", "é", "a b", 'q"', "-1", "*", "\U0001f600", " 1", "+0"]
STRINGS = ["x", "xy", "", "é", "%", "_", "a*b", "true", "1", "\\", '"', "\n", "\U0001f600", "octo/cat", "octo/dog"]
NUMBERS = [
    "0",
    "-0",
    "1",
    "-1",
    "1.0",
    "1.50",
    "1e2",
    "1.5e1",
    "0e5",
    "1E-3",
    "-0.0",
    "12345678901234567890123",
    "1.0e-2",
    "2e30",
]
HOSTILE = [
    r'"\u0000"',
    r'"\ud800"',
    r'"\ude00"',
    r'"a\u00e9"',
    r'"\ud83d\ude00"',
    "NaN",
    "01",
    "1.",
    "[1,",
    "'a'",
    "1e999999",
    r'"\x"',
]


def batch(number: int, count: int) -> list[Row]:
    """The rows of one seed."""
    chance = random.Random(number)
    return [_row(chance, number, place) for place in range(count)]


def _row(chance: random.Random, number: int, place: int) -> Row:
    ms = FIRST_MS + number * BATCH_MS + chance.randrange(BATCH_MS // 1000) * chance.choice([1, 1000])
    return Row(
        UUID(
            request_uuid(f"{chance.getrandbits(60) * 1000 + place:019x}".ljust(32, "0"), f"{ms // 1000}.{ms % 1000:03}")
        ),
        chance.choice(SIZES),
        chance.choice(ADDRESSES),
        chance.choice(ADDRESSES),
        chance.choice(STATUSES),
        chance.random() < 0.3,
        chance.choice(["http", "https"]),
        chance.choice(["1.0", "1.1", "2.0"]),
        chance.choice(METHODS),
        chance.choice(BEGINNINGS) + _some(chance, TARGET, 4) + chance.choice(QUERIES) + _some(chance, TARGET, 1),
        tuple((chance.choice(NAMES), _some(chance, VALUES, 3)) for _ in range(chance.randrange(6))),
        _body(chance),
        chance.choice(["webapp-1", "webapp-2", "web_app", "webapp-10"]),
    )


def _some(chance: random.Random, parts: list[str], most: int) -> str:
    return "".join(chance.choice(parts) for _ in range(chance.randrange(most + 1)))


def _body(chance: random.Random) -> bytes | None:
    kind = chance.randrange(10)
    if kind == 0:
        return None
    if kind < 4:
        return b"".join(chance.choice(BODIES) for _ in range(chance.randrange(5)))
    text = _json(chance, 3)
    damaged = text.replace('"', "", 1) if kind == 4 else text
    return damaged.encode("utf-16" if chance.random() < 0.03 else "utf-8")


def _json(chance: random.Random, depth: int) -> str:
    kind = chance.randrange(9 if depth else 5)
    if kind == 0:
        return chance.choice(["true", "false", "null"])
    if kind == 1:
        return chance.choice(NUMBERS)
    if kind == 2 and chance.random() < 0.15:
        return chance.choice(HOSTILE)
    if kind < 5:
        return json.dumps(chance.choice(STRINGS), ensure_ascii=chance.random() < 0.5)
    inner = [_json(chance, depth - 1) for _ in range(chance.randrange(4))]
    if kind == 5:
        return "[" + ", ".join(inner) + "]"
    return "{" + ",".join(f"{json.dumps(chance.choice(KEYS))}: {value}" for value in inner) + "}"
