"""`/_/compare/{a}/{b}`: two requests beside each other, what differs between them and what does not.

Rule: of each body at most `COMPARED_BYTES` are read; larger ones are compared by size and SHA-256. The comparing holds
up nobody else who is being answered.
"""

import asyncio
from uuid import UUID

import asyncpg
from fastapi import APIRouter
from starlette.responses import Response

from gatebook.viewer.api.parameters import Db, Filter
from gatebook.viewer.api.requests import not_recorded
from gatebook.viewer.database import Database
from gatebook.viewer.pages.lists import SILENT_AFTER_S
from gatebook.viewer.pages.template import render
from gatebook.viewer.row import unpacked
from gatebook.viewer.shown import difference
from gatebook.viewer.shown.difference import Sent

COMPARED_BYTES = 1024 * 1024

router = APIRouter(include_in_schema=False)


@router.get("/_/compare/{a}/{b}")
async def compare(database: Db, a: UUID, b: UUID, filter: Filter = "") -> Response:
    """Both as they were sent: request line, headers and body; and how they came."""
    ours, theirs = await _sent(database, a), await _sent(database, b)

    def drawn() -> Response:
        found = difference.compare(ours, theirs)
        told = {"a": ours.request, "b": theirs.request, "found": found, "filter": filter, "filter_error": None}
        return render("compare.html", told)

    return await asyncio.to_thread(drawn)


async def _sent(database: Database, id: UUID) -> Sent:
    row = await database.row("shown_request", id, COMPARED_BYTES, within_s=SILENT_AFTER_S)
    if row is None:
        raise not_recorded(id)
    return Sent(unpacked(row), row["body"] if _is_whole(row) else None, row["sha256"])


def _is_whole(row: asyncpg.Record) -> bool:
    return row["body"] is not None and not row["truncated"] and len(row["body"]) == row["kept"]
