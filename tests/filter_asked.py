"""Random filters out of what rows hold, as naive_filter has them: hypothesis draws and shrinks them."""

import json
from decimal import Decimal
from ipaddress import ip_network
from typing import Any

from filter_rows import KEYS, Row
from hypothesis import strategies as st
from naive_filter import STAR, Asked, parsed

_TEXTS = ("method", "path", "replica", "scheme", "version", "target", "header", "json", "body", "text")
_OTHERS = ("client", "peer", "status", "size", "truncated", "since", "until", "id")
_OPERATORS = (":", "=", ">", ">=", "<", "<=")


@st.composite
def expressions(draw: st.DrawFn, rows: list[Row], depth: int = 2) -> Any:
    kind = draw(st.sampled_from(["term"] * 4 + ["and", "or", "not"])) if depth else "term"
    if kind == "term":
        return draw(asked(draw(st.sampled_from(rows))))
    parts = [draw(expressions(rows, depth - 1)) for _ in range(1 if kind == "not" else draw(st.integers(2, 3)))]
    return (kind, *parts)


@st.composite
def asked(draw: st.DrawFn, row: Row) -> Asked:
    """A term that this row matches, or nearly."""
    field = draw(st.sampled_from(_TEXTS + _OTHERS))
    style = draw(st.integers(0, 3))
    if field in _TEXTS:
        return draw(_text(row, field, style))
    if field in ("since", "until"):
        ms = (row.id.int >> 80) + draw(st.sampled_from([0, 0, 1, -1, 60_000, -60_000]))
        return Asked(field, draw(st.sampled_from(":=")), ms, (), style)
    if field in ("client", "peer"):
        return Asked(field, draw(st.sampled_from(":=")), draw(_network(getattr(row, field))), (), style)
    if field == "truncated":
        return Asked(field, draw(st.sampled_from(":=")), row.truncated, (), style)
    if field == "id":
        return Asked(field, draw(st.sampled_from(":=")), row.id, (), style)
    return draw(_number(row, field, style))


@st.composite
def _number(draw: st.DrawFn, row: Row, field: str, style: int) -> Asked:
    operator = draw(st.sampled_from(_OPERATORS))
    if field == "size":
        size = (row.body_size or 0) + draw(st.sampled_from([0, 0, 1, -1]))
        return Asked(field, operator, max(size, 0), (), style)
    if operator in ":=" and draw(st.booleans()):
        return Asked(field, operator, f"{min(max(row.status // 100, 1), 9)}xx")
    return Asked(field, operator, min(max(row.status, 100), 999), (), style)


@st.composite
def _network(draw: st.DrawFn, address: str) -> str:
    """The address, or a network that it lies in."""
    bits = ip_network(address).max_prefixlen
    length = draw(st.sampled_from([bits, bits, bits - 1, bits // 2, bits // 4, 12, 7, 1, 0]))
    return address if length == bits else str(ip_network(f"{address}/{length}", strict=False))


@st.composite
def _text(draw: st.DrawFn, row: Row, field: str, style: int) -> Asked:
    key: tuple[str, ...] = ()
    if field == "header":
        name, value = draw(st.sampled_from(row.headers or (("X-A", "a"),)))
        key = (draw(st.sampled_from([name, name.swapcase(), "host", "absent"])) or "host",)
        key = (key[0].encode("latin-1").decode("utf-8", "replace"),)
    elif field == "json":
        key, value = draw(st.sampled_from(_scalars(row.body)))
    elif field == "body":
        value = (row.body or b"").decode("latin-1")
    elif field == "text":
        everything = [row.target, (row.body or b"").decode("latin-1"), *(text for line in row.headers for text in line)]
        value = draw(st.sampled_from(everything))
    else:
        value = getattr(row, {"version": "http_version", "path": "target"}.get(field, field))
    if field != "json":
        value = value.encode("latin-1").decode("utf-8", "ignore")
    operator = ":" if field == "text" else draw(st.sampled_from("::="))
    return Asked(field, operator, draw(_value(value, operator, field)), key, style)


@st.composite
def _value(draw: st.DrawFn, text: str, operator: str, field: str) -> list[str | None]:
    """The text, or something of it, or something like it; stars where they mean anything."""
    if field == "path" and draw(st.booleans()):
        text = text.partition("?")[0].partition("#")[0]
    cut = draw(st.integers(0, len(text)))
    end = draw(st.integers(cut, len(text)))
    how = draw(st.sampled_from(["whole", "whole", "part", "nasty", "case"]))
    if how == "part":
        text = text[cut:end]
    elif how == "nasty":
        text = text[:cut] + draw(st.sampled_from(["\0", "\ud800", "é", "%", "_", "*", "\\", '"', "x"])) + text[end:]
    elif how == "case":
        text = text.swapcase()
    if operator == "=" or draw(st.booleans()):
        return [text]
    value = draw(
        st.sampled_from([[text, STAR], [STAR, text], [text[:cut], STAR, text[end:]], [STAR, text, STAR], [STAR]])
    )
    return [part for part in value if part != ""] or [text]


def _scalars(body: bytes | None) -> list[tuple[tuple[str, ...], str]]:
    """Where something stands in a body, and what; a place that is not there when it is no JSON."""
    try:
        document = parsed(body)
    except Exception:
        return [(("a",), "x")]
    found = list(_walk((), document))
    return [(keys, text) for keys, text in found if keys] or [((KEYS[0],), "x")]


def _walk(keys: tuple[str, ...], value: Any) -> Any:
    if isinstance(value, dict | list):
        inner = value.items() if isinstance(value, dict) else enumerate(value)
        for key, part in inner:
            yield from _walk((*keys, str(key)), part)
        if isinstance(value, list) and value:
            yield from _walk((*keys, "-1"), value[-1])
        yield keys, "x"
    elif isinstance(value, Decimal):
        yield keys, format(value, "f")
    else:
        yield keys, value if isinstance(value, str) else json.dumps(value)
