"""`/_/api/gate`: how the gate is, in a few facts."""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from gatebook.viewer.api import problem, schema
from gatebook.viewer.api.answer import json_answer
from gatebook.viewer.gate import Gate

router = APIRouter(responses=problem.RESPONSES)


@router.get("/_/api/gate", response_model=schema.Gate)
async def gate(request: Request) -> Response:
    """Whether requests are recorded as they should be: the replicas, the spool, the database, the last audit.

    It is answered within 2.5 s, also while the database is away, and is not much older than a second.

    `curl http://localhost:8080/_/api/gate`
    """
    asked: Gate = request.app.state.gate
    return json_answer(await asked.state())
