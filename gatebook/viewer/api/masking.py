"""A kept body as a whole, masked.

Rule: few are in memory at a time, and only those that are not too large for it; masking them holds up nobody else.
"""

import asyncio
from uuid import UUID

import orjson

from gatebook.redact import Redaction
from gatebook.viewer.api import body
from gatebook.viewer.api.problem import Problem
from gatebook.viewer.database import Database
from gatebook.viewer.shown import hidden
from gatebook.viewer.shown.said import said

MOST_BYTES = 16 * 1024 * 1024
_at_once = asyncio.Semaphore(2)


async def masked(database: Database, id: UUID, size: int, redaction: Redaction) -> bytes | None:
    """The body of `size` bytes that is kept of a request, masked; None when nothing in it is.

    Raises Problem when it is too large, and Unavailable.
    """
    if not redaction or not size:
        return None
    if size > MOST_BYTES:
        detail = f"the body of request {id} has {size:,} bytes, too many to look for what is to be masked in it"
        raise Problem(403, detail, "reveal=1 has it as it was sent, which is noted; `gatebook show ID --raw --reveal`")
    async with _at_once:
        row = await database.row("one_request", id, 0)
        content = b"".join([part async for part in body.parts(database, id, range(size))])
        headers = orjson.loads(row["headers"]) if row else []
        found, is_masked = await asyncio.to_thread(
            hidden.body, redaction, content, said(headers).codings, bool(row and row["truncated"])
        )
    return found if is_masked else None
