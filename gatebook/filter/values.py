"""Reads the values of a filter's terms: texts with stars, networks, sizes, times. Pure.

Rule: a value that is none raises ValueError, whose words do not matter: the table of fields says what was expected.
"""

import re
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Network, IPv6Network, ip_network
from uuid import UUID

from gatebook.filter.expression import At, Between, Pattern, Value
from gatebook.filter.fields import Kind

_PIECE = re.compile(r'"((?:[^"\\]|\\[\s\S])*)"|([^"]+)')
_SIZE = re.compile(r"([0-9]{1,19})(?:([kmg])i?)?b?", re.IGNORECASE)
_UNITS = {None: 1, "k": 1024, "m": 1024**2, "g": 1024**3}
_LARGEST = 2**63 - 2  # so that what is greater than it still fits PostgreSQL's bigint
_DURATION = re.compile(r"([0-9]{1,9})([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_LONGEST_S = 10_000 * 366 * 86400  # longer than datetime's years; a timedelta may be longer still
_TIME = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.]\d{1,6})?)?(?:Z|[+-]\d\d:\d\d)?)?", re.ASCII)
_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def pattern(raw: str) -> Pattern:
    """The texts between stars; a star in quotes is a star."""
    parts = [""]
    for quoted, bare in _PIECE.findall(raw):
        first, *others = bare.split("*") if bare else [_unescaped(quoted)]
        parts[-1] += first
        parts += others
    return Pattern(tuple(parts))


def plain(raw: str) -> str:
    """The text itself, without the quotes around it or around parts of it."""
    return "".join(bare or _unescaped(quoted) for quoted, bare in _PIECE.findall(raw))


def name(raw: str) -> str:
    """A header's name."""
    if not plain(raw):
        raise ValueError("no name")
    return plain(raw)


def keys(raw: str) -> tuple[str, ...]:
    """The keys of a path such as a."b.c".0; an empty one stands in quotes."""
    found: list[str | None] = [None]
    for quoted, bare in _PIECE.findall(raw):
        first, *others = bare.split(".") if bare else [_unescaped(quoted)]
        if first or not bare:
            found[-1] = (found[-1] or "") + first
        found += [other or None for other in others]
    if None in found:
        raise ValueError("a key is missing")
    return tuple(key for key in found if key is not None)


def value(kind: Kind, operator: str, raw: str, now: datetime) -> Value:
    """What stands after the operator; durations count back from `now`."""
    if kind in ("whole", "part"):
        return pattern(raw) if operator == ":" else Pattern((plain(raw),))
    text = plain(raw)
    match kind:
        case "network":
            return network(text)
        case "status":
            return _compared(operator, *status(text, may_be_class=operator in ":="))
        case "size":
            return _compared(operator, size(text), size(text))
        case "time":
            return time(text, now)
        case "flag":
            return flag(text)
        case _:
            return id(text)


def network(text: str) -> IPv4Network | IPv6Network:
    """An address, or the network in which an address with a prefix length lies."""
    if "%" in text:
        raise ValueError("PostgreSQL's inet knows no zones")
    return ip_network(text, strict=False)


def status(text: str, may_be_class: bool) -> tuple[int, int]:
    """The first and the last status of `413` or `4xx`."""
    if may_be_class and re.fullmatch("[1-9][xX]{2}", text):
        return int(text[0]) * 100, int(text[0]) * 100 + 99
    if not re.fullmatch("[1-9][0-9]{2}", text):
        raise ValueError("a status has three digits")
    return int(text), int(text)


def flag(text: str) -> bool:
    """`true` or `false`."""
    if text not in ("true", "false"):
        raise ValueError("neither true nor false")
    return text == "true"


def size(text: str) -> int:
    """Bytes, of `1MB`, `10kB`, `1MiB` or `512`: units are powers of 1024, as everywhere in Gatebook."""
    match = _SIZE.fullmatch(text)
    if not match:
        raise ValueError("no size")
    bytes = int(match[1]) * _UNITS[match[2] and match[2].lower()]
    if bytes > _LARGEST:
        raise ValueError("PostgreSQL's bigint ends before")
    return bytes


def time(text: str, now: datetime) -> At:
    """A point in time, by its distance from `now` or by date and clock; rounded up to a whole millisecond."""
    if match := _DURATION.fullmatch(text):
        elapsed = timedelta(seconds=min(int(match[1]) * _SECONDS[match[2]], _LONGEST_S))
        return At(max(0, _unix_ms(now - elapsed)) if now - _EPOCH > elapsed else 0)
    if not _TIME.fullmatch(text):
        raise ValueError("no time")
    at = datetime.fromisoformat(text)
    return At(max(0, _unix_ms(at if at.tzinfo else at.replace(tzinfo=UTC))))


def id(text: str) -> UUID:
    """An id as it is written everywhere."""
    if not _ID.fullmatch(text):
        raise ValueError("no id")
    return UUID(text)


def _unix_ms(at: datetime) -> int:
    return -((_EPOCH - at) // timedelta(milliseconds=1))


def _compared(operator: str, low: int, high: int) -> Between:
    """The numbers that stand in this relation to those from `low` to `high`."""
    match operator:
        case ">":
            return Between(high + 1, None)
        case ">=":
            return Between(low, None)
        case "<":
            return Between(None, low - 1)
        case "<=":
            return Between(None, high)
        case _:
            return Between(low, high)


def _unescaped(quoted: str) -> str:
    r"""What is meant in quotes: \" and \\ are one character, any other \ is itself."""
    return re.sub(r'\\(["\\])', r"\1", quoted)
