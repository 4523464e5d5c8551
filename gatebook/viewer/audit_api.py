"""`/_/api/audit`: an audit for whoever asks, one at a time.

Rules: the status is decided before the first byte. What goes wrong later is said in place of the audit, as {"error": a
problem document}, which nobody takes for an audit. A client that goes away ends its audit.
"""

import asyncio
import re
from typing import Annotated

import orjson
from fastapi import APIRouter, Query
from starlette.datastructures import State
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gatebook.viewer import problem, schema
from gatebook.viewer.audit import Audit
from gatebook.viewer.database import Unavailable
from gatebook.viewer.problem import Problem

TELL_EVERY_S = 0.5
BLANK_EVERY_S = 10.0  # JSON may begin with blanks; the load balancer gives up on a viewer that is silent for 120 s
_NDJSON = "application/x-ndjson"
_DURATION = re.compile(r"([1-9]\d{0,8})([smhd])", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}

router = APIRouter(responses=problem.RESPONSES)

_LINES = {
    "description": 'lines of {"progress": 0.31, ...}, the last {"audit": ...} or {"error": ...}',
    "type": "object",
}


@router.get(
    "/_/api/audit",
    response_model=schema.Audit,
    responses={200: {"content": {_NDJSON: {"schema": _LINES}}}, 409: {"description": "another audit is running"}},
)
async def audit(
    request: Request,
    since: Annotated[
        str | None, Query(description="how far back: 30s, 15m, 1h, 7d; without it, all that the log holds")
    ] = None,
) -> Response:
    """Whether everything that the load balancer saw acknowledged is recorded. It takes seconds to minutes.

    With `Accept: application/x-ndjson` progress is told meanwhile, a line at a time. If something goes wrong after the
    answer has begun, it is `{"error": ...}` with a problem document.
    """
    state = request.app.state
    wanted = Audit(state.settings, state.database, _seconds(since))
    return Told(state, wanted, _NDJSON in request.headers.get("accept", ""), "gatebook.head" in request.scope)


class Told(Response):
    """Runs an audit, and answers with what it finds."""

    def __init__(self, state: State, audit: Audit, by_lines: bool, head: bool) -> None:
        media_type = _NDJSON if by_lines else "application/json"
        super().__init__(media_type=media_type, headers={"X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._state = state
        self._audit = audit
        self._by_lines = by_lines
        self._head = head

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._refuse_to_be_the_second()
        try:
            await self._audit.check()
        except (OSError, Unavailable) as error:
            raise self._problem(error) from None
        self._refuse_to_be_the_second()  # another may have begun meanwhile
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        if self._head:
            await send(start)
            return await send({"type": "http.response.body", "body": b""})
        self._state.running_audit = self._audit
        work = asyncio.ensure_future(self._work())
        try:
            await send(start)
            await self._tell(work, send)
        finally:
            work.cancel()
            await asyncio.wait({work})
            self._state.running_audit = None

    def _refuse_to_be_the_second(self) -> None:
        if running := self._state.running_audit:
            detail = f"another audit is running, {running.progress:.0%} of it is done"
            raise Problem(409, detail, "ask again when it has ended; one runs at a time")

    async def _tell(self, work: "asyncio.Future[bytes]", send: Send) -> None:
        every_s = TELL_EVERY_S if self._by_lines else BLANK_EVERY_S
        while not (await asyncio.wait({work}, timeout=every_s))[0]:
            told = orjson.dumps(self._audit.so_far) + b"\n" if self._by_lines else b" "
            await send({"type": "http.response.body", "body": told, "more_body": True})
        await send({"type": "http.response.body", "body": work.result()})

    async def _work(self) -> bytes:
        """What the answer ends with."""
        try:
            found = await self._audit.run()
        except (OSError, Unavailable) as error:
            wrong = self._problem(error)
            document = problem.document(wrong.status_code, wrong.detail, wrong.hint)
            return orjson.dumps({"error": orjson.Fragment(document.body)}) + b"\n"
        self._state.last_audit = found
        return orjson.dumps({"audit": found.document()} if self._by_lines else found.document()) + b"\n"

    def _problem(self, error: OSError | Unavailable) -> Problem:
        if isinstance(error, Unavailable):
            return Problem(503, str(error), "try again soon", {"Retry-After": "1"})
        path = self._state.settings.access_log
        detail = f"the load balancer's log {path} cannot be read: {error.strerror}"
        return Problem(503, detail, "GATEBOOK_ACCESS_LOG names it, for the viewer; this one must be able to read it")


def _seconds(since: str | None) -> int | None:
    if since is None:
        return None
    if match := _DURATION.fullmatch(since):
        return int(match[1]) * _SECONDS[match[2]]
    hint = "a duration such as 30s, 15m, 1h or 7d; without it, all that the log holds is audited"
    raise Problem(400, f"query parameter since is {since[:100]!r}, which is no duration", hint)
