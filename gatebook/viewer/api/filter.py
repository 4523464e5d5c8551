"""`/_/api/filter`: what a filter may ask for, for whoever helps to write one."""

from fastapi import APIRouter
from starlette.responses import Response

from gatebook.filter.fields import FIELDS
from gatebook.viewer.api import problem, schema
from gatebook.viewer.api.answer import json_answer

router = APIRouter(responses=problem.RESPONSES)


@router.get("/_/api/filter", response_model=schema.Fields)
async def filter_fields() -> Response:
    """The fields of a filter, with the operators that each takes, for completion.

    `curl http://localhost:8080/_/api/filter`
    """
    names = schema.FilterField.model_fields
    fields = [{name: getattr(field, name) for name in names} for field in FIELDS]
    return json_answer({"fields": fields})
