"""`/_/api/requests`: what was recorded, a page of it, one by one with its neighbours, and the exact bodies."""

import base64
import hashlib
from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any
from uuid import UUID

import orjson
from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from gatebook.filter import Expression, parse
from gatebook.identity import rfc3339
from gatebook.viewer.api import body, masking, problem, schema
from gatebook.viewer.api.answer import json_answer
from gatebook.viewer.api.parameters import Begin, Cursor, Db, Filter
from gatebook.viewer.api.problem import Problem
from gatebook.viewer.api.told import Told, by_lines
from gatebook.viewer.aside import aside
from gatebook.viewer.database import Database
from gatebook.viewer.row import item, items
from gatebook.viewer.search import Search
from gatebook.viewer.shown import hidden
from gatebook.viewer.shown.said import said
from gatebook.viewer.sight import Reveal, Sight

BODY_BYTES = 1024 * 1024  # of a body that is shown within its request
NEIGHBOUR_DEADLINE_S = 4.0  # for each of the two

router = APIRouter(responses=problem.RESPONSES)

_PROGRESS = {"progress": 0.31, "reached": "2026-11-22T10:00:00.000Z", "found": 7}


@router.get("/_/api/requests", response_model=schema.Page, responses=by_lines("page", "Page", _PROGRESS))
async def list_requests(
    request: Request,
    database: Db,
    filter: Filter = "",
    limit: Annotated[
        int, Query(ge=1, le=500, description="the most to answer with; fewer come when they are large")
    ] = 50,
    cursor: Cursor = None,
    reveal: Reveal = False,
) -> Response:
    """Recorded requests, newest first. What arrives meanwhile does not move the pages after the first, nor does time:
    durations such as `since:1h` count back from the first page on all of them.

    A filter that has to look at very many requests (at their bodies, say) is given some seconds. What was found until
    then is answered with `complete: false`: there may be more, in older requests than `reached`, and `next` goes on
    there. With `Accept: application/x-ndjson` progress is told meanwhile, a line at a time.

    `curl 'http://localhost:8080/_/api/requests?filter=method:POST+since:1h&limit=10'`
    """
    begin = Begin.at(cursor)
    search = Search(database, parse(filter, begin.now), limit, begin.beyond)
    return Told(request, _Paging(search, begin, Sight(request, reveal)), "page")


class _Paging:
    """Finds a page."""

    def __init__(self, search: Search, begin: Begin, sight: Sight) -> None:
        self._search = search
        self._begin = begin
        self._sight = sight

    @property
    def so_far(self) -> dict[str, Any]:
        return self._search.so_far

    async def run(self) -> Mapping[str, Any]:
        found = await self._search.run()
        await self._sight.note(len(found.rows))
        return {
            "requests": await items(found.rows, self._sight.redaction, item),
            "next": self._begin.next(found.next),
            "complete": found.complete,
            "reached": None if found.reached_ms is None else rfc3339(found.reached_ms),
        }


@router.get("/_/api/requests/{id}", response_model=schema.Whole, responses=problem.NOT_RECORDED)
async def one_request(request: Request, database: Db, id: UUID, reveal: Reveal = False) -> Response:
    """One recorded request, with its body if that is not too long to be read here.

    `curl http://localhost:8080/_/api/requests/019aaf6e-3c5f-7d2a-8b1e-0242ac120002`
    """
    sight = Sight(request, reveal)
    row = await database.row("one_request", id, BODY_BYTES)
    if row is None:
        raise await absent(database, id)
    await sight.note(1)
    [told], shown = await items([row], sight.redaction, item), row["body"]
    if shown:
        codings = said(orjson.loads(row["headers"])).codings
        shown, masked = await aside(partial(hidden.body, sight.redaction, shown, codings, row["truncated"]))
        told["redacted"] = told["redacted"] or masked
    return json_answer({**told, **_shown_body(shown)})


def _shown_body(kept: bytes | None) -> dict[str, str | None]:
    """As schema.Whole has it."""
    if kept is None:
        return {"body": None, "body_encoding": None}
    try:
        return {"body": kept.decode(), "body_encoding": "utf-8"}
    except UnicodeDecodeError:
        return {"body": base64.b64encode(kept).decode(), "body_encoding": "base64"}


@router.get("/_/api/requests/{id}/neighbours", response_model=schema.Neighbours, responses=problem.NOT_RECORDED)
async def neighbours(database: Db, id: UUID, filter: Filter = "") -> Response:
    """The next newer and the next older request that the filter finds, seen from this one, which need not match.

    With `complete: false` there was no time to look at all that might be one: a null then means that none was found
    yet. /_/api/requests with this id as `cursor` goes on looking for older ones, for as long as that takes.

    `curl 'http://localhost:8080/_/api/requests/019aaf6e-3c5f-7d2a-8b1e-0242ac120002/neighbours?filter=method:POST'`
    """
    if await database.row("body_kept", id) is None:
        raise await absent(database, id)
    expression = parse(filter)
    newer, newer_complete = await neighbour(database, expression, id, newest_first=False)
    older, older_complete = await neighbour(database, expression, id, newest_first=True)
    return json_answer({"newer": newer, "older": older, "complete": newer_complete and older_complete})


async def neighbour(
    database: Database, expression: Expression, id: UUID, newest_first: bool
) -> tuple[str | None, bool]:
    """The nearest in this direction, and whether that is certain."""
    found = await Search(database, expression, 1, id, newest_first, NEIGHBOUR_DEADLINE_S).run()
    return (str(found.rows[0]["id"]), True) if found.rows else (None, found.complete)


_BYTES = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
_RANGE: dict[str, Any] = {
    "name": "Range",
    "in": "header",
    "required": False,
    "description": "one range of bytes; anything else is ignored",
    "schema": {"type": "string"},
    "example": "bytes=0-1023",
}
_BODY_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"description": "All that is kept", "content": _BYTES},
    206: {"description": "The range asked for", "content": _BYTES},
    403: problem.described("The body is too large to be masked; `reveal=1` has it as it was sent"),
    404: problem.described("No such request is recorded, or its body was too large to be kept"),
    410: problem.described("The request was deleted for good"),
    416: problem.described("The body has no byte in that range"),
}


@router.get(
    "/_/api/requests/{id}/body",
    response_class=Response,
    responses=_BODY_RESPONSES,
    openapi_extra={"parameters": [_RANGE]},
)
async def one_body(request: Request, database: Db, id: UUID, reveal: Reveal = False) -> Response:
    """The kept bytes of a body exactly, or one range of them. `Gatebook-Truncated: true` when more was sent.

    Where something in them is masked (`Gatebook-Redacted: true`), ranges are those of the masked bytes.

    `curl -o body.bin http://localhost:8080/_/api/requests/019aaf6e-3c5f-7d2a-8b1e-0242ac120002/body`
    """
    sight = Sight(request, reveal)
    row = await database.row("body_kept", id)
    if row is None:
        raise await absent(database, id)
    if (size := row["kept"]) is None:
        raise Problem(
            404, f"the body of request {id} was not kept: it was too large to be read", "GATEBOOK_BODY_MAX is the limit"
        )
    await sight.note(1)
    masked = await masking.masked(database, id, size, sight.redaction)
    headers = {name: value.format(id=id) for name, value in body.INERT.items()}
    headers |= {"Accept-Ranges": "bytes", "ETag": f'"{id}"'}
    if row["truncated"]:
        headers["Gatebook-Truncated"] = "true"
    if masked is not None:
        size = len(masked)
        headers |= {"Gatebook-Redacted": "true", "ETag": f'"{id}-{hashlib.sha256(masked).hexdigest()[:16]}"'}
    positions = _asked_range(request, headers["ETag"], size)
    if positions is not None:
        headers["Content-Range"] = f"bytes {positions.start}-{positions.stop - 1}/{size}"
    status, sent = (200, range(size)) if positions is None else (206, positions)
    headers["Content-Length"] = str(len(sent))
    if "gatebook.head" in request.scope:
        sent = range(0)
    if masked is not None:
        return Response(masked[sent.start : sent.stop], status, headers, "application/octet-stream")
    return await body.Body.begin(status, body.parts(database, id, sent), headers)


def _asked_range(request: Request, etag: str, size: int) -> range | None:
    """The range of the Range header, if If-Range lets it count (RFC 9110 section 13.1.5)."""
    if request.headers.get("if-range", etag) != etag:
        return None
    try:
        return body.wanted(",".join(request.headers.getlist("range")), size)
    except body.NotSatisfiable:
        detail = f"there is no such range in a body of {size} bytes"
        raise Problem(416, detail, "ask for a range that begins inside", {"Content-Range": f"bytes */{size}"}) from None


async def absent(database: Database, id: UUID) -> Problem:
    """Why there is no such request: it never was, or it was deleted for good. Raises Unavailable."""
    if forgotten := await database.row("forgotten", id):
        return Problem(410, f"request {id} was forgotten at {forgotten['at']}", "the trail says more: /_/api/trail")
    return Problem(404, f"no request {id} is recorded", "/_/api/requests lists what is")
