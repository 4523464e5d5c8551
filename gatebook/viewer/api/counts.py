"""`/_/api/counts`: how many requests a filter finds, over time and by what they have in common."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from gatebook.filter import parse
from gatebook.identity import rfc3339
from gatebook.redact import Redaction
from gatebook.viewer.api import problem, schema
from gatebook.viewer.api.parameters import Begin, Cursor, Db, Filter, seconds
from gatebook.viewer.api.told import Told, by_lines
from gatebook.viewer.search.counting import Count, Group
from gatebook.viewer.sight import Sight

_PROGRESS = {"progress": 0.31, "reached": "2026-11-22T10:00:00.000Z", "found": 70_000}

By = Literal["replica", "method", "path", "status", "client", "scheme"]

router = APIRouter(responses=problem.RESPONSES)


@router.get("/_/api/counts", response_model=schema.Counts, responses=by_lines("counts", "Counts", _PROGRESS))
async def counts(
    request: Request,
    database: Db,
    filter: Filter = "",
    by: Annotated[By | None, Query(description="a count for each of its values; none: one for all")] = None,
    step: Annotated[
        str | None,
        Query(
            pattern="^[1-9][0-9]{0,4}[smhd]$",
            description="a count for each such stretch of time, from 1970 on: 1s 10s 1m 5m 1h 1d; none: one for all",
            examples=["1m"],
        ),
    ] = None,
    cursor: Cursor = None,
) -> Response:
    """How many there are, and how many bytes their bodies have.

    Of `by`, the 50 most frequent values are told, and how many requests have other ones. Counting goes from the newest
    to the oldest and is given some seconds. If that is too little time, `complete` is false, the answer counts what
    came after `reached`, and `next` counts the rest: the counts of a group are to be added, and each part tells all of
    its values, so that one that is frequent in sum is not missed. `others` are then those of which there were more than
    a thousand values at a time. With `Accept: application/x-ndjson` progress is told meanwhile, a line at a time.

    `curl 'http://localhost:8080/_/api/counts?filter=since:1h&by=replica&step=1m'`
    """
    step_s = seconds(step) if step else None
    begin = Begin.at(cursor)
    count = Count(database, parse(filter, begin.now), by, step_s, begin.beyond)
    return Told(request, _Counting(count, begin, Sight(request, reveal=False)), "counts")


class _Counting:
    """Counts."""

    def __init__(self, count: Count, begin: Begin, sight: Sight) -> None:
        self._count = count
        self._begin = begin
        self._redaction = sight.redaction

    @property
    def so_far(self) -> dict[str, Any]:
        return self._count.so_far

    async def run(self) -> Mapping[str, Any]:
        found = await self._count.run()
        return {
            "groups": [_group(group, self._redaction) for group in found.groups],
            "others": found.others,
            "next": self._begin.next(found.next),
            "complete": found.complete,
            "reached": None if found.reached_ms is None else rfc3339(found.reached_ms),
        }


def _group(group: Group, redaction: Redaction) -> dict[str, Any]:
    start = None if group.start_ms is None else rfc3339(group.start_ms)
    value = redaction.target(group.value)[0] if isinstance(group.value, str) else group.value  # a path may have pairs
    return {"start": start, "value": value, "count": group.count, "bytes": group.bytes}
