"""The kept bytes of a body, whole or a range of them (RFC 9110 section 14), never as active content.

Rule: at most one part of a body is in memory for a client, and no connection is held while the client reads it. A body
that cannot be sent to its end cuts the connection, so that nobody takes what came for all of it.
"""

import re
from collections.abc import AsyncIterator, Mapping
from uuid import UUID

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gatebook.viewer.database import Database, Unavailable

PART_BYTES = 512 * 1024
_ONE_RANGE = re.compile(r"bytes=[ \t]*(\d*)-(\d*)[ \t]*", re.ASCII | re.IGNORECASE)

# What keeps a browser from running, showing or guessing at what some client once sent.
INERT = {
    "Content-Disposition": 'attachment; filename="{id}.bin"',
    "Content-Security-Policy": "sandbox; default-src 'none'",
    "X-Content-Type-Options": "nosniff",
}


class NotSatisfiable(Exception):
    """The range that was asked for has no byte in the body: 416."""


def wanted(header: str, size: int) -> range | None:
    """The byte positions that a Range header asks for of `size` bytes; None when all of them are to be sent.

    A header that is malformed, of another unit, or of more than one range is ignored, as RFC 9110 section 14.2 allows.
    Raises NotSatisfiable.
    """
    match = _ONE_RANGE.fullmatch(header)
    if not match or not any(match.groups()):
        return None
    first, last = (_number(digits) if digits else None for digits in match.groups())
    if first is None:
        return _last_bytes(last or 0, size)
    if last is not None and last < first:
        return None
    if first >= size:
        raise NotSatisfiable
    return range(first, size if last is None else min(last + 1, size))


def _last_bytes(count: int, size: int) -> range | None:
    if count == 0:
        raise NotSatisfiable
    return range(max(size - count, 0), size) if size else None


def _number(digits: str) -> int:
    """Its value, or for a huge one just a number beyond any body: int() refuses thousands of digits."""
    return int(digits.lstrip("0")[:19] or "0")


async def parts(database: Database, id: UUID, positions: range) -> AsyncIterator[bytes]:
    """The bytes at `positions` of a kept body, part by part; raises Unavailable."""
    for start in range(positions.start, positions.stop, PART_BYTES):
        length = min(PART_BYTES, positions.stop - start)
        row = await database.row("body_part", id, start, length)
        if row is None or len(row["part"]) != length:
            raise Unavailable("the request was deleted meanwhile")
        yield row["part"]


class Body(Response):
    """An answer that sends `content` as it comes; its first part is read before anything is sent."""

    def __init__(self, status: int, content: AsyncIterator[bytes], headers: Mapping[str, str]) -> None:
        super().__init__(status_code=status, headers=headers, media_type="application/octet-stream")
        self._content = content

    @classmethod
    async def begin(cls, status: int, content: AsyncIterator[bytes], headers: Mapping[str, str]) -> "Body":
        """Raises Unavailable while an error can still be answered."""
        first = await anext(content, b"")
        return cls(status, _chained(first, content), headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        try:
            async for part in self._content:
                await send({"type": "http.response.body", "body": part, "more_body": True})
        except Unavailable:
            return  # without the end of the body: the server cuts the connection
        await send({"type": "http.response.body", "body": b""})


async def _chained(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for part in rest:
        yield part
