"""What lies in a body that was sent compressed (Content-Encoding, RFC 9110 section 8.4).

Rule: at most as many bytes come out as are asked for, whatever goes in, and nothing is put together beyond that.
"""

import re
import zlib
from collections.abc import Sequence

MOST_BYTES = 1024 * 1024
MOST_CODINGS = 4
_BLOCK_BYTES = (
    4096  # at a time: what is left of a block is copied at the end of each member, of which there may be many
)
_BITS = {"gzip": zlib.MAX_WBITS | 16, "x-gzip": zlib.MAX_WBITS | 16, "deflate": zlib.MAX_WBITS}


class NotDecodable(Exception):
    """Its words say why."""


def codings(values: Sequence[str]) -> tuple[str, ...]:
    """The codings that header lines name, in the order they were applied; `identity` is none."""
    named = [name.strip(" \t").lower() for value in values for name in value.split(",")]
    return tuple(name for name in named if name not in ("", "identity"))


def can_decode(names: Sequence[str]) -> bool:
    return 0 < len(names) <= MOST_CODINGS and all(name in _BITS for name in names)


def decoded(
    content: bytes, names: Sequence[str], cut: bool = False, most_bytes: int = MOST_BYTES, strictly: bool = False
) -> tuple[bytes, bool]:
    """The bytes before the codings were applied, `most_bytes` at most, and whether that is only their beginning.

    `cut`: `content` itself is only a beginning; `strictly`: nothing may stand behind what was coded, which decoders
    pass over. Raises NotDecodable.
    """
    if not can_decode(names):
        raise NotDecodable("this coding is not known here" if len(names) <= MOST_CODINGS else "too many codings")
    for name in reversed(names):
        content, cut = _inflated(content, name, cut, most_bytes, strictly)
    return content, cut


def _inflated(content: bytes, name: str, cut: bool, most_bytes: int, strictly: bool) -> tuple[bytes, bool]:
    found, at, more = bytearray(), 0, True
    while more:  # gzip may consist of several members
        inflater = zlib.decompressobj(_bits(name, content))
        at = _member(inflater, content, at, found, most_bytes)
        if len(found) > most_bytes:
            return bytes(found[:most_bytes]), True
        if not inflater.eof:
            if cut:
                return bytes(found), True
            raise NotDecodable("it ends too early")
        more = name != "deflate" and content.startswith(b"\x1f\x8b", at)
    if strictly and at < len(content):
        raise NotDecodable("something stands behind it")
    return bytes(found), False


def _member(inflater: "zlib._Decompress", content: bytes, at: int, found: bytearray, most_bytes: int) -> int:
    """Adds to `found` what lies in the member that begins at `at`; returns where that ends. Raises NotDecodable."""
    while at < len(content) and not inflater.eof and len(found) <= most_bytes:
        block = content[at : at + _BLOCK_BYTES]
        try:
            found += inflater.decompress(block, most_bytes + 1 - len(found))
        except zlib.error as error:
            raise NotDecodable(_reason(error)) from None
        at += len(block) - len(inflater.unused_data)
    return at


def _bits(name: str, content: bytes) -> int:
    """`deflate` is zlib's format, but some send what is within it without its two bytes of head."""
    is_zlib = len(content) > 1 and content[0] & 15 == 8 and (content[0] << 8 | content[1]) % 31 == 0
    return -zlib.MAX_WBITS if name == "deflate" and not is_zlib else _BITS[name]


def _reason(error: zlib.error) -> str:
    return re.sub(r"^Error -?\d+ while decompressing data: ", "", str(error))
