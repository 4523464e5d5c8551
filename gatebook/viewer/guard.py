"""The guard before the viewer: who is let in, and what is said to all others.

Rules: nothing but health and what lies below /_/static/ is answered to whoever has not been looked at; neither tells of
the records or of the release. Networks and names are looked at first, then proofs; but who runs the stack may look from
everywhere. An answer that goes on for long ends when its asker would not be let in any more.
"""

import asyncio
import hmac
import time
from typing import NamedTuple

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gatebook.access import Access, token
from gatebook.settings import Settings
from gatebook.viewer.api import problem
from gatebook.viewer.api.problem import Problem
from gatebook.viewer.asker import SIGNED_IN, client, known_as
from gatebook.viewer.database import Database, Unavailable
from gatebook.viewer.pages import sign_in
from gatebook.viewer.pages.sign_in import SignIn
from gatebook.viewer.tokens import Tokens

LOOK_AGAIN_S = 1.0
_OPEN = ("/_/static/", "/_/health/")

_REFUSED = {
    "network": Problem(
        403,
        "what was recorded is not shown to your network",
        "ask whoever runs this Gatebook; GATEBOOK_VIEW_ALLOW and GATEBOOK_VIEW_DENY say to which networks it is",
    ),
    "host": Problem(
        421,
        "this Gatebook is not known by that name",
        "ask it as localhost or by its address, or add the name to GATEBOOK_VIEW_HOSTS",
    ),
}


class Pass(NamedTuple):
    """That one is let in: as whom, and until when, Unix seconds."""

    who: str
    until: float


class Guard:
    """Wraps the viewer's ASGI application."""

    def __init__(self, app: ASGIApp, settings: Settings, database: Database) -> None:
        self._app = app
        self._access = access = Access(settings)
        self._tokens = Tokens(database)
        self._operator = token.operator(settings.postgres_password)
        self._sign_in = SignIn(access, database)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"].startswith(_OPEN):
            return await self._app(scope, receive, send)
        request = Request(scope, receive)
        try:
            if not self._is_operators(_bearer(request)):
                self._look_at_place(request)
            if scope["path"] in sign_in.PATHS:
                return await (await self._sign_in.answer(request))(scope, receive, send)
            if not self._access.asks_password:
                return await self._app(scope, receive, send)
            passed = await self._proof(request)
        except (Problem, Unavailable) as error:
            return await _said(request, error)(scope, receive, send)
        await self._while_let_in(request, passed, receive, _unkept(send))

    def _look_at_place(self, request: Request) -> None:
        """Raises Problem where nobody may look from."""
        hosts = request.headers.getlist("host") or [""]
        for host in hosts:
            if why := self._access.refusal(client(request.scope), host):
                raise _REFUSED[why]

    async def _proof(self, request: Request) -> Pass:
        """What this request is let in by. Raises Problem, and Unavailable where it cannot be told."""
        now = time.time()
        if ends := self._access.session_ends(request.headers.getlist("cookie"), now):
            return Pass("session", ends)
        shown = _bearer(request)
        if self._is_operators(shown):
            return Pass("operator", float("inf"))
        if shown and (name := await self._tokens.name(shown)):
            return Pass(f"token {name}", float("inf"))
        raise _unknown(shown)

    def _is_operators(self, shown: str | None) -> bool:
        if shown is None or self._operator is None:
            return False
        return hmac.compare_digest(shown.encode(), self._operator.encode())

    async def _while_let_in(self, request: Request, passed: Pass, receive: Receive, send: Send) -> None:
        """Answer; what takes long is cut off when a session has ended or a token is revoked."""
        before = SIGNED_IN.set(passed.who == "session")
        answering = asyncio.ensure_future(self._app(known_as(request.scope, passed.who), receive, send))
        SIGNED_IN.reset(before)  # the task has taken it along
        try:
            while not answering.done():
                longest_s = min(LOOK_AGAIN_S, max(passed.until - time.time(), 0.0))
                await asyncio.wait({answering}, timeout=longest_s)
                if not answering.done() and not await self._is_still(request, passed):
                    break
        except asyncio.CancelledError:
            pass  # by the server, which ends: see Envelope
        finally:
            answering.cancel()
            await asyncio.gather(answering, return_exceptions=True)
        if not answering.cancelled():
            answering.result()

    async def _is_still(self, request: Request, passed: Pass) -> bool:
        try:
            return await self._proof(request) == passed
        except Problem:
            return False
        except Unavailable:  # nobody can say that it is not
            return passed.until > time.time()


def _bearer(request: Request) -> str | None:
    """The token that the request shows (RFC 6750, 2.1)."""
    scheme, _, rest = request.headers.get("authorization", "").partition(" ")
    return rest.strip() or None if scheme.lower() == "bearer" else None


def _unknown(shown: str | None) -> Problem:
    hint = "sign in at /_/sign-in, or send `Authorization: Bearer` with a token that `gatebook token create NAME` made"
    if shown is None:
        return Problem(401, "this Gatebook asks for a password", hint, {"WWW-Authenticate": "Bearer"})
    wrong = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
    return Problem(401, "this token is not known here; it may have been revoked", hint, wrong)


def _said(request: Request, error: Exception) -> Response:
    """What is said to whoever is not let in: a browser is led to where one signs in."""
    told = problem.of(error)
    if told is None:
        raise error
    if not sign_in.wants_page(request):
        headers = {**_ALONE, **(told.headers or {})}
        return Response(told.document(), told.status_code, headers, "application/problem+json")
    if told.status_code == 401:
        return RedirectResponse(sign_in.url(request), 303, _ALONE)
    return sign_in.refused(told)


_ALONE = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


def _unkept(send: Send) -> Send:
    """Answers that a browser does not keep: after a sign-out, going back shows nothing of them."""

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(raw=[*message["headers"]])
            headers["Cache-Control"] = "no-store"
            message = {**message, "headers": headers.raw}
        await send(message)

    return sent
