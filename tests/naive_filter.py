"""Filters as plainly as can be: what is asked, how it is written, what it matches. Shares nothing with the package.

An expression is nested tuples: ("and", a, b, …), ("or", a, b, …), ("not", a), or an Asked.
"""

import json
import re
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from ipaddress import ip_address, ip_network
from typing import Any, NamedTuple

from filter_rows import Row

STAR = None  # in a value, anything
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1000)


class Asked(NamedTuple):
    """One term. `value` is a list of texts and stars for texts, else a number, a network's text, a bool, a UUID."""

    field: str
    operator: str
    value: Any
    key: tuple[str, ...] = ()
    style: int = 0  # which of the ways to write the value

    def __repr__(self) -> str:
        return f"<{written(self)}>"


# What it matches


def matches(expression: Any, row: Row) -> bool:
    if isinstance(expression, Asked):
        return _asked(expression, row)
    kind, *parts = expression
    if kind == "not":
        return not matches(parts[0], row)
    return (all if kind == "and" else any)(matches(part, row) for part in parts)


def _asked(asked: Asked, row: Row) -> bool:
    field, value = asked.field, asked.value
    if field in ("client", "peer"):
        return ip_address(getattr(row, field)) in ip_network(value)
    if field == "status":
        return _number(row.status, asked.operator, value)
    if field == "size":
        return row.body_size is not None and _number(row.body_size, asked.operator, value)
    if field == "truncated":
        return row.truncated == value
    if field in ("since", "until"):
        received_ms = row.id.int >> 80
        return received_ms >= value if field == "since" else received_ms < value
    if field == "id":
        return row.id == value
    return _text(asked, row)


def _number(number: int, operator: str, value: Any) -> bool:
    if isinstance(value, str):  # 4xx
        return number // 100 == int(value[0])
    return {
        ":": number == value,
        "=": number == value,
        ">": number > value,
        ">=": number >= value,
        "<": number < value,
        "<=": number <= value,
    }[operator]


def _text(asked: Asked, row: Row) -> bool:
    field, exactly = asked.field, asked.operator == "="
    parts = [part if part is STAR else part.encode("utf-8", "surrogatepass") for part in asked.value]
    if field == "body" and all(part is STAR for part in parts):
        return bool(row.body)
    if field == "body":
        return row.body is not None and _like(row.body, parts, whole=exactly)
    if any(part and b"\0" in part for part in parts):  # only a body holds one
        return field == "text" and row.body is not None and _like(row.body, parts, whole=False)
    match field:
        case "text":
            texts = [row.target, *(text for line in row.headers for text in line)]
            held = [text.encode("latin-1") for text in texts] + ([] if row.body is None else [row.body])
            return any(_like(text, parts, whole=False) for text in held)
        case "json":
            found = _at(row.body, asked.key)
            return found is not None and _like(found.encode(), parts, whole=True)
        case "header":
            name = asked.key[0].encode().lower()
            values = [value for own, value in row.headers if own.encode("latin-1").lower() == name]
            return any(_like(value.encode("latin-1"), parts, whole=exactly) for value in values)
        case "target":
            return _like(row.target.encode("latin-1"), parts, whole=exactly)
        case "path":
            return _like(_path(row.target).encode("latin-1"), parts, whole=True)
        case "method" if not exactly:
            return _like(row.method.encode("latin-1").lower(), [part and part.lower() for part in parts], whole=True)
        case _:
            column = {"version": "http_version"}.get(field, field)
            return _like(getattr(row, column).encode("latin-1"), parts, whole=True)


def _like(text: bytes, parts: list[bytes | None], whole: bool) -> bool:
    pattern = b"".join(b".*" if part is STAR else re.escape(part) for part in parts)
    compiled = re.compile(pattern, re.DOTALL)
    return bool(compiled.fullmatch(text) if whole else compiled.search(text))


def _path(target: str) -> str:
    if "://" in target and not target.startswith("/"):
        scheme, rest = target.split("://", 1)
        if (
            scheme[:1].isascii()
            and scheme[:1].isalpha()
            and all(c.isascii() and (c.isalnum() or c in "+.-") for c in scheme)
        ):
            host_ends = min(rest.find(c) if c in rest else len(rest) for c in "/?#")
            target = rest[host_ends:]
    return target.split("?")[0].split("#")[0]


# JSON as PostgreSQL's jsonb takes it


class _Refused(Exception):
    pass


def parsed(body: bytes | None) -> Any:
    """Numbers are Decimals; raises ValueError or _Refused where jsonb does."""
    if body is None:
        raise _Refused
    document = json.loads(body.decode(), parse_float=_decimal, parse_int=_decimal, parse_constant=_refuse)
    for text in _strings(document):
        if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
            raise _Refused
    return document


def _refuse(_: str) -> None:
    raise _Refused


def _decimal(text: str) -> Decimal:
    number = Decimal(text)
    if number.adjusted() > 100_000:  # more digits than numeric holds
        raise _Refused
    return number


def _strings(document: Any) -> list[str]:
    if isinstance(document, str):
        return [document]
    if isinstance(document, dict):
        return [*document, *(text for value in document.values() for text in _strings(value))]
    return [text for value in document for text in _strings(value)] if isinstance(document, list) else []


def _at(body: bytes | None, keys: tuple[str, ...]) -> str | None:
    """The text of the scalar there; None when there is none."""
    try:
        value = parsed(body)
    except (ValueError, _Refused):
        return None
    for key in keys:
        if isinstance(value, dict) and key in value:
            value = value[key]
        elif isinstance(value, list) and re.fullmatch(r"[ \t\n\v\f\r]*[+-]?[0-9]+", key) and _in(int(key), value):
            value = value[int(key)]
        else:
            return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return format(value if value else abs(value), "f")
    return value if isinstance(value, str) else None


def _in(index: int, values: list[Any]) -> bool:
    return -len(values) <= index < len(values)


# How it is written


def written(expression: Any, inside: bool = False) -> str:
    if isinstance(expression, Asked):
        return _written_term(expression)
    kind, *parts = expression
    if kind == "not":
        return ("-" if len(written(parts[0])) % 2 else "NOT ") + written(parts[0], inside=True)
    word = {"and": (" ", " AND ")[len(parts) % 2], "or": " OR "}[kind]
    text = word.join(written(part, inside=True) for part in parts)
    return f"({text})" if inside else text


def _written_term(asked: Asked) -> str:
    if asked.field == "text":
        return _pieces(asked.value, asked.style, ' \t\r\n()"*:=<>-')
    name = ".".join([asked.field, *(_quoted_if(key, ' \t\r\n()".:=<>', asked.style) for key in asked.key)])
    return f"{name}{asked.operator}{_value(asked)}"


def _value(asked: Asked) -> str:
    value, style = asked.value, asked.style
    if isinstance(value, list):
        return _pieces(value, style, ' \t\r\n()"' + ("*" if asked.operator == ":" else ""))
    if isinstance(value, bool):
        return str(value).lower()
    if asked.field in ("since", "until"):
        return _time(value, style)
    if asked.field == "size":
        for unit, power in (("k", 10), ("MiB", 20), ("GB", 30)):
            if style and value and value % 2**power == 0 and value < 2 ** (power + 10):
                return f"{value >> power}{unit}"
    return f'"{value}"' if style == 3 else str(value)


def _time(ms: int, style: int) -> str:
    back = NOW_MS - ms
    if style % 2 and back >= 0 and back % 1000 == 0:
        return f"{back // 60_000}m" if back % 60_000 == 0 else f"{back // 1000}s"
    zone = timezone(timedelta(hours=-5, minutes=-30)) if style > 1 else UTC
    at = datetime.fromtimestamp(0, zone) + timedelta(milliseconds=ms)
    text = at.isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z" if style else "")


def _pieces(value: list[str | None], style: int, needs_quotes: str) -> str:
    text = "".join("*" if part is STAR else _quoted_if(part, needs_quotes, style) for part in value)
    return text or '""'


def _quoted_if(text: str, needs_quotes: str, style: int) -> str:
    if (
        text
        and not style
        and text not in ("AND", "OR", "NOT")
        and not any(character in needs_quotes for character in text)
    ):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
