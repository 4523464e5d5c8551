"""Every error is a problem document (RFC 9457): what happened, with the value, and a `hint` at what to try.

Rules: an error of ours says that it is ours and nothing of the inside; the log has the rest. What somebody sent is
given back shortened, and without a character that could harm whoever reads it in a terminal.
"""

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

import orjson
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from gatebook.filter import FilterError
from gatebook.viewer.database import Unavailable

_RETRY_AFTER_S = 1
_SHOWN_LENGTH = 100  # of a value given back to whoever sent it


def described(description: str) -> dict[str, Any]:
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {"description": description, "content": content}


RESPONSES: dict[int | str, dict[str, Any]] = {
    400: described("A parameter is not known, is given twice, or has a value that it cannot have"),
    503: described("The database cannot be asked now, or took too long; `Retry-After` says when to try again"),
    "default": described("What else went wrong"),
}
NOT_RECORDED: dict[int | str, dict[str, Any]] = {
    404: described("No such request is recorded"),
    410: described("The request was deleted for good"),
}


class Problem(HTTPException):
    """Raised by a handler to answer with a problem document; `hint` is what to try, `members` come beside."""

    def __init__(
        self, status: int, detail: str, hint: str = "", headers: Mapping[str, str] | None = None, **members: object
    ) -> None:
        super().__init__(status, detail, headers)
        self.hint = hint
        self.members = members

    def told(self) -> dict[str, Any]:
        """As schema.Problem describes it."""
        told = {"type": "about:blank", "title": HTTPStatus(self.status_code).phrase, "status": self.status_code}
        return told | {"detail": self.detail, "hint": self.hint, **self.members}

    def document(self) -> bytes:
        """The same in JSON."""
        return orjson.dumps({name: harmless(value) for name, value in self.told().items() if value != ""})

    def answer(self) -> Response:
        """An answer that is the document."""
        return Response(self.document(), self.status_code, self.headers, "application/problem+json")


Page = Callable[[Request, Problem], Response | None]


def install(app: FastAPI, page: Page) -> None:
    """Let every error of `app` be answered by a problem document, or by a `page` where that makes one."""

    async def answered(request: Request, error: Exception) -> Response:
        problem = of(error) or _of_framework(request, error)
        return page(request, problem) or problem.answer()

    for kind in (HTTPException, RequestValidationError, FilterError, Unavailable, Exception):
        app.exception_handler(kind)(answered)


def of(error: Exception) -> Problem | None:
    """What to tell of an error that is nobody's mistake but the asker's or the database's; None: it is ours."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, FilterError):
        hint = "/_/api/filter lists the fields and what they take"
        return Problem(400, str(error), hint, position=error.position, expected=error.expected)
    if isinstance(error, Unavailable):
        return Problem(503, str(error), "try again soon", {"Retry-After": str(_RETRY_AFTER_S)})
    return None


def harmless(value: object) -> object:
    """A text with everything that is not to be seen escaped: controls, marks of direction, unpaired surrogates."""
    if not isinstance(value, str) or value.isprintable():
        return value
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in value)


def _of_framework(request: Request, error: Exception) -> Problem:
    """For what the framework found, a malformed parameter, no such path or method; anything else is our mistake."""
    if isinstance(error, RequestValidationError):
        return _of_parameter(error.errors()[0])
    if not isinstance(error, HTTPException):
        return Problem(500, "the viewer failed at this; its log says how", "/_/api lists what is here")
    if error.status_code == HTTPStatus.NOT_FOUND:
        return Problem(404, f"there is nothing at {shown(request.url.path)}", "/_/api lists what is here")
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        detail = f"{shown(request.method)} is not possible on {shown(request.url.path)}"
        return Problem(405, detail, "use GET or HEAD", {"Allow": "GET, HEAD"})
    return Problem(error.status_code, error.detail, headers=error.headers)


def _of_parameter(wrong: Mapping[str, Any]) -> Problem:
    kind, name = wrong["loc"][0], str(wrong["loc"][-1])
    detail = f"{kind} parameter {name} is {shown(wrong.get('input'))!r}: {wrong['msg']}"
    return Problem(400, detail, _HINTS.get(name, "/_/api/docs describes the parameters"))


_HINTS = {
    "id": "an id is a UUID, such as 019aaf6e-3c5f-7d2a-8b1e-0242ac120002; /_/api/requests lists them",
    "cursor": "pass on `next` of the answer before as it is, or leave cursor out to begin at the newest",
    "limit": "ask for 1 to 500",
    "step": "a duration such as 1s, 10s, 1m, 5m, 1h or 1d",
}


def shown(value: object) -> str:
    """A value to give back, shortened."""
    text = str(value)
    return text if len(text) <= _SHOWN_LENGTH else text[: _SHOWN_LENGTH - 1] + "…"
