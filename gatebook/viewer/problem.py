"""Every error is a problem document (RFC 9457): what happened, with the value, and a `hint` at what to try.

Rule: an error of ours says that it is ours and nothing of the inside; the log has the rest.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import orjson
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from gatebook.viewer.database import Unavailable

_RETRY_AFTER_S = 1
_SHOWN_LENGTH = 100  # of a value given back to whoever sent it

RESPONSES: dict[int | str, dict[str, Any]] = {
    "default": {
        "description": "What went wrong, as a problem document (RFC 9457)",
        "content": {
            "application/problem+json": {
                "schema": {
                    "title": "Problem",
                    "type": "object",
                    "required": ["type", "title", "status", "detail"],
                    "properties": {
                        "type": {"type": "string"},
                        "title": {"type": "string"},
                        "status": {"type": "integer"},
                        "detail": {"type": "string", "description": "what happened, with the value"},
                        "hint": {"type": "string", "description": "what to try"},
                    },
                }
            }
        },
    }
}


class Problem(HTTPException):
    """Raised by a handler to answer with a problem document; `hint` is what to try."""

    def __init__(self, status: int, detail: str, hint: str = "", headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status, detail, headers)
        self.hint = hint


def install(app: FastAPI) -> None:
    """Let every error of `app` be answered by a problem document."""
    app.exception_handler(HTTPException)(_of_http)
    app.exception_handler(RequestValidationError)(_of_validation)
    app.exception_handler(Unavailable)(_of_unavailable)
    app.exception_handler(Exception)(_of_anything)


def document(status: int, detail: str, hint: str = "", headers: Mapping[str, str] | None = None) -> Response:
    title = HTTPStatus(status).phrase
    members = {"type": "about:blank", "title": title, "status": status, "detail": detail, "hint": hint}
    body = orjson.dumps({name: value for name, value in members.items() if value})
    return Response(body, status, headers, "application/problem+json")


async def _of_http(request: Request, error: HTTPException) -> Response:
    """A Problem, or what the framework found: no such path, no such method."""
    if isinstance(error, Problem):
        return document(error.status_code, error.detail, error.hint, error.headers)
    if error.status_code == HTTPStatus.NOT_FOUND:
        return document(404, f"there is nothing at {_shown(request.url.path)}", "/_/ lists what is here")
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        detail = f"{_shown(request.method)} is not possible on {_shown(request.url.path)}"
        return document(405, detail, "use GET or HEAD", {"Allow": "GET, HEAD"})
    return document(error.status_code, error.detail, headers=error.headers)


async def _of_validation(request: Request, error: RequestValidationError) -> Response:
    first = error.errors()[0]
    kind, name = first["loc"][0], first["loc"][-1]
    detail = f"{kind} parameter {name} is {_shown(first.get('input'))!r}: {first['msg']}"
    return document(400, detail, _HINTS.get(str(name), "/_/api/openapi.json describes the parameters"))


_HINTS = {
    "id": "an id is a UUID, such as 019aaf6e-3c5f-7d2a-8b1e-0242ac120002; /_/api/requests lists them",
    "cursor": "pass on `next` of the answer before, or leave cursor out to begin at the newest",
    "limit": "ask for 1 to 500",
}


async def _of_unavailable(request: Request, error: Unavailable) -> Response:
    return document(503, str(error), "try again soon", {"Retry-After": str(_RETRY_AFTER_S)})


async def _of_anything(request: Request, error: Exception) -> Response:
    return document(500, "the viewer failed at this; its log says how", "/_/ lists what is here")


def _shown(value: object) -> str:
    text = str(value)
    return text if len(text) <= _SHOWN_LENGTH else text[: _SHOWN_LENGTH - 1] + "…"
