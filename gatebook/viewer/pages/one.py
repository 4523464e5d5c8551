"""`/_/requests/{id}`: one request, whole, beside the list; and the way to its neighbours.

Rule: at most `SHOWN_BYTES` of a body are read, and drawing them holds up nobody else who is being answered.
"""

import re
from functools import partial
from typing import Annotated, Any
from uuid import UUID

import asyncpg
from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from gatebook.filter import parse
from gatebook.snippets import curl, httpie, python
from gatebook.viewer.api.parameters import Db, Filter
from gatebook.viewer.api.problem import Problem
from gatebook.viewer.api.requests import neighbour
from gatebook.viewer.aside import aside
from gatebook.viewer.pages import link
from gatebook.viewer.pages.lists import listing
from gatebook.viewer.pages.narrowing import Narrowing
from gatebook.viewer.pages.recorded import is_whole, recorded
from gatebook.viewer.pages.template import render
from gatebook.viewer.row import unpacked
from gatebook.viewer.shown import body as bodies
from gatebook.viewer.shown import jwt
from gatebook.viewer.shown.form import Form, form
from gatebook.viewer.shown.limits import Limits
from gatebook.viewer.sight import Reveal, Sight

SHOWN_BYTES = 1024 * 1024
_PATH = re.compile("/[^?#]*")

router = APIRouter(include_in_schema=False)


@router.get("/_/requests/{id}")
async def one(
    request: Request,
    database: Db,
    id: UUID,
    filter: Filter = "",
    view: Annotated[str | None, Query(max_length=20)] = None,
    at: Annotated[int, Query(ge=0, le=2**31)] = 0,
    decoded: bool = False,
    bare: bool = False,
    reveal: Reveal = False,
) -> Response:
    """The request: of its body `view`, from byte `at` on, without its content coding if `decoded`.

    `bare`: without the page around it, for the script that puts it into the one that is open.
    """
    sight = Sight(request, reveal)
    row = await recorded(database, id, SHOWN_BYTES)
    await sight.note(1)
    template, listed = "request.html", {}
    if not bare:
        template, listed = "list.html", {"by": None, "compare": None, "cursor": None, **await listing(request, filter)}

    def drawn() -> Response:
        return render(template, listed | _told(row, sight, filter, link.origin(request), (view, at, decoded)))

    return await aside(drawn)


def _told(
    row: asyncpg.Record, sight: Sight, filter: str, origin: str, look: tuple[str | None, int, bool]
) -> dict[str, Any]:
    """What the template needs to know."""
    found, id, narrowing, whole = unpacked(row, sight.redaction), row["id"], Narrowing(filter), is_whole(row)
    size, truncated = found["body_size"], found["truncated"]
    shown = bodies.shown(found["headers"], row["body"], size, truncated, *look, whole, sight.redaction)
    found["redacted"] = found["redacted"] or shown.masked
    # What was not read may have something to mask, too: then nobody knows.
    is_known = whole or not sight.redaction
    return {
        "one": found,
        "kept": row["kept"],
        # Who knows all but a short value could find it by trying.
        "sha256": row["sha256"] if is_known and not shown.masked else None,
        "revealed": sight.revealed,
        "filter": filter,
        "origin": origin,
        "line": f"{found['method']} {found['target']} HTTP/{found['http_version']}",
        "path": narrowing.by_value("path", path[0]) if (path := _PATH.match(found["target"])) else None,
        "query": _query(found["target"]),
        "shown": shown,
        "tokens": jwt.tokens(found, shown.seen, sight.redaction),
        "snippets": _snippets(found, shown.seen if whole else None, origin, sight.revealed)
        if is_known and not found["redacted"]
        else [],
        "at_this": partial(link.to_request, id, filter, reveal="1" if sight.revealed else None),
        "narrowing": narrowing,
    }


def _query(target: str) -> Form | None:
    """The parameters behind the ? of a target."""
    sent = target.partition("#")[0].partition("?")[2]
    return form(sent.encode("latin-1"), Limits()) if sent else None


def _snippets(
    found: dict[str, Any], body: bytes | None, origin: str, revealed: bool
) -> list[tuple[str, str, list[str]]]:
    """Name, text and what it leaves out, of each way to send it again; none when the body is not kept whole."""
    if found["truncated"]:
        return []
    fetch = ["curl", "-sS", origin + link.to_body(found["id"], revealed)]
    return [
        ("curl", curl.command(found, body, origin, fetch), curl.left_out(found)),
        ("HTTPie", httpie.command(found, body, origin, fetch), httpie.left_out(found)),
        ("Python", python.program(found, body, origin, fetch), python.left_out(found)),
    ]


@router.get("/_/requests/{id}/newer")
async def newer(database: Db, id: UUID, filter: Filter = "") -> Response:
    """To the next newer one that the filter finds."""
    return await _to_neighbour(database, id, filter, newest_first=False)


@router.get("/_/requests/{id}/older")
async def older(database: Db, id: UUID, filter: Filter = "") -> Response:
    """To the next older one."""
    return await _to_neighbour(database, id, filter, newest_first=True)


async def _to_neighbour(database: Db, id: UUID, filter: str, newest_first: bool) -> Response:
    """Where there is none, to itself; where there was no time to look at all, to the list that goes on looking."""
    found, complete = await neighbour(database, parse(filter), id, newest_first)
    if not found and not complete and newest_first:
        return RedirectResponse(link.to_list(filter, cursor=id), 303)
    if not found and not complete:
        raise Problem(
            503, "no newer one was found in the time there is", "there may be one: ask for less by the filter"
        )
    return RedirectResponse(link.to_request(found or id, filter), 303)
