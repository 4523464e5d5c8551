"""`/_/api/filter`: what a filter may ask for, and whether one is right, for whoever helps to write one."""

from datetime import datetime

from fastapi import APIRouter
from pydantic import BaseModel, Field
from starlette.responses import Response

from gatebook.filter import parse, span
from gatebook.filter.expression import At, every_term
from gatebook.filter.fields import FIELDS
from gatebook.filter.span import HIGHEST, LOWEST, first_id
from gatebook.identity import rfc3339
from gatebook.viewer.api import problem, schema
from gatebook.viewer.api.answer import json_answer
from gatebook.viewer.api.parameters import Filter

router = APIRouter(responses=problem.RESPONSES)

_LAST_MS = 253_402_300_799_999  # of the year 9999, where RFC 3339 ends


class Checked(BaseModel):
    """What a filter that is right asks for."""

    since: datetime | None = Field(description="what matches was received then or later; null: at any time")
    until: datetime | None = Field(
        description="what matches was received before then; null: at any time. Nothing can match when it is 1970, or "
        "not after `since`"
    )
    fields: list[str] = Field(
        description="that it has, in the order in which they come first; of `header.NAME` the word before the dot, "
        "and `text` for words that may be anywhere"
    )


@router.get("/_/api/filter", response_model=schema.Fields)
async def filter_fields() -> Response:
    """The fields of a filter, with the operators that each takes, for completion.

    `curl http://localhost:8080/_/api/filter`
    """
    names = schema.FilterField.model_fields
    fields = [{name: getattr(field, name) for name in names} for field in FIELDS]
    return json_answer({"fields": fields})


@router.get("/_/api/filter/check", response_model=Checked)
async def filter_check(filter: Filter = "") -> Response:
    """Whether a filter is right, and what it asks for; if it is wrong, the problem says where. Finds nothing itself.

    `curl 'http://localhost:8080/_/api/filter/check?filter=since:1h'`
    """
    expression = parse(filter)
    low, high = span(expression)
    since_ms, until_ms = low.int >> 80, high.int >> 80
    if high > first_id(At(until_ms)):  # just beyond an id
        until_ms += 1
    return json_answer(
        {
            "since": None if low == LOWEST else rfc3339(min(since_ms, _LAST_MS)),
            "until": None if high == HIGHEST else rfc3339(min(until_ms, _LAST_MS)),
            "fields": list(dict.fromkeys(term.field for term in every_term(expression))),
        }
    )
