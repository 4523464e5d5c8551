"""`/_/api/requests/{id}/passage`: how a request came through the load balancer."""

from typing import Any
from uuid import UUID

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from gatebook.viewer.api import problem, schema
from gatebook.viewer.api.answer import json_answer
from gatebook.viewer.api.problem import Problem
from gatebook.viewer.passage import LONGEST_S, Passages

router = APIRouter(responses=problem.RESPONSES)

_RESPONSES: dict[int | str, dict[str, Any]] = {
    404: problem.described("The load balancer's log does not hold it"),
    503: problem.described("The load balancer's log cannot be read, or took too long"),
}


@router.get("/_/api/requests/{id}/passage", response_model=schema.Passage, responses=_RESPONSES)
async def passage(request: Request, id: UUID) -> Response:
    """What the load balancer's log tells of a request: who was tried, what they said, how long it took.

    It needs no database, and the log also has requests that were refused. A line is written within a second of the
    answer, and goes when the log is longer than GATEBOOK_ACCESS_LOG_LIMIT.

    `curl http://localhost:8080/_/api/requests/019aaf6e-3c5f-7d2a-8b1e-0242ac120002/passage`
    """
    passages: Passages = request.app.state.passages
    try:
        found = await passages.of(id)
    except TimeoutError:
        detail = f"the load balancer's log could not be looked through within {LONGEST_S:.0f} s"
        raise Problem(503, detail, "try again soon", {"Retry-After": "1"}) from None
    except OSError as error:
        detail = f"the load balancer's log {request.app.state.settings.access_log} cannot be read: {error.strerror}"
        hint = "GATEBOOK_ACCESS_LOG names it, for the viewer; this one must be able to read it"
        raise Problem(503, detail, hint) from None
    if found is None:
        hint = "it has the newest only, as much as GATEBOOK_ACCESS_LOG_LIMIT says, each within a second of its answer"
        raise Problem(404, f"the load balancer's log does not hold request {id}", hint)
    return json_answer(found)
