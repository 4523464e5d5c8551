"""What clients sent, as people can read it on a terminal: text, sizes, times.

Rule: no control character that a client sent reaches the terminal, be it one of ASCII, of latin-1 or of Unicode (which
has some that turn the direction of writing).
"""

import unicodedata
from datetime import datetime, timezone

_KEPT = frozenset("\n\t")


def text(wire: str) -> str:
    """One line of wire text: UTF-8 where it is valid, with `\\x1b` and the like for what cannot be printed."""
    return _escaped(decoded(wire), frozenset())


def decoded(wire: str) -> str:
    """Wire text, which holds one character per byte, as UTF-8 where it is valid; else as it is."""
    try:
        return wire.encode("latin-1").decode()
    except UnicodeError:
        return wire


def lines(body: str) -> str:
    """A text of many lines, escaped like `text` but for its line ends and tabs."""
    return _escaped(body.replace("\r\n", "\n"), _KEPT)


def _escaped(plain: str, kept: frozenset[str]) -> str:
    if plain.isprintable():
        return plain
    return "".join(
        char if char.isprintable() or char in kept else char.encode("unicode_escape").decode() for char in plain
    )


def columns(plain: str) -> int:
    """How many columns of a terminal it takes."""
    if plain.isascii():
        return len(plain)
    return sum(map(_columns, plain))


def _columns(char: str) -> int:
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def cut(plain: str, room: int) -> str:
    """As much of it as `room` columns hold, with an ellipsis for the rest."""
    if columns(plain) <= room:
        return plain
    kept, left = "", room - 1
    for char in plain:
        if (left := left - _columns(char)) < 0:
            break
        kept += char
    return f"{kept}…"


def size(count: int | None) -> str:
    """Bytes in the units that a filter takes, powers of 1024: 512B, 1.2kB, 34MB."""
    if count is None:
        return "?"
    value, unit = float(count), "B"
    for larger in ("kB", "MB", "GB"):
        if value < 1024:
            break
        value, unit = value / 1024, larger
    return f"{value:.1f}{unit}" if unit != "B" and value < 10 else f"{value:.0f}{unit}"


def moment(told: str | None, utc: bool) -> datetime | None:
    """A time of the API, in local time or in UTC."""
    if told is None:
        return None
    return datetime.fromisoformat(told).astimezone(timezone.utc if utc else None)  # noqa: UP017  # None: local
