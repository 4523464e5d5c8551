"""The read side's HTTP interface, put together of its parts: what is where, and what all of them have in common."""

from typing import Any

from fastapi import APIRouter, Depends, FastAPI
from fastapi.routing import APIRoute
from starlette.responses import Response
from starlette.types import ASGIApp

from gatebook import __version__
from gatebook.settings import Settings
from gatebook.viewer import static
from gatebook.viewer.api import audit as audit_api
from gatebook.viewer.api import counts as counts_api
from gatebook.viewer.api import docs, metrics, openapi, parameters, problem, schema
from gatebook.viewer.api import events as events_api
from gatebook.viewer.api import filter as filter_api
from gatebook.viewer.api import gate as gate_api
from gatebook.viewer.api import passage as passage_api
from gatebook.viewer.api import requests as requests_api
from gatebook.viewer.api import trail as trail_api
from gatebook.viewer.api.answer import json_answer
from gatebook.viewer.api.envelope import Envelope
from gatebook.viewer.api.packed import Packed
from gatebook.viewer.api.parameters import Db
from gatebook.viewer.database import Database
from gatebook.viewer.events import Hub
from gatebook.viewer.gate import Gate
from gatebook.viewer.guard import Guard
from gatebook.viewer.pages import compare, image, lists, one, problem_page
from gatebook.viewer.passage import Passages

READY_WITHIN_S = 1.0  # a database that is silent takes twice that, since its connection is given up first

_TELEMETRY_OFF: Any = {"auto_configure": False, "tracing": False, "metrics": False, "logs": False}


def application(settings: Settings, database: Database, hub: Hub | None = None) -> ASGIApp:
    """The viewer as an ASGI application that reads `database`; `hub` runs while it answers, for live events."""
    app = FastAPI(
        title="Gatebook",
        summary=openapi.SUMMARY,
        description=openapi.description(),
        version=__version__,
        openapi_url="/_/api/openapi.json",
        openapi_tags=openapi.tags(),
        docs_url=None,  # FastAPI's pages load their scripts from another host
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=_name,
        telemetry=_TELEMETRY_OFF,  # it would be set up from the environment, which is read in one place only
    )
    app.state.settings = settings
    app.state.database = database
    app.state.hub = hub or Hub(settings)
    app.state.running_audit = None
    app.state.last_audit = None  # what the last audit found, for the metrics
    app.state.scrape = metrics.Scrape(
        settings, database, last_audit=lambda: app.state.last_audit, listeners=lambda: app.state.hub.listeners
    )
    app.state.gate = Gate(settings, database, last_audit=lambda: app.state.last_audit)
    app.state.passages = Passages(settings.access_log)
    problem.install(app, problem_page.page)
    openapi.install(app)
    app.include_router(_health, tags=["health"])
    for tag, router in _PARTS:
        app.include_router(router, tags=[tag], dependencies=[Depends(parameters.only_known)])
    return Guard(Envelope(Packed(app)), settings, database)


def _name(route: APIRoute) -> str:
    return route.name


_health = APIRouter(responses=problem.RESPONSES)
_index = APIRouter(include_in_schema=False)


@_health.get("/_/health/live", response_model=schema.Health)
async def live() -> Response:
    """Whether this process answers."""
    return json_answer({"status": "ok"})


@_health.get("/_/health/ready", response_model=schema.Health)
async def ready(database: Db) -> Response:
    """Whether the database answers this process, soon enough."""
    await database.row("ready", within_s=READY_WITHIN_S)
    return json_answer({"status": "ok"})


@_index.get("/_/api")
async def index() -> Response:
    """What is here."""
    here = {
        "viewer": "/_/",
        "requests": "/_/api/requests",
        "counts": "/_/api/counts",
        "events": "/_/api/events",
        "filter": "/_/api/filter",
        "audit": "/_/api/audit",
        "trail": "/_/api/trail",
        "gate": "/_/api/gate",
        "metrics": "/_/metrics",
        "docs": "/_/api/docs",
        "openapi": "/_/api/openapi.json",
        "ready": "/_/health/ready",
    }
    return json_answer({"gatebook": __version__, "see": here})


_PARTS = (
    ("index", _index),
    ("requests", requests_api.router),
    ("requests", passage_api.router),
    ("requests", filter_api.router),
    ("counts", counts_api.router),
    ("events", events_api.router),
    ("audit", audit_api.router),
    ("audit", trail_api.router),
    ("health", gate_api.router),
    ("health", metrics.router),
    ("docs", docs.router),
    ("pages", static.router),
    ("pages", lists.router),
    ("pages", one.router),
    ("pages", image.router),
    ("pages", compare.router),
)
