"""`/_/compare/{a}/{b}`: two requests beside each other, what differs between them and what does not.

Rules: of each body at most `COMPARED_BYTES` are read; larger ones are compared by size and SHA-256. The comparing holds
up nobody else who is being answered. Values that are masked have a number, the same for those that are the same.
"""

from uuid import UUID

import asyncpg
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from gatebook.redact import Redaction
from gatebook.viewer.api.parameters import Db, Filter
from gatebook.viewer.aside import aside
from gatebook.viewer.pages.recorded import is_whole, recorded
from gatebook.viewer.pages.template import render
from gatebook.viewer.row import unpacked
from gatebook.viewer.shown import difference, hidden
from gatebook.viewer.shown.difference import Sent
from gatebook.viewer.shown.said import said
from gatebook.viewer.sight import Reveal, Sight

COMPARED_BYTES = 1024 * 1024

router = APIRouter(include_in_schema=False)


@router.get("/_/compare/{a}/{b}")
async def compare(
    request: Request, database: Db, a: UUID, b: UUID, filter: Filter = "", reveal: Reveal = False
) -> Response:
    """Both as they were sent: request line, headers and body; and how they came."""
    sight = Sight(request, reveal)
    rows = [await recorded(database, id, COMPARED_BYTES) for id in (a, b)]
    await sight.note(len({a, b}))

    def drawn() -> Response:
        redaction = sight.redaction.numbered()
        ours, theirs = (_sent(row, redaction) for row in rows)
        found = difference.compare(ours, theirs)
        told = {"a": ours.request, "b": theirs.request, "found": found, "filter": filter, "filter_error": None}
        return render("compare.html", {**told, "revealed": sight.revealed})

    return await aside(drawn)


def _sent(row: asyncpg.Record, redaction: Redaction) -> Sent:
    request = unpacked(row, redaction)
    if not is_whole(row) or row["truncated"]:  # and perhaps to be masked
        sha256: str | None = row["sha256"]
        return Sent(request, None, redaction.whole(sha256.encode()).decode() if sha256 and redaction else sha256)
    body, masked = hidden.body(redaction, row["body"], said(request["headers"]).codings)
    request["redacted"] = request["redacted"] or masked
    return Sent(request, body, "masked" if masked else None)
