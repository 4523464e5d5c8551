"""`/_/`: the newest requests that a filter finds, as a page that needs no script to be read, searched and turned.

Rule: the first page is here before anything that may take long. What a search has not found within `LIST_WITHIN_S` is
left to the script, or to the link that goes on.
"""

import asyncio
from dataclasses import dataclass
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from gatebook.filter import FilterError, parse
from gatebook.identity import rfc3339
from gatebook.viewer.api.parameters import Begin, Cursor, Filter
from gatebook.viewer.database import Unavailable
from gatebook.viewer.pages import link
from gatebook.viewer.pages.narrowing import Narrowing
from gatebook.viewer.pages.recorded import SILENT_AFTER_S
from gatebook.viewer.pages.template import render
from gatebook.viewer.row import items, unpacked
from gatebook.viewer.search import Search
from gatebook.viewer.sight import Sight

ROWS = 50
LIST_WITHIN_S = 1.0

router = APIRouter(include_in_schema=False)

By = Annotated[Literal["replica", "method", "path"] | None, Query()]


@dataclass(frozen=True)
class Wrong:
    """What is wrong with the filter; `position` counts characters from 0."""

    message: str
    position: int
    expected: str


@router.get("/_/")
async def newest(
    request: Request,
    filter: Filter = "",
    by: By = None,
    cursor: Cursor = None,
    compare: UUID | None = None,
) -> Response:
    """The list; with `compare`, each row leads to its comparison with that request."""
    listed = await listing(request, filter, cursor)
    told = {"by": by, "compare": compare, "cursor": cursor, "origin": link.origin(request), "one": None}
    return render("list.html", told | listed, listed["status"])


async def listing(request: Request, filter: str, cursor: str | None = None) -> dict[str, Any]:
    """What the template of the list needs to know of a page of requests. Never raises for a filter or the database.

    Nothing is revealed in a list: what is masked stays so.
    """
    database, masking = request.app.state.database, Sight(request, reveal=False).redaction
    told: dict[str, Any] = {"filter": filter, "filter_error": None, "away": None, "status": 200}
    told |= {"rows": [], "next": None, "reached": None, "narrowing": Narrowing(filter)}
    begin = Begin.at(cursor)
    try:
        expression = parse(filter, begin.now)
        async with asyncio.timeout(SILENT_AFTER_S):
            found = await Search(database, expression, ROWS, begin.beyond, deadline_s=LIST_WITHIN_S).run()
    except FilterError as error:
        return told | {"status": 400, "filter_error": Wrong(str(error), error.position, error.expected)}
    except Unavailable as error:
        return told | {"status": 503, "away": str(error)}
    except TimeoutError:
        return told | {"status": 503, "away": "the database does not answer"}
    reached = None if found.complete or found.reached_ms is None else rfc3339(found.reached_ms)
    return told | {
        "rows": await items(found.rows, masking, unpacked),
        "next": begin.next(found.next),
        "reached": reached,
    }
