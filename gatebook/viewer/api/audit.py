"""`/_/api/audit`: an audit for whoever asks, one at a time."""

import re
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.datastructures import State
from starlette.requests import Request
from starlette.responses import Response

from gatebook.viewer import sight
from gatebook.viewer.api import problem, schema
from gatebook.viewer.api.parameters import seconds
from gatebook.viewer.api.problem import Problem
from gatebook.viewer.api.told import Told, by_lines
from gatebook.viewer.audit import Audit

_DURATION = re.compile(r"[1-9]\d{0,8}[smhd]", re.ASCII)

router = APIRouter(responses=problem.RESPONSES)

_RESPONSES: dict[int | str, dict[str, Any]] = {
    **by_lines("audit", "Audit", {"progress": 0.31, "lines": 52_000, "missing": 0}),
    409: problem.described("Another audit is running"),
}


@router.get("/_/api/audit", response_model=schema.Audit, responses=_RESPONSES)
async def audit(
    request: Request,
    since: Annotated[
        str | None,
        Query(
            description="how far back: 30s, 15m, 1h, 7d; without it, all that the log holds",
            json_schema_extra={"pattern": "^[1-9][0-9]{0,8}[smhd]$"},
            examples=["1h"],
        ),
    ] = None,
) -> Response:
    """Whether everything that the load balancer saw acknowledged is recorded. It takes seconds to minutes.

    With `Accept: application/x-ndjson` progress is told meanwhile, a line at a time. If something goes wrong after the
    answer has begun, it is `{"error": ...}` with a problem document.

    `curl 'http://localhost:8080/_/api/audit?since=1h'`
    """
    state = request.app.state
    sole = _Sole(state, Audit(state.settings, state.database, _seconds(since)))
    if "gatebook.head" in request.scope:
        await sole.check()
        return Response(media_type="application/json")
    return Told(request, sole, "audit")


class _Sole:
    """An audit that is the only one."""

    def __init__(self, state: State, audit: Audit) -> None:
        self._state = state
        self._audit = audit

    @property
    def so_far(self) -> dict[str, Any]:
        return self._audit.so_far

    async def check(self) -> None:
        """Raises Problem or Unavailable when it cannot be run now."""
        self._refuse_to_be_the_second()
        try:
            await self._audit.check()
        except OSError as error:
            raise self._unreadable(error) from None
        self._refuse_to_be_the_second()  # another may have begun meanwhile

    async def run(self) -> Mapping[str, Any]:
        await self.check()
        self._state.running_audit = self._audit
        try:
            found = await self._audit.run()
        except OSError as error:
            raise self._unreadable(error) from None
        finally:
            self._state.running_audit = None
        self._state.last_audit = found
        masking = sight.of(self._state.settings.redact)
        document = found.document()
        missing = [{**one, "request": masking.line(one["request"] or "")} for one in document["missing"]]
        return {**document, "missing": missing}

    def _refuse_to_be_the_second(self) -> None:
        if running := self._state.running_audit:
            detail = f"another audit is running, {running.progress:.0%} of it is done"
            raise Problem(409, detail, "ask again when it has ended; one runs at a time")

    def _unreadable(self, error: OSError) -> Problem:
        path = self._state.settings.access_log
        detail = f"the load balancer's log {path} cannot be read: {error.strerror}"
        return Problem(503, detail, "GATEBOOK_ACCESS_LOG names it, for the viewer; this one must be able to read it")


def _seconds(since: str | None) -> int | None:
    if since is None:
        return None
    if _DURATION.fullmatch(since):
        return seconds(since)
    hint = "a duration such as 30s, 15m, 1h or 7d; without it, all that the log holds is audited"
    raise Problem(400, f"query parameter since is {since[:100]!r}, which is no duration", hint)
