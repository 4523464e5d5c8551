"""What a query string may ask for.

Rule: what is asked for is answered wholly or refused. A parameter that is not known is never ignored, nor one of two
values, nor bytes that are no text, since a filter that was not applied looks just like an answer.
"""

import time
from datetime import UTC, datetime, timedelta
from typing import Annotated, NamedTuple
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
CURSOR = "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}(@[0-9]{1,14})?$"  # 14 digits end in the year 5138
Cursor = Annotated[
    str | None,
    Query(
        pattern=CURSOR,
        description="`next` of the answer before, as it is; none: begin at the newest. The id of a request, alone, "
        "begins there, and durations in the filter count back from now.",
        examples=["019aaf6e-3c5f-7d2a-8b1e-0242ac120002@1795435200123"],
    ),
]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class Begin(NamedTuple):
    """Where an answer begins, and the moment that its filter's durations count back from.

    All answers to one question have the same moment, the first one's, or what lies at the low end of `since:1h` would
    be missed by those that come later. So `next` carries it: UUID@MILLISECONDS.
    """

    beyond: UUID | None  # None: at the newest
    now_ms: int  # Unix milliseconds

    @classmethod
    def at(cls, cursor: str | None) -> "Begin":
        """As the parameter says; the moment is now unless it names one."""
        id, _, ms = (cursor or "").partition("@")
        return cls(UUID(id) if id else None, int(ms) if ms else time.time_ns() // 10**6)

    @property
    def now(self) -> datetime:
        return _EPOCH + timedelta(milliseconds=self.now_ms)

    def next(self, beyond: UUID | None) -> str | None:
        """The cursor that goes on beyond this id."""
        return f"{beyond}@{self.now_ms}" if beyond else None


def seconds(duration: str) -> int:
    """Of a duration such as 15m, whose shape has been looked at."""
    return int(duration[:-1]) * _SECONDS[duration[-1]]


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
