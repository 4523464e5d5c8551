"""What schemathesis has to know beside the OpenAPI document: how to write a filter, and how to read lines of JSON."""

import itertools
import json
from typing import Any

import schemathesis
from hypothesis import strategies as st

from gatebook.filter import FIELDS

NDJSON = "application/x-ndjson"
_calls = itertools.count()

_term = st.sampled_from([field.example for field in FIELDS]) | st.from_regex(r'"[^"\\*\x00]{0,20}"', fullmatch=True)
_filter = st.recursive(
    _term,
    lambda one: (
        one.map("-{}".format)
        | one.map("NOT ({})".format)
        | st.tuples(one, one).map(" OR ".join)
        | st.tuples(one, one).map(" ".join)
    ),
    max_leaves=5,
)
schemathesis.openapi.format("gatebook-filter", st.just("") | _filter)


@schemathesis.deserializer(NDJSON)
def last_line(context: schemathesis.DeserializationContext, response: schemathesis.Response) -> Any:
    """Each line is JSON; the last one is what was asked for."""
    *_, last = map(json.loads, response.content.splitlines())
    return last


@schemathesis.hook
def before_call(context: schemathesis.HookContext, case: schemathesis.Case, kwargs: dict[str, Any]) -> None:
    """Every other answer by lines, where there is a choice."""
    if next(_calls) % 2 and case.headers is not None:
        case.headers["Accept"] = NDJSON
