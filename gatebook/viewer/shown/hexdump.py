"""Bytes by number, a page at a time: offset, sixteen bytes, and the characters that they are in ASCII."""

from typing import NamedTuple

PAGE_BYTES = 4096
_ROW = 16
_CHARACTERS = "".join(chr(byte) if 0x20 <= byte < 0x7F else "·" for byte in range(256))


class Row(NamedTuple):
    offset: str
    bytes: str  # as wide in every row
    characters: str  # a middle dot where ASCII has none to print


class Hexdump(NamedTuple):
    rows: tuple[Row, ...]
    first: int  # where it begins
    end: int  # after its last byte
    size: int  # of all that can be shown
    before: int | None  # where the page before begins
    after: int | None


def hexdump(content: bytes, at: int = 0, page_bytes: int = PAGE_BYTES) -> Hexdump:
    """The page that holds byte `at`, or the last one."""
    first = min(max(at, 0), max(len(content) - 1, 0)) // page_bytes * page_bytes
    end = min(first + page_bytes, len(content))
    rows = tuple(_row(offset, content[offset : min(offset + _ROW, end)]) for offset in range(first, end, _ROW))
    before = first - page_bytes if first else None
    return Hexdump(rows, first, end, len(content), before, end if end < len(content) else None)


def _row(offset: int, part: bytes) -> Row:
    by_halves = f"{part[:8].hex(' '):23}  {part[8:].hex(' '):23}"
    return Row(f"{offset:08x}", by_halves, "".join(_CHARACTERS[byte] for byte in part))
