"""What a query string may ask for.

Rule: what is asked for is answered wholly or refused. A parameter that is not known is never ignored, nor one of two
values, nor bytes that are no text, since a filter that was not applied looks just like an answer.
"""

from typing import Annotated
from urllib.parse import unquote_to_bytes
from uuid import UUID

from fastapi import Depends, Query
from starlette.requests import Request

from gatebook.filter.fields import FIELDS
from gatebook.filter.parse import MOST_CHARACTERS
from gatebook.viewer.api.problem import Problem, shown
from gatebook.viewer.database import Database


async def _database(request: Request) -> Database:
    found: Database = request.app.state.database
    return found


Db = Annotated[Database, Depends(_database)]
Filter = Annotated[
    str,
    Query(
        description="Only what matches, as described under Filters; empty: everything.",
        json_schema_extra={"maxLength": MOST_CHARACTERS, "format": "gatebook-filter"},
        openapi_examples={"none": {"value": ""}} | {field.name: {"value": field.example} for field in FIELDS},
    ),
]
Cursor = Annotated[UUID | None, Query(description="`next` of the answer before; none: begin at the newest")]


async def only_known(request: Request) -> None:
    """Raises Problem for what the endpoint that was asked does not know."""
    _refuse_what_is_no_text(request.scope["query_string"])
    known = [field.alias for field in request.scope["route"].dependant.query_params]
    names = [name for name, _ in request.query_params.multi_items()]
    for name in names:
        if name not in known:
            hint = "known here: " + ", ".join(known) if known else "no parameter is known here"
            raise Problem(400, f"query parameter {shown(name)!r} is not known here", hint)
        if names.count(name) > 1:
            raise Problem(400, f"query parameter {name!r} is given {names.count(name)} times", "give it once")


def _refuse_what_is_no_text(query: bytes) -> None:
    try:
        unquote_to_bytes(query).decode()
    except UnicodeDecodeError:
        raise Problem(400, "the query string is not UTF-8", "percent-encode each parameter's UTF-8") from None
