"""The read side's HTTP interface: what was recorded, newest first, one by one, and the exact bodies.

Rule: what is asked for is answered wholly or refused. A parameter that is not known here is never ignored, since a
filter that was not applied looks just like an answer.
"""

from typing import Annotated, Any
from uuid import UUID

import orjson
from fastapi import APIRouter, Depends, FastAPI, Query
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from gatebook import __version__
from gatebook.settings import Settings
from gatebook.viewer import audit_api, body, metrics, problem, schema
from gatebook.viewer.database import Database
from gatebook.viewer.envelope import Envelope
from gatebook.viewer.problem import Problem
from gatebook.viewer.row import item

PAGE_BYTES = 8 * 1024 * 1024  # of targets and headers; a page ends early rather than hold more
READY_WITHIN_S = 1.0  # a database that is silent takes twice that, since its connection is given up first
_NEWEST = UUID(int=2**128 - 1)

_TELEMETRY_OFF: Any = {"auto_configure": False, "tracing": False, "metrics": False, "logs": False}


def application(settings: Settings, database: Database) -> ASGIApp:
    """The viewer as an ASGI application that reads `database`."""
    app = FastAPI(
        title="Gatebook",
        summary="What came through the gate",
        version=__version__,
        openapi_url="/_/api/openapi.json",
        docs_url=None,  # FastAPI's pages load their scripts from another host
        redoc_url=None,
        redirect_slashes=False,
        telemetry=_TELEMETRY_OFF,  # it would be set up from the environment, which is read in one place only
    )
    app.state.settings = settings
    app.state.database = database
    app.state.running_audit = None
    app.state.last_audit = None  # what the last audit found, for the metrics
    app.state.scrape = metrics.Scrape(settings, database, lambda: app.state.last_audit)
    problem.install(app)
    app.include_router(_health)
    app.include_router(_api)
    app.include_router(audit_api.router, dependencies=[Depends(_only_known_parameters)])
    app.include_router(metrics.router, dependencies=[Depends(_only_known_parameters)])
    return Envelope(app)


async def _database(request: Request) -> Database:
    found: Database = request.app.state.database
    return found


async def _only_known_parameters(request: Request) -> None:
    known = [field.alias for field in request.scope["route"].dependant.query_params]
    names = [name for name, _ in request.query_params.multi_items()]
    for name in names:
        if name not in known:
            hint = "known here: " + ", ".join(known) if known else "no parameter is known here"
            raise Problem(400, f"query parameter {name[:100]!r} is not known here", hint)
        if names.count(name) > 1:
            raise Problem(400, f"query parameter {name!r} is given {names.count(name)} times", "give it once")


Db = Annotated[Database, Depends(_database)]
_health = APIRouter(responses=problem.RESPONSES)
_api = APIRouter(responses=problem.RESPONSES, dependencies=[Depends(_only_known_parameters)])


@_health.get("/_/health/live", response_model=schema.Health)
async def live() -> Response:
    """Whether this process answers."""
    return _json({"status": "ok"})


@_health.get("/_/health/ready", response_model=schema.Health)
async def ready(database: Db) -> Response:
    """Whether the database answers this process, soon enough."""
    await database.row("ready", within_s=READY_WITHIN_S)
    return _json({"status": "ok"})


@_api.get("/_/", include_in_schema=False)
async def index() -> Response:
    """What is here."""
    here = {
        "requests": "/_/api/requests",
        "audit": "/_/api/audit",
        "metrics": "/_/metrics",
        "openapi": "/_/api/openapi.json",
        "ready": "/_/health/ready",
    }
    return _json({"gatebook": __version__, "see": here})


@_api.get("/_/api/requests", response_model=schema.Page)
async def list_requests(
    database: Db,
    limit: Annotated[
        int, Query(ge=1, le=500, description="the most to answer with; fewer come when they are large")
    ] = 50,
    cursor: Annotated[UUID | None, Query(description="`next` of the page before; none: begin at the newest")] = None,
) -> Response:
    """Recorded requests, newest first. What arrives meanwhile does not move the pages after the first."""
    found = await database.rows("list_requests", cursor or _NEWEST, limit + 1, PAGE_BYTES)
    page = found[:limit]
    more = bool(page) and page[0]["found"] > len(page)
    return _json({"requests": [item(row) for row in page], "next": str(page[-1]["id"]) if more else None})


@_api.get("/_/api/requests/{id}", response_model=schema.Recorded)
async def one_request(database: Db, id: UUID) -> Response:
    """One recorded request."""
    row = await database.row("one_request", id)
    if row is None:
        raise _not_recorded(id)
    return _json(item(row))


_BODY_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"description": "all that is kept", "content": {"application/octet-stream": {}}},
    206: {"description": "the range asked for", "content": {"application/octet-stream": {}}},
}


@_api.get("/_/api/requests/{id}/body", response_class=Response, responses=_BODY_RESPONSES)
async def one_body(request: Request, database: Db, id: UUID) -> Response:
    """The kept bytes of a body exactly, or one range of them. `Gatebook-Truncated: true` when more was sent."""
    row = await database.row("body_kept", id)
    if row is None:
        raise _not_recorded(id)
    if (size := row["kept"]) is None:
        raise Problem(
            404, f"the body of request {id} was not kept: it was too large to be read", "GATEBOOK_BODY_MAX is the limit"
        )
    headers = {name: value.format(id=id) for name, value in body.INERT.items()}
    headers |= {"Accept-Ranges": "bytes", "ETag": f'"{id}"'}
    if row["truncated"]:
        headers["Gatebook-Truncated"] = "true"
    positions = _asked_range(request, headers["ETag"], size)
    if positions is not None:
        headers["Content-Range"] = f"bytes {positions.start}-{positions.stop - 1}/{size}"
    status, sent = (200, range(size)) if positions is None else (206, positions)
    headers["Content-Length"] = str(len(sent))
    content = body.parts(database, id, range(0) if request.scope.get("gatebook.head") else sent)
    return await body.Body.begin(status, content, headers)


def _asked_range(request: Request, etag: str, size: int) -> range | None:
    """The range of the Range header, if If-Range lets it count (RFC 9110 section 13.1.5)."""
    if request.headers.get("if-range", etag) != etag:
        return None
    try:
        return body.wanted(",".join(request.headers.getlist("range")), size)
    except body.NotSatisfiable:
        detail = f"there is no such range in a body of {size} bytes"
        raise Problem(416, detail, "ask for a range that begins inside", {"Content-Range": f"bytes */{size}"}) from None


def _not_recorded(id: UUID) -> Problem:
    return Problem(404, f"no request {id} is recorded", "/_/api/requests lists what is")


def _json(value: object) -> Response:
    return Response(orjson.dumps(value), media_type="application/json")
