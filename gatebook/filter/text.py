"""How SQL compares a column with a text or a pattern: templates with {} where the column goes. Pure.

Rules: the column must not be NULL, or the template is wrapped in coalesce(); text that PostgreSQL cannot hold (a NUL,
half a surrogate pair) raises NoSuchText: no column has it, so it matches nothing.
"""

from collections.abc import Sequence

import orjson

from gatebook.filter.parameters import Parameters

ANYTHING = "true"


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
    return f"{{}} LIKE {parameters.add('%'.join(map(_literal, parts)), 'text')}"


def contains(parts: Sequence[str], parameters: Parameters) -> str:
    """The column has all parts in this order; ANYTHING when they are empty."""
    if not any(parts):
        return ANYTHING
    if len(parts) == 1:  # half the time that LIKE takes
        return f"position({parameters.add(parts[0], 'text')} IN {{}}) > 0"
    return is_like(["", *parts, ""], parameters)


def contains_bytes(parts: Sequence[bytes], parameters: Parameters) -> str:
    """The same for a column of bytes."""
    if not any(parts):
        return ANYTHING
    if len(parts) == 1:
        return f"position({parameters.add(parts[0], 'bytea')} IN {{}}) > 0"
    pattern = b"%".join([b"", *(_literal_bytes(part) for part in parts), b""])
    return f"{{}} LIKE {parameters.add(pattern, 'bytea')}"


def _literal(text: str) -> str:
    return text.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")


def _literal_bytes(text: bytes) -> bytes:
    return text.replace(b"\\", rb"\\").replace(b"%", rb"\%").replace(b"_", rb"\_")
