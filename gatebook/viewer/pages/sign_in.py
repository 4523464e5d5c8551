"""`/_/sign-in` and `/_/sign-out`: where a browser says the password, and where it takes it back.

Rules: a password is taken from a form of this site alone (CSRF); each costs work, so they are tried one at a time, by
few who wait. One is led to places of this site alone, and only to those that show something. Nothing is let in that
cannot be noted in the trail.
"""

import asyncio
import logging
import re
import time
from collections.abc import Mapping
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response

from gatebook.access import Access, session
from gatebook.access.attempts import Attempts
from gatebook.viewer import trail
from gatebook.viewer.api.problem import Problem
from gatebook.viewer.asker import Asker, client
from gatebook.viewer.database import Database, Unavailable
from gatebook.viewer.pages.template import POLICY, render

SIGN_IN, SIGN_OUT = "/_/sign-in", "/_/sign-out"
PATHS = (SIGN_IN, SIGN_OUT)
MOST_BYTES = 16 * 1024  # of the form
MOST_WAIT = 8  # attempts that wait for their turn
REST_S = 0.5  # after a wrong one: guessing takes a quarter of a core at most, from however many addresses
_READ_WITHIN_S = 10.0
_NOTED_WITHIN_S = 5.0
_LONGEST_NEXT = 8 * 1024
_NEXT = re.compile(r"/|/_/[!-\[\]-~]*")  # no blank, no backslash, which browsers take for a slash
_UPWARDS = re.compile(r"\.\.|%2e", re.IGNORECASE)
_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin"}
_log = logging.getLogger("gatebook.viewer")


class Turns:
    """Who tries passwords, and in what order."""

    def __init__(self) -> None:
        self.attempts = Attempts()
        self.turn = asyncio.Lock()
        self.waiting = 0


class SignIn:
    """Lets browsers in and out. Those that were in before do not wait for strangers, however many there are."""

    def __init__(self, access: Access, database: Database) -> None:
        self._access = access
        self._database = database
        self._strangers, self._known = Turns(), Turns()

    async def answer(self, request: Request) -> Response:
        """Of one of PATHS. Raises Problem, but for what belongs beside the form."""
        match request.scope["path"], request.method:
            case (path, "GET" | "HEAD") if path == SIGN_IN:
                return self._asked(request)
            case (path, "POST") if path == SIGN_IN:
                return await self._tried(request)
            case (path, "POST"):
                return self._left(request)
            case (path, _):
                allowed = "GET, HEAD, POST" if path == SIGN_IN else "POST"
                raise Problem(405, f"that is not possible on {path}", f"use {allowed}", {"Allow": allowed})

    def _asked(self, request: Request) -> Response:
        """The form; who need not fill it in is led on."""
        next = local(request.query_params.get("next", ""))
        if not self._access.asks_password or self._is_signed_in(request):
            return RedirectResponse(next, 303, _HEADERS)
        if request.headers.get("sec-fetch-site") == "cross-site":
            return _form(next, again=_url(next))  # a link on another site: the browser kept the session back
        return _form(next)

    async def _tried(self, request: Request) -> Response:
        _look_at_origin(request)
        form = await _read(request)
        next = local(form.get("next", ""))
        if not self._access.asks_password:
            return RedirectResponse(next, 303, _HEADERS)
        try:
            right = await self._is_right(request, form.get("password", ""))
        except Problem as problem:
            if not wants_page(request):
                raise
            return _form(next, problem.status_code, problem.detail, problem.headers or {})
        if not right:
            _log.warning("a wrong password was tried from %s", client(request.scope) or "an unknown address")
            if not wants_page(request):
                raise Problem(403, "that is not the password", "it is what GATEBOOK_VIEW_PASSWORD says")
            return _form(next, 403, "That is not the password.")
        await self._note(request)
        return RedirectResponse(next, 303, _HEADERS | _cookie(request, self._access.new_session(time.time())))

    def _left(self, request: Request) -> Response:
        """A session that came along is as good as an origin: with a form of another site the browser keeps it back."""
        tells_nothing = request.headers.get("origin") == "null" and "sec-fetch-site" not in request.headers
        if not (tells_nothing and self._is_signed_in(request)):  # our pages' policy (no-referrer) has it say null
            _look_at_origin(request)
        return RedirectResponse(SIGN_IN, 303, _HEADERS | _cookie(request, ""))

    async def _is_right(self, request: Request, password: str) -> bool:
        """Whether it is the password, tried when it is its turn. Raises Problem for who has to wait longer."""
        who, right = client(request.scope), None
        turns = self._known if self._ends(request, after=0) else self._strangers
        if wait := turns.attempts.begin(who, time.monotonic()):
            raise _too_soon(wait)
        try:
            if turns.waiting >= MOST_WAIT:
                raise _too_soon(2)
            turns.waiting += 1
            try:
                async with turns.turn:
                    right = await asyncio.to_thread(self._access.is_password, password)
                    if not right:
                        await asyncio.sleep(REST_S)
            finally:
                turns.waiting -= 1
        finally:
            turns.attempts.end(who, right, time.monotonic())
        return right

    async def _note(self, request: Request) -> None:
        asker = Asker("session", client(request.scope))
        try:
            async with asyncio.timeout(_NOTED_WITHIN_S):
                await trail.note(self._database, "signed in", asker, SIGN_IN)
        except TimeoutError:
            raise Unavailable("the database does not answer") from None

    def _is_signed_in(self, request: Request) -> bool:
        return self._ends(request, after=time.time()) is not None

    def _ends(self, request: Request, after: float) -> int | None:
        return self._access.session_ends(request.headers.getlist("cookie"), after)


def url(request: Request) -> str:
    """Where one signs in to come back to what was asked for."""
    path = request.scope.get("raw_path", request.scope["path"].encode()).decode("latin-1")
    query = request.scope["query_string"].decode("latin-1")
    return _url(local(f"{path}?{query}" if query else path))


def local(next: str) -> str:
    """Where to go on: a place of this site that records nothing, or its front page; anything else is the list.

    Nothing is revealed on the way: what leads here may stand on another site, and a reveal is to be wanted.
    """
    path, mark, query = next.partition("?")
    is_one = len(next) <= _LONGEST_NEXT and _NEXT.fullmatch(next) and not next.startswith(PATHS)
    if not is_one or _UPWARDS.search(path):
        return "/_/"
    kept = "&".join(pair for pair in query.split("&") if unquote(pair.partition("=")[0]) != "reveal")
    return path + mark + kept if kept else path


def wants_page(request: Request) -> bool:
    return "text/html" in request.headers.get("accept", "")


def refused(problem: Problem) -> Response:
    """A page that says why nothing is shown."""
    return _page(problem.status_code, problem.headers or {}, refused=problem)


def _url(next: str) -> str:
    return SIGN_IN if next == "/_/" else f"{SIGN_IN}?next={quote(next, safe='/')}"


def _form(
    next: str, status: int = 200, wrong: str | None = None, headers: Mapping[str, str] | None = None, again: str = ""
) -> Response:
    return _page(status, headers or {}, next=next, wrong=wrong, again=again)


def _page(status: int, headers: Mapping[str, str], **values: object) -> Response:
    told = {"next": "", "wrong": None, "again": "", "refused": None} | values
    return render("sign_in.html", told, status, {**_HEADERS, "Content-Security-Policy": POLICY, **headers})


def _look_at_origin(request: Request) -> None:
    """Raises Problem for what a page of another site had a browser send; programs send neither header."""
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is not None:
        is_ours = site in ("same-origin", "none")
    else:
        is_ours = origin is None or _host_of(origin) == request.headers.get("host", "").lower()
    if not is_ours:
        raise Problem(403, "this came from a page of another site", f"open {SIGN_IN} itself")


def _host_of(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc.lower() or None
    except ValueError:
        return None


async def _read(request: Request) -> dict[str, str]:
    """The form's fields, the first of each name. Raises Problem."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise Problem(415, "a form is expected", "send Content-Type: application/x-www-form-urlencoded")
    body = b""
    try:
        async with asyncio.timeout(_READ_WITHIN_S):
            async for piece in request.stream():
                body += piece
                if len(body) > MOST_BYTES:
                    raise Problem(413, f"the form has more than {MOST_BYTES} bytes", "send the password alone")
    except TimeoutError:
        raise Problem(408, f"the form did not come within {_READ_WITHIN_S:.0f} s", "try again") from None
    except ClientDisconnect:
        raise Problem(400, "the form did not come whole", "try again") from None
    try:
        fields = parse_qsl(
            body.decode("utf-8", "surrogateescape"), keep_blank_values=True, errors="surrogateescape", max_num_fields=10
        )
    except ValueError:
        raise Problem(400, "the form has more than 10 fields", "send `password` and `next`") from None
    return dict(reversed(fields))


def _too_soon(wait_s: int) -> Problem:
    detail = f"Too many attempts: wait {wait_s} s."
    return Problem(429, detail, "then try again", {"Retry-After": str(wait_s)})


def _cookie(request: Request, value: str) -> dict[str, str]:
    """Whoever ends TLS before the load balancer may not say so: then the browser does, by the form's origin."""
    kept_s = session.KEPT_S if value else 0
    cookie = f"{session.COOKIE}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age={kept_s}"
    is_https = "https" in (
        request.headers.get("x-forwarded-proto"),
        request.headers.get("origin", "").partition(":")[0],
    )
    return {"Set-Cookie": f"{cookie}; Secure" if is_https else cookie}
