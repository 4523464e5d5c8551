"""How SQL compares a column with a text or a pattern: templates with {} where the column goes. Pure.

Rules: the column must not be NULL, or the template is wrapped in coalesce(); text that PostgreSQL cannot hold (a NUL,
half a surrogate pair) raises NoSuchText: no column has it, so it matches nothing. Looking through 10 MiB can be stopped
about every half a second, whatever is sought: PostgreSQL does not look whether it is to stop inside LIKE or position().
"""

from collections.abc import Sequence

import orjson

from gatebook.filter.parameters import Parameters

ANYTHING = "true"

# Bytes that are sought at each place. Where nearly all of them are there each time, as in a body of a's, LIKE takes
# 0.7 ms for each of them and MiB, position() of text 0.27 ms, position() of bytes 0.01 ms. Bodies, and texts in JSON,
# have up to 10 MiB, and all else 1 MiB.
LONGEST_LIKE = 32
LONGEST_POSITION = 512

_OF_TEXT, _OF_BYTES = "convert_to({}, 'UTF8')", "{} || ''::bytea"  # in memory as it is, read and unpacked once

# Walks from part to part: `part` of them were found, the next is sought from `at` on. It can be stopped at each.
_IN_ORDER = """EXISTS (SELECT FROM (SELECT {whole} AS whole OFFSET 0) AS flat WHERE EXISTS (
    WITH RECURSIVE walk (part, at) AS (
        SELECT 0, octet_length({first}) + 1 WHERE substring(whole FROM 1 FOR octet_length({first})) = {first}
        UNION ALL
        SELECT part + 1, at + found - 1 + octet_length(({sought})[part + 1])
        FROM walk, LATERAL (SELECT position(({sought})[part + 1] IN substring(whole FROM at)) AS found OFFSET 0) AS next
        WHERE found > 0
    )
    SELECT FROM walk
    WHERE
        part = {count} AND at + octet_length({last}) <= octet_length(whole) + 1
        AND substring(whole FROM octet_length(whole) - octet_length({last}) + 1) = {last}
))"""


class NoSuchText(Exception):
    """PostgreSQL holds no text like this."""


def wire(text: str) -> str:
    """Text as the columns have it: a character for each byte of its UTF-8."""
    return held(to_bytes(text).decode("latin-1"))


def held(text: str) -> str:
    """The text itself; raises NoSuchText."""
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise NoSuchText
    return text


def to_bytes(text: str) -> bytes:
    """UTF-8, for half a surrogate pair as well."""
    return text.encode("utf-8", "surrogatepass")


def lower(text: str) -> str:
    """ASCII alone, as header names are compared (RFC 9110, section 5.1); in SQL it is lower(… COLLATE "C")."""
    return to_bytes(text).lower().decode("utf-8", "surrogatepass")


def in_json(text: str) -> str:
    """As the text stands between quotes in the column `headers`, which orjson wrote."""
    return orjson.dumps(text).decode()[1:-1]


def is_like(parts: Sequence[str], parameters: Parameters) -> str:
    """The whole column is the only part, or has all of them from its start to its end with anything in between."""
    if len(parts) == 1:
        return f"{{}} = {parameters.add(parts[0], 'text')}"
    if not any(parts[1:]):  # LIKE looks at one place only
        return f"{{}} LIKE {parameters.add(_literal(parts[0]) + '%', 'text')}"
    if _longest(parts[1:]) > LONGEST_LIKE:
        return _in_order(_OF_TEXT, list(map(to_bytes, parts)), parameters)
    return _stopping(f"{{}} LIKE {parameters.add('%'.join(map(_literal, parts)), 'text')}")


def contains(parts: Sequence[str], parameters: Parameters) -> str:
    """The column has all parts in this order; ANYTHING when they are empty."""
    if not any(parts):
        return ANYTHING
    if len(parts) > 1:
        return is_like(["", *parts, ""], parameters)
    if _longest(parts) > LONGEST_POSITION:
        return _in_order(_OF_TEXT, [b"", to_bytes(parts[0]), b""], parameters)
    return _stopping(f"position({parameters.add(parts[0], 'text')} IN {{}}) > 0")  # half the time that LIKE takes


def contains_bytes(parts: Sequence[bytes], parameters: Parameters) -> str:
    """The same for a column of bytes."""
    if not any(parts):
        return ANYTHING
    if len(parts) == 1:
        return _stopping(f"position({parameters.add(parts[0], 'bytea')} IN {{}}) > 0")
    if max(map(len, parts)) > LONGEST_LIKE:
        return _in_order(_OF_BYTES, [b"", *parts, b""], parameters)
    pattern = b"%".join([b"", *(_literal_bytes(part) for part in parts), b""])
    return _stopping(f"{{}} LIKE {parameters.add(pattern, 'bytea')}")


def _stopping(condition: str) -> str:
    """The same with a place before it where PostgreSQL looks whether it is to stop. It takes 0.05 µs a row."""
    return f"(SELECT {condition})"


def _in_order(whole: str, parts: Sequence[bytes], parameters: Parameters) -> str:
    """What is_like says, part by part: position() compares bytes ten times as fast as LIKE does."""
    first, *middle, last = parts
    sought = [part for part in middle if part]
    return _IN_ORDER.format(
        whole=whole,
        first=parameters.add(first, "bytea"),
        sought=parameters.add(sought, "bytea[]"),
        count=len(sought),
        last=parameters.add(last, "bytea"),
    )


def _longest(parts: Sequence[str]) -> int:
    return max(len(to_bytes(part)) for part in parts)


def _literal(text: str) -> str:
    return text.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")


def _literal_bytes(text: bytes) -> bytes:
    return text.replace(b"\\", rb"\\").replace(b"%", rb"\%").replace(b"_", rb"\_")
