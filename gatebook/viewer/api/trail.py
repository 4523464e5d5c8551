"""`/_/api/trail`: what was done with the records, by whom."""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from gatebook.viewer import trail as trail_of
from gatebook.viewer.api import problem, schema
from gatebook.viewer.api.answer import json_answer
from gatebook.viewer.api.parameters import Db

router = APIRouter(responses=problem.RESPONSES)


@router.get("/_/api/trail", response_model=schema.Trail)
async def trail(
    database: Db,
    limit: Annotated[int, Query(ge=1, le=500, description="the most to answer with")] = 50,
    cursor: Annotated[
        str | None,
        Query(
            pattern=schema.TRAIL_CURSOR,
            description="`next` of the answer before, as it is; none: begin at the newest",
            examples=["1042"],
        ),
    ] = None,
) -> Response:
    """The trail, newest first: who signed in, what was revealed, what was forgotten and why, which tokens were made.

    It has no value that a client sent. What is noted meanwhile does not move the pages after the first.

    `curl http://localhost:8080/_/api/trail`
    """
    acts = await trail_of.newest(database, limit + 1, int(cursor) if cursor else None)
    more, told = len(acts) > limit, acts[:limit]
    return json_answer({"acts": told, "next": str(told[-1]["id"]) if more else None})
