"""A request and the beginning of its body, as the pages read it."""

from uuid import UUID

import asyncpg

from gatebook.viewer.api.requests import absent
from gatebook.viewer.database import Database

SILENT_AFTER_S = 4.0  # a page is not waited for longer when the database says nothing


async def recorded(database: Database, id: UUID, most_bytes: int) -> asyncpg.Record:
    """The row of `shown_request`, with `most_bytes` of its body at most; raises Problem when there is none."""
    row = await database.row("shown_request", id, most_bytes, within_s=SILENT_AFTER_S)
    if row is None:
        raise await absent(database, id)
    return row


def is_whole(row: asyncpg.Record) -> bool:
    """Whether all of the body that is kept has been read."""
    return row["body"] is not None and len(row["body"]) == row["kept"]
