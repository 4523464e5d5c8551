"""An answer that may take a while: it tells how far the work for it is, and then what that found.

Rules: the status is decided when the work ends, or when there is something to tell before that. What goes wrong later
is said in place of the answer, as {"error": a problem document}, which nobody takes for an answer. Nobody works for a
client that has gone away.
"""

import asyncio
from collections.abc import Mapping
from typing import Any, Protocol

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gatebook.viewer.api import problem

TELL_EVERY_S = 0.5
BLANK_EVERY_S = 10.0  # JSON may begin with blanks; the load balancer gives up on a viewer that is silent for 120 s
_PIECE_BYTES = 64 * 1024
_TAKES_WITHIN_S = 30.0
NDJSON = "application/x-ndjson"


class Work(Protocol):
    """What takes its time."""

    @property
    def so_far(self) -> dict[str, Any]:
        """How far it is."""

    async def run(self) -> Mapping[str, Any]:
        """Do it; returns what to answer. Raises what gatebook.viewer.api.problem knows."""


class Told(Response):
    """Runs `work`, and answers with what it finds; by lines, the last is {`name`: what it found}."""

    def __init__(self, request: Request, work: Work, name: str) -> None:
        self._by_lines = NDJSON in request.headers.get("accept", "")
        media_type = NDJSON if self._by_lines else "application/json"
        super().__init__(media_type=media_type, headers={"Vary": "Accept"})
        if self._by_lines:
            self.headers["X-Accel-Buffering"] = "no"  # all else the load balancer takes at once, for slow clients
        del self.headers["content-length"]
        self._work = work
        self._name = name

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        work = asyncio.ensure_future(self._work.run())
        every_s = TELL_EVERY_S if self._by_lines else BLANK_EVERY_S
        try:
            if (await asyncio.wait({work}, timeout=every_s))[0]:
                await self._at_once(self._ended(work.result()), send)
            else:
                await self._meanwhile(work, every_s, send)
        finally:
            work.cancel()
            await asyncio.wait({work})

    async def _at_once(self, body: bytes, send: Send) -> None:
        self.headers["content-length"] = str(len(body))
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        await _sent(body, send)

    async def _meanwhile(self, work: "asyncio.Future[Mapping[str, Any]]", every_s: float, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        ended = False
        while not ended:
            told = orjson.dumps(self._work.so_far) + b"\n" if self._by_lines else b" "
            await send({"type": "http.response.body", "body": told, "more_body": True})
            ended = bool((await asyncio.wait({work}, timeout=every_s))[0])
        await _sent(self._end(work), send)

    def _end(self, work: "asyncio.Future[Mapping[str, Any]]") -> bytes:
        try:
            return self._ended(work.result())
        except Exception as error:
            known = problem.of(error)
            if known is None:
                raise  # a mistake of ours: the server cuts the connection, and logs it
            return orjson.dumps({"error": orjson.Fragment(known.document())}) + b"\n"

    def _ended(self, found: Mapping[str, Any]) -> bytes:
        return orjson.dumps({self._name: found} if self._by_lines else found) + b"\n"


async def _sent(body: bytes, send: Send) -> None:
    """Piece by piece: a client that does not take them is cut off, and nothing is held for it any longer."""
    try:
        for start in range(0, len(body), _PIECE_BYTES):
            piece = body[start : start + _PIECE_BYTES]
            async with asyncio.timeout(_TAKES_WITHIN_S):
                await send({"type": "http.response.body", "body": piece, "more_body": True})
    except TimeoutError:
        return
    await send({"type": "http.response.body", "body": b""})


def by_lines(name: str, schema: str, progress: Mapping[str, Any]) -> dict[int | str, dict[str, Any]]:
    """How OpenAPI describes what is told by lines: these have a `progress` like this example, or end it."""
    described = {
        "description": "With `Accept: application/x-ndjson`, lines that tell how far it is, and a last one.",
        "oneOf": [
            {
                "type": "object",
                "required": ["progress"],
                "properties": {"progress": {"type": "number", "minimum": 0, "maximum": 1}},
            },
            {
                "type": "object",
                "required": [name],
                "properties": {name: {"$ref": f"#/components/schemas/{schema}"}},
            },
            {
                "type": "object",
                "required": ["error"],
                "properties": {"error": {"$ref": "#/components/schemas/Problem"}},
            },
        ],
        "examples": [progress],
    }
    return {200: {"content": {NDJSON: {"schema": described}}}}
