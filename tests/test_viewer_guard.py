"""The guard before the viewer, on a real database: who is let in, and what all others are told."""

import asyncio
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from viewer import Viewer, has_manners, is_problem

from gatebook.access import session, token
from gatebook.access.attempts import Attempts
from gatebook.settings import networks
from gatebook.viewer import guard as guards
from gatebook.viewer import tokens
from gatebook.viewer.database import Unavailable
from gatebook.viewer.guard import Guard
from gatebook.viewer.pages import sign_in
from gatebook.viewer.pages.sign_in import local

PASSWORD = "correct & horse"
HTML = {"Accept": "text/html,application/xhtml+xml"}


@pytest.fixture(scope="module")
def locked(cluster) -> Iterator[Viewer]:
    """A viewer that asks for a password."""
    viewer = Viewer(replace(cluster.new_database(), view_password=PASSWORD))
    yield viewer
    viewer.close()


@pytest.fixture(autouse=True)
def anew(request, monkeypatch) -> None:
    """Nobody is kept waiting, nobody is known, for what another test did."""
    monkeypatch.setattr(sign_in, "REST_S", 0.0)
    if "locked" in request.fixturenames:
        viewer = request.getfixturevalue("locked")
        viewer.app._sign_in._strangers.attempts = Attempts()
        viewer.app._tokens = tokens.Tokens(viewer.app._tokens._database)
        viewer.sql("TRUNCATE tokens; TRUNCATE trail CASCADE")


def guarded(cluster, **settings: Any) -> Viewer:
    return Viewer(replace(cluster.new_database(), **settings))


def sign(
    viewer: Viewer, password: str = PASSWORD, headers: dict[str, str] | None = None, **form: str
) -> httpx.Response:
    """One attempt, as a browser makes it."""
    said = {"password": password, **form}
    answer = viewer.request("POST", "/_/sign-in", data=said, headers=HTML | (headers or {}))
    viewer._client.cookies.clear()
    return answer


def cookie_of(answer: httpx.Response) -> dict[str, str]:
    assert answer.status_code == 303, answer.text
    return {"Cookie": answer.headers["set-cookie"].partition(";")[0]}


def bearer(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


def make_token(viewer: Viewer, name: str = "ci") -> str:
    made = token.new()
    viewer.sql("INSERT INTO tokens (id, name, hash) VALUES ($1, $2, $3)", made.id, name, made.hash)
    return made.text


def rows(viewer: Viewer, statement: str) -> list[tuple[object, ...]]:
    return [tuple(row) for row in viewer._runner.run(viewer._owner.fetch(statement))]


def routes(viewer: Viewer) -> list[str]:
    """All that the application has, with an id where one belongs."""
    app = viewer.app._app._app._app
    paths = [*app.openapi()["paths"], *(getattr(route, "path", "") for route in app.routes)]
    paths += ["/_/", "/_/api", "/_/api/docs", "/_/api/openapi.json", "/_/requests/{id}", "/_/compare/{a}/{b}", "/_/no"]
    return sorted({re.sub(r"\{.*?\}", "019aaf6e-3c5f-7d2a-8b1e-0242ac120002", path) for path in paths if path})


# Without a proof


def test_nothing_is_answered_to_whoever_has_no_proof(locked):
    asked = [path for path in routes(locked) if not path.startswith(("/_/static/", "/_/health/"))]
    assert len(asked) > 15
    for path in asked:
        for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "FOO"):
            answer = locked.request(method, path)
            assert answer.status_code == 401, (method, path)
            assert answer.headers["www-authenticate"] == "Bearer" and has_manners(answer)
        hint = locked.get(path).json()["hint"]
        assert "/_/sign-in" in hint and "gatebook token create" in hint


def test_health_and_what_pages_load_are_for_all(locked):
    assert locked.get("/_/health/live").json() == {"status": "ok"}
    assert locked.get("/_/health/ready").json() == {"status": "ok"}
    assert locked.get("/_/static/style.css").status_code == 200
    for path in ("/_/static/x/../../api/requests", "/_/static/%2e%2e/api/requests", "/_/static//_/api/requests"):
        answer = locked.get(path)
        assert answer.status_code in (401, 404) and "requests" not in answer.json()


def test_nobody_is_told_the_release(locked):
    from gatebook import __version__

    for path in ("/_/", "/_/sign-in", "/_/api", "/_/no", "/_/health/live", "/_/static/none", "/_/static/style.css"):
        answer = locked.get(path, HTML)
        assert __version__ not in answer.text + str(answer.headers) and "server" not in answer.headers


def test_a_browser_is_led_to_where_one_signs_in_and_back(locked):
    for asked in (
        "/_/requests/019aaf6e-3c5f-7d2a-8b1e-0242ac120002?view=hex&filter=a%26b%20c",
        "/_/api/requests?limit=1",
    ):
        answer = locked.get(asked, HTML)
        assert answer.status_code == 303 and has_manners(answer)
        where = urlsplit(answer.headers["location"])
        assert (where.scheme, where.netloc, where.path) == ("", "", "/_/sign-in")
        [next] = parse_qs(where.query)["next"]
        assert next == asked
        assert sign(locked, next=next).headers["location"] == asked
        locked.app._sign_in._strangers.attempts = Attempts()
    assert locked.get("/_/", HTML).headers["location"] == "/_/sign-in"
    assert locked.request("HEAD", "/_/", headers=HTML).status_code == 303


class Form(HTMLParser):
    """What the form has."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.inputs: dict[str, str | None] = {}
        self.tags: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        found = dict(attributes)
        if tag == "input":
            self.inputs[str(found["name"])] = found.get("value")


def test_the_form_holds_where_to_go_on_and_cannot_be_framed(locked):
    answer = locked.get("/_/sign-in", HTML, next='/_/?filter="><script>alert(1)</script>')
    assert answer.status_code == 200 and has_manners(answer)
    form = Form(answer.text)
    assert form.inputs == {"next": '/_/?filter="><script>alert(1)</script>', "password": None, "username": "gatebook"}
    assert form.tags.count("script") == 1, "the theme's"
    policy = answer.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in policy and "form-action 'self'" in policy and "unsafe" not in policy
    assert answer.headers["cross-origin-opener-policy"] == "same-origin"
    assert answer.headers["referrer-policy"] == "same-origin", "else browsers say Origin: null with the form"


# Signing in


def test_the_password_lets_a_browser_in_until_it_signs_out(locked):
    answer = sign(locked, next="/_/?filter=x")
    assert answer.headers["location"] == "/_/?filter=x" and has_manners(answer)
    attributes = [part.strip() for part in answer.headers["set-cookie"].split(";")][1:]
    assert attributes == ["Path=/", "HttpOnly", "SameSite=Strict", f"Max-Age={session.KEPT_S}"]
    signed_in = cookie_of(answer)
    page = locked.get("/_/", signed_in | HTML)
    assert page.status_code == 200 and "Sign out" in page.text
    assert page.headers["cache-control"] == "no-store", "nothing of it is there for who comes next"
    assert locked.get("/_/api/requests", signed_in).status_code == 200
    assert locked.get("/_/sign-in", signed_in | HTML, next="/_/?by=path").headers["location"] == "/_/?by=path"
    assert rows(locked, "SELECT act, who FROM trail") == [("signed in", "session")]
    out = locked.request("POST", "/_/sign-out", headers=signed_in | HTML)
    assert out.status_code == 303 and out.headers["location"] == "/_/sign-in"
    assert out.headers["set-cookie"].startswith(f"{session.COOKIE}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0")


def test_over_tls_the_session_goes_over_tls_only(locked):
    for said in ({"X-Forwarded-Proto": "https"}, {"Origin": "https://gate"}):
        assert sign(locked, headers=said).headers["set-cookie"].endswith("; Secure")
    assert not sign(locked, headers={"X-Forwarded-Proto": "http"}).headers["set-cookie"].endswith("; Secure")


def test_a_wrong_password_is_told_beside_the_form(locked, caplog):
    answer = sign(locked, "wrong & horse", {"X-Forwarded-For": "192.0.2.7"}, next="/_/?by=path")
    assert answer.status_code == 403 and "set-cookie" not in answer.headers and has_manners(answer)
    assert "That is not the password" in answer.text and Form(answer.text).inputs["next"] == "/_/?by=path"
    assert "wrong &" not in answer.text and "wrong &amp;" not in answer.text
    assert rows(locked, "SELECT * FROM trail") == []
    assert "192.0.2.7" in caplog.text and "horse" not in caplog.text
    assert is_problem(locked.request("POST", "/_/sign-in", data={"password": "no"}), 403)


def test_who_is_wrong_again_and_again_has_to_wait_and_others_have_not(locked):
    guesser, other = {"X-Forwarded-For": "192.0.2.7"}, {"X-Forwarded-For": "192.0.2.8"}
    for _ in range(3):
        assert sign(locked, "wrong", guesser).status_code == 403
    for password in ("wrong", PASSWORD):
        answer = sign(locked, password, guesser)
        assert answer.status_code == 429 and answer.headers["retry-after"] == "1" and "set-cookie" not in answer.headers
    assert sign(locked, PASSWORD, other).status_code == 303


def test_passwords_are_tried_one_at_a_time_and_few_wait(locked, monkeypatch):
    running, most, go = 0, 0, threading.Event()

    def slowly(password: str) -> bool:
        nonlocal running, most
        running += 1
        most = max(most, running)
        go.wait(30)
        running -= 1
        return False

    monkeypatch.setattr(locked.app._access, "is_password", slowly)

    async def all_at_once() -> list[int]:
        def attempt(number: int) -> asyncio.Task[httpx.Response]:
            headers = {"X-Forwarded-For": f"192.0.2.{number}"}
            return asyncio.create_task(locked._client.post("/_/sign-in", data={"password": "x"}, headers=headers))

        attempts = [attempt(number) for number in range(sign_in.MOST_WAIT + 5)]
        refused, _ = await asyncio.wait(attempts, timeout=20, return_when=asyncio.FIRST_COMPLETED)
        assert {one.result().status_code for one in refused} == {429}
        go.set()
        return [answer.status_code for answer in await asyncio.gather(*attempts)]

    statuses = locked._runner.run(all_at_once())
    assert most == 1 and statuses.count(403) == sign_in.MOST_WAIT and statuses.count(429) == 5


def test_guesses_from_many_addresses_leave_most_of_a_core_alone(locked, monkeypatch):
    monkeypatch.setattr(sign_in, "REST_S", 0.4)
    began = time.monotonic()
    for number in range(3):
        assert sign(locked, "wrong", {"X-Forwarded-For": f"192.0.2.{number}"}).status_code == 403
    assert time.monotonic() - began > 1.2
    monkeypatch.setattr(sign_in, "REST_S", 60.0)
    assert sign(locked).status_code == 303, "who is right does not wait for it"


def test_a_browser_that_was_in_before_does_not_wait_for_those_who_guess(locked, monkeypatch):
    """Its session has ended long since, and strangers fill every place."""
    monkeypatch.setattr(sign_in, "REST_S", 1.0)
    ended = session.new(locked.app._access._key, 1_000_000_000)

    def attempt(number: int, password: str, **headers: str):
        headers["X-Forwarded-For"] = f"192.0.2.{number}"
        return locked._client.post("/_/sign-in", data={"password": password}, headers=headers)

    async def story() -> tuple[int, int]:
        guessing = [asyncio.create_task(attempt(number, "wrong")) for number in range(sign_in.MOST_WAIT)]
        while locked.app._sign_in._strangers.waiting < sign_in.MOST_WAIT:
            await asyncio.sleep(0)
        stranger = await attempt(100, PASSWORD)
        known = await attempt(101, PASSWORD, Cookie=f"{session.COOKIE}={ended}")
        for each in guessing:
            each.cancel()
        await asyncio.gather(*guessing, return_exceptions=True)
        return stranger.status_code, known.status_code

    assert locked._runner.run(story()) == (429, 303)


def test_who_guesses_from_the_many_networks_of_one_site_leaves_room_for_others(locked, monkeypatch):
    monkeypatch.setattr(sign_in, "REST_S", 0.5)

    def attempt(client: str, password: str):
        headers = {"X-Forwarded-For": client}
        return locked._client.post("/_/sign-in", data={"password": password}, headers=headers)

    async def story() -> tuple[list[int], int]:
        guesses = [attempt(f"2001:db8:0:{number:x}::1", "wrong") for number in range(2 * sign_in.MOST_WAIT)]
        *guessed, other = await asyncio.gather(*guesses, attempt("2001:db8:1::1", PASSWORD))
        return sorted(answer.status_code for answer in guessed), other.status_code

    assert locked._runner.run(story()) == ([403] + [429] * (2 * sign_in.MOST_WAIT - 1), 303)


def test_what_cannot_be_noted_lets_nobody_in(locked, monkeypatch):
    async def away(query: str, *values: object) -> None:
        raise Unavailable("the database is away")

    monkeypatch.setattr(locked.app._sign_in._database, "write", away)
    answer = sign(locked)
    assert answer.status_code == 503 and "set-cookie" not in answer.headers and "the database is away" in answer.text
    monkeypatch.undo()
    assert sign(locked).status_code == 303, "and that it was the password counts against nobody"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 303),
        ({"Sec-Fetch-Site": "same-origin"}, 303),
        ({"Sec-Fetch-Site": "none"}, 303),
        ({"Origin": "http://gate"}, 303),
        ({"Origin": "https://GATE"}, 303),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "http://gate"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "http://gate:8081"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://["}, 403),
    ],
)
def test_only_forms_of_this_site_are_taken(locked, headers, status):
    assert sign(locked, headers=headers).status_code == status
    out = locked.request("POST", "/_/sign-out", headers=headers)
    assert out.status_code == status and ("set-cookie" in out.headers) == (status == 303)


def test_a_session_that_came_along_may_be_ended_where_the_browser_tells_no_origin(locked):
    signed_in = cookie_of(sign(locked))
    for headers, status in (
        ({"Origin": "null"}, 303),
        ({"Origin": "null", "Sec-Fetch-Site": "cross-site"}, 403),
        ({"Origin": "http://evil.example"}, 403),
    ):
        assert locked.request("POST", "/_/sign-out", headers=headers | signed_in).status_code == status


def test_signing_in_and_out_is_never_done_by_looking(locked):
    for method in ("GET", "HEAD"):
        assert "set-cookie" not in locked.request(method, f"/_/sign-in?password={PASSWORD}", headers=HTML).headers
        answer = locked.request(method, "/_/sign-out", headers=HTML)
        assert answer.status_code == 405 and answer.headers["allow"] == "POST" and "set-cookie" not in answer.headers
    assert is_problem(locked.request("PUT", "/_/sign-in"), 405)


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"password=" + b"a" * sign_in.MOST_BYTES, "application/x-www-form-urlencoded", 413),
        (b"&".join([b"a=1"] * 20), "application/x-www-form-urlencoded", 400),
        (b'{"password": "x"}', "application/json", 415),
        (b"password=x", "", 415),
        (b"", "application/x-www-form-urlencoded", 403),
        (b"\xff=%ff&password=%ff", "application/x-www-form-urlencoded; charset=utf-8", 403),
    ],
)
def test_a_form_is_read_within_bounds(locked, content, kind, status):
    answer = locked.request("POST", "/_/sign-in", content=content, headers={"Content-Type": kind})
    assert is_problem(answer, status)


def test_a_password_is_known_however_it_is_sent(cluster):
    viewer = guarded(cluster, view_password="pä ß+&=\udcff")
    try:
        for content in ("password=p%C3%A4+%C3%9F%2B%26%3D%FF", "password=pä %C3%9F%2B%26%3D%FF"):
            kind = {"Content-Type": "application/x-www-form-urlencoded"}
            assert viewer.request("POST", "/_/sign-in", content=content, headers=kind).status_code == 303
    finally:
        viewer.close()


def test_a_link_on_another_site_does_not_ask_for_the_password_again(locked):
    """The browser keeps the session back then (SameSite=Strict), but sends it when our own page asks once more."""
    answer = locked.get("/_/sign-in", HTML | {"Sec-Fetch-Site": "cross-site"}, next="/_/?by=path")
    assert '<meta http-equiv="refresh" content="0; url=/_/sign-in?next=/_/%3Fby%3Dpath">' in answer.text
    assert "password" not in answer.text
    assert "password" in locked.get("/_/sign-in", HTML | {"Sec-Fetch-Site": "same-origin"}).text


@pytest.mark.parametrize("next", ["/", "/_/", "/_/?filter=a%20b", "/_/requests/019aaf6e-3c5f-7d2a-8b1e-0242ac120002"])
def test_one_is_led_on_within_the_viewer_and_to_the_front_page(next: str) -> None:
    assert local(next) == next


@pytest.mark.parametrize(
    "next",
    ["", "//evil.example", "https://evil.example", "/_/\n", "/\\evil.example", "/_/\\evil", "javascript:alert(1)",
     "/any/path", "/?x", "/_", "_/", " /_/", "/_/\r\nX: 1", "/_/\t", "/_/ü", "/_/" + "a" * 9000, "/_/sign-in",
     "/_/sign-out?x", "/_/../x", "/_/%2E%2e/x"],
)  # fmt: skip
def test_one_is_led_nowhere_else(next: str) -> None:
    assert local(next) == "/_/"


@pytest.mark.parametrize(
    "next, led_to",
    [("/_/requests/1?reveal=1", "/_/requests/1"), ("/_/?a=1&%72eveal=1&filter=reveal", "/_/?a=1&filter=reveal")],
)
def test_nothing_is_revealed_on_the_way(next: str, led_to: str) -> None:
    """The link may stand on another site, and the browser comes back here as if it were its own."""
    assert local(next) == led_to


@given(st.text())
def test_whatever_is_asked_for_one_stays_on_this_site(next: str) -> None:
    found = urlsplit(local(next))
    assert not found.scheme and not found.netloc and found.path.startswith("/") and not found.path.startswith("//")


# Tokens


def test_a_token_lets_a_program_in_and_its_use_is_noted(locked):
    text = make_token(locked)
    for scheme in ("Bearer", "bearer", "BEARER"):
        assert locked.get("/_/api/requests", {"Authorization": f"{scheme} {text}"}).status_code == 200
    assert locked.get("/_/metrics", bearer(text)).status_code == 200
    locked._runner.run(asyncio.sleep(0.5))
    [(used,)] = rows(
        locked,
        "SELECT last_used_at = date_trunc('minute', now()) OR last_used_at > now() - interval '2 min' FROM tokens",
    )
    assert used
    assert "Sign out" not in locked.get("/_/", bearer(text) | HTML).text


def test_a_token_that_is_not_known_is_refused(locked):
    text = make_token(locked)
    id = text.split("_")[1]
    for wrong in (
        token.new().text,
        f"gatebook_{id}_{'a' * 43}",
        text[:-1],
        text + "x",
        "x",
        PASSWORD,
        "é",
        "gatebook_operator_",
    ):
        answer = locked.get("/_/api/requests", {b"Authorization": f"Bearer {wrong}".encode()})
        assert is_problem(answer, 401), wrong
        assert (
            answer.headers["www-authenticate"] == 'Bearer error="invalid_token"'
            and wrong not in answer.json()["detail"]
        )
    for other in (f"Basic {text}", text, "Bearer", "Bearer "):
        assert locked.get("/_/api/requests", {"Authorization": other}).headers["www-authenticate"] == "Bearer"


def test_a_token_is_revoked_within_a_second(locked, monkeypatch):
    text = make_token(locked)
    assert locked.get("/_/api/gate", bearer(text)).status_code == 200
    locked.sql("DELETE FROM tokens")
    locked._runner.run(asyncio.sleep(tokens.READ_EVERY_S + 0.1))
    assert locked.get("/_/api/gate", bearer(text)).status_code == 401


def test_a_token_that_was_just_made_is_known_at_once(locked):
    assert locked.get("/_/api/gate", bearer(make_token(locked))).status_code == 200
    locked._runner.run(asyncio.sleep(tokens.READ_FOR_UNKNOWN_EVERY_S))  # far less than READ_EVERY_S
    assert locked.get("/_/api/gate", bearer(make_token(locked, "other"))).status_code == 200


def test_many_wrong_tokens_ask_the_database_once(locked, monkeypatch):
    asked = []
    database = locked.app._tokens._database
    row = database.row

    async def counted(query: str, *values: object, **more: float) -> object:
        asked.append(query)
        return await row(query, *values, **more)

    monkeypatch.setattr(database, "row", counted)
    for name in ("READ_EVERY_S", "READ_FOR_UNKNOWN_EVERY_S"):
        monkeypatch.setattr(tokens, name, 60)
    for _ in range(20):
        assert locked.get("/_/api/requests", bearer(token.new().text)).status_code == 401
    assert asked == ["tokens"]


def test_while_the_database_is_away_tokens_that_were_known_stay_so(locked, monkeypatch):
    text = make_token(locked)
    database = locked.app._tokens._database

    async def away(query: str, *values: object, **more: float) -> None:
        raise tokens.Unavailable("the database is away")

    monkeypatch.setattr(database, "row", away)
    assert is_problem(locked.get("/_/api", bearer(text)), 503)
    monkeypatch.undo()
    monkeypatch.setattr(tokens, "READ_EVERY_S", 0)
    assert locked.get("/_/api", bearer(text)).status_code == 200
    monkeypatch.setattr(database, "row", away)
    assert locked.get("/_/api", bearer(text)).status_code == 200


def test_the_operators_token_needs_no_table(cluster):
    database = cluster.new_database()
    secret = "s" * 40
    viewer = Viewer(replace(database, view_password=PASSWORD))
    try:
        viewer.app._operator = token.operator(secret)
        assert viewer.get("/_/api", bearer(token.operator(secret) or "")).status_code == 200
        assert viewer.get("/_/api", bearer(token.operator("t" * 40) or "")).status_code == 401
        viewer.app._operator = None  # of a password that can be guessed
        assert viewer.get("/_/api", bearer("None")).status_code == 401
    finally:
        viewer.close()


# An answer that goes on


def test_an_answer_that_goes_on_ends_with_the_session_or_the_token(locked, monkeypatch):
    monkeypatch.setattr(guards, "LOOK_AGAIN_S", 0.2)
    monkeypatch.setattr(tokens, "READ_EVERY_S", 0.1)
    cancelled: list[str] = []

    async def endless(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.append("cut")
            raise

    text = make_token(locked)
    monkeypatch.setattr(locked.app, "_app", endless)

    async def listen(headers: dict[str, str]) -> None:
        scope = {"type": "http", "method": "GET", "path": "/_/api/events", "query_string": b"", "scheme": "http",
                 "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()]}  # fmt: skip

        async def nothing(*_: object) -> dict[str, str]:
            await asyncio.sleep(60)
            return {}

        async def send(message: object) -> None:
            pass

        async with asyncio.timeout(20):
            await locked.app(scope, nothing, send)

    async def until_revoked() -> None:
        listening = asyncio.create_task(listen(bearer(text)))
        await asyncio.sleep(1)
        assert not listening.done(), "it goes on while the token is known"
        await locked._owner.execute("DELETE FROM tokens")
        await listening

    locked._runner.run(until_revoked())
    monkeypatch.setattr(session, "LASTS_S", 2)
    locked._runner.run(listen({"Cookie": f"{session.COOKIE}={locked.app._access.new_session(time.time())}"}))
    assert cancelled == ["cut", "cut"]


def test_a_viewer_that_ends_cuts_what_is_left_without_a_word(locked, monkeypatch, caplog):
    """As uvicorn does after its grace: what an application raises then would be in the log, with a traceback."""
    began, ended = asyncio.Event(), []

    async def endless(scope: Any, receive: Any, send: Any) -> None:
        began.set()
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(True)

    monkeypatch.setattr(locked.app, "_app", endless)

    async def story() -> None:
        cookie = f"{session.COOKIE}={locked.app._access.new_session(time.time())}".encode()
        scope = {
            "type": "http",
            "method": "GET",
            "path": "/_/api/events",
            "query_string": b"",
            "headers": [(b"cookie", cookie)],
        }
        answering = asyncio.create_task(locked.app(scope, asyncio.Event().wait, asyncio.Event().wait))
        await began.wait()
        answering.cancel()
        await answering

    locked._runner.run(story())
    assert ended == [True] and not caplog.records


# Networks and names


def test_only_networks_that_may_look_are_answered(cluster):
    viewer = guarded(cluster, view_allow=networks("192.0.2.0/24"), view_deny=networks("192.0.2.66"))
    try:
        near, denied, far = ({"X-Forwarded-For": one} for one in ("192.0.2.7", "192.0.2.66", "198.51.100.1"))
        assert viewer.get("/_/api", near).status_code == 200
        for path in ("/_/api", "/_/", "/_/metrics", "/_/sign-in", "/_/no"):
            for headers in (denied, far, {}):
                assert is_problem(viewer.get(path, headers), 403)
        page = viewer.get("/_/", far | HTML)
        assert page.status_code == 403 and "not shown to your network" in page.text and "password" not in page.text
        assert viewer.get("/_/health/live", far).status_code == 200
        viewer.app._operator = token.operator("s" * 40)
        operators = {**far, **bearer(token.operator("s" * 40) or "")}
        assert viewer.get("/_/api", operators).status_code == 200, "who runs it looks from everywhere"
        assert viewer.get("/_/api", {**far, **bearer(token.operator("t" * 40) or "")}).status_code == 403
    finally:
        viewer.close()


def test_a_page_of_another_site_bound_to_our_address_gets_nothing(cluster):
    """DNS rebinding: the browser takes evil.example for the site, so it comes under that name."""
    viewer = guarded(cluster, view_hosts=("gate.example",))
    try:
        for host in ("gate.example", "GATE.example:8080", "localhost", "127.0.0.1:8080", "[::1]:8080"):
            assert viewer.get("/_/api", {"Host": host}).status_code == 200, host
        for path in ("/_/api", "/_/api/requests", "/_/", "/_/metrics", "/_/sign-in"):
            assert is_problem(viewer.get(path, {"Host": "evil.example"}), 421)
        assert viewer.get("/_/health/ready", {"Host": "evil.example"}).status_code == 200
        assert viewer.get("/_/", HTML | {"Host": "evil.example"}).status_code == 421
    finally:
        viewer.close()


def test_without_a_password_there_is_nothing_to_sign_in_to(cluster):
    viewer = guarded(cluster)
    try:
        assert isinstance(viewer.app, Guard)
        assert viewer.get("/_/api").status_code == 200
        assert viewer.get("/_/sign-in", HTML, next="/_/?by=path").headers["location"] == "/_/?by=path"
        assert "set-cookie" not in sign(viewer, "anything").headers
        assert "Sign out" not in viewer.get("/_/", HTML).text
    finally:
        viewer.close()
