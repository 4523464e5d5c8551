"""`/_/api/events`: Server-Sent Events, one for each request that is recorded from now on, or from a position on.

Rule: the status is decided before the first byte; from then on the stream says what happens to it in comments.
"""

from typing import Annotated, Any

from fastapi import APIRouter, Header, Query
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gatebook.filter import Expression, parse
from gatebook.viewer.api import problem
from gatebook.viewer.api.problem import Problem
from gatebook.viewer.events import Hub
from gatebook.viewer.events.hub import MOST_LISTENERS, Full
from gatebook.viewer.events.listener import Listener, TooSlow
from gatebook.viewer.events.portion import Fetch
from gatebook.viewer.events.position import Position
from gatebook.viewer.events.position import parse as position_of
from gatebook.viewer.events.start import start
from gatebook.viewer.sight import Reveal, Sight

router = APIRouter(responses=problem.RESPONSES)

_STREAM = """retry: 1000
id: 5f0c1d2e-81234-

id: 5f0c1d2e-81240-019aaf6e-3c5f-7d2a-8b1e-0242ac120002
event: request
data: {"id": "019aaf6e-3c5f-7d2a-8b1e-0242ac120002", "method": "GET", "target": "/", ...}

"""
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "`request` events, whose data is a request as /_/api/requests shows it, in the order of "
        "commits; a `gap` event with `detail` and `since` where it is not known what came in between",
        "content": {"text/event-stream": {"schema": {"type": "string"}, "example": _STREAM}},
    }
}


@router.get("/_/api/events", response_class=Response, responses=_RESPONSES)
async def events(
    request: Request,
    filter: Annotated[str, Query(description="only what matches; empty: everything")] = "",
    after: Annotated[
        str | None, Query(description="the id of the last event that is known; without it, from now on")
    ] = None,
    last_event_id: Annotated[str | None, Header(description="the same, and wins over `after`")] = None,
    reveal: Reveal = False,
) -> Response:
    """Each request once, in the order of commits, within half a second of its own; after a loss of the connection it
    goes on behind `Last-Event-ID`, at any viewer, without a gap or a repeat.

    A transaction that is held open anywhere in the database server holds back what was committed after it began.
    """
    sight = Sight(request, reveal)
    expression = parse(filter)
    asked = None
    if last_event_id:
        asked = _position("header Last-Event-ID", last_event_id)
    elif after is not None:
        asked = _position("query parameter after", after)
    return Stream(request, expression, asked, sight)


def _position(name: str, text: str) -> Position:
    try:
        return position_of(text)
    except ValueError:
        hint = "pass on the id of the last event, or leave it out to begin with what comes now"
        raise Problem(400, f"{name} is {text[:100]!r}, which is no position in the stream", hint) from None


class Stream(Response):
    """The events behind `asked`, for as long as the client listens."""

    def __init__(self, request: Request, expression: Expression, asked: Position | None, sight: Sight) -> None:
        super().__init__(media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._hub: Hub = request.app.state.hub
        self._fetch: Fetch = request.app.state.database.fetch
        self._is_head = "gatebook.head" in request.scope
        self._expression = expression
        self._asked = asked
        self._sight = sight

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            with self._hub.listening():
                position, first = await start(self._fetch, self._asked)
                await self._sight.note(None)  # once for all that the stream will tell
                await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
                await self._tell(position, first, send)
        except Full:
            detail = f"{MOST_LISTENERS} listen already, which is the most that one viewer serves"
            raise Problem(503, detail, "try again when some have left", {"Retry-After": "10"}) from None
        except TooSlow:
            return  # without the end of the body: the server cuts the connection
        await send({"type": "http.response.body", "body": b""})

    async def _tell(self, position: Position, first: bytes, send: Send) -> None:
        async def say(data: bytes) -> None:
            await send({"type": "http.response.body", "body": data, "more_body": True})

        if not self._is_head:
            listener = Listener(self._hub, self._fetch, say, self._expression, position, self._sight.revealed)
            await listener.run(first)
