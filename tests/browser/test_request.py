"""One request in a real browser, from a real stack: beside the list or alone, by mouse, by keyboard, without scripts.

Plot: somebody opens requests out of the list and by their addresses, goes back and forward, copies them as commands
that a shell then runs, compares two, and looks at what the load balancer tells of one whose replica had died.
"""

import base64
import json
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from chromium import Open, watched
from local_stack import Stack, started_stack, until
from playwright.sync_api import Browser, Page, expect
from wire import ask

WIDE, NARROW = {"width": 1280, "height": 800}, {"width": 360, "height": 700}
ROWS, REQUEST, TITLE = "#rows tbody tr", "#request", "#request-title"


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """One of this module's own, since a replica is killed."""
    yield from started_stack()


@pytest.fixture
def look(stack: Stack, browser: Browser) -> Iterator[Open]:
    """Opens an address of the viewer in a new context; no page may say more on its console than what is not there."""
    with watched(browser, stack.url, "a status of 404") as open:

        def look(path: str = "/_/", **options: Any) -> Page:
            page = open(path, **{"viewport": WIDE, **options})
            if options.get("java_script_enabled", True) and page.locator("#live").count():
                expect(page.locator("#live")).to_have_text("Live")
            return page

        yield look


def send(stack: Stack, target: str, body: bytes = b"", method: str = "POST", **headers: str) -> str:
    """One request, as it is; its id."""
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    head = f"{method} {target} HTTP/1.1\r\nHost: h\r\n{lines}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    time.sleep(0.002)  # ids rise by the millisecond
    answer = ask(stack.url, head.encode() + body)
    assert answer.status == 200
    return answer.headers["gatebook-id"]


def several(stack: Stack, path: str, count: int) -> list[str]:
    """Requests to path/1 and so on; their ids, the newest first."""
    return [send(stack, f"{path}/{number}") for number in range(1, count + 1)][::-1]


def listed(path: str) -> str:
    return f"/_/?filter={quote(f'path:{path}/*', safe='')}"


def of(id: str, filter: str = "") -> str:
    return f"/_/requests/{id}" + (f"?filter={quote(filter, safe='')}" if filter else "")


def row(page: Page, id: str) -> Any:
    return page.locator(f"{ROWS}[data-id='{id}']")


def y(page: Page, id: str) -> float:
    box = row(page, id).bounding_box()
    assert box
    return float(box["y"])


def current(page: Page) -> str:
    return page.locator(f"{ROWS}[aria-current=true]").get_attribute("data-id") or ""


def mark(page: Page) -> Callable[[], bool]:
    """Whether it is still the same document."""
    page.evaluate("window.marked = true")
    return lambda: bool(page.evaluate("window.marked === true"))


def scroll(page: Page, place: int) -> None:
    page.evaluate(
        "y => { scrollTo(0, y); return new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done))) }",
        place,
    )


# In place


@pytest.mark.parametrize("place", [0, 700])
def test_a_request_opens_in_place_and_the_list_stays_where_it_is(look: Open, stack: Stack, place: int) -> None:
    ids = several(stack, f"/place-{place}", 45)
    page = look(listed(f"/place-{place}"))
    list_title, is_same = page.title(), mark(page)
    scroll(page, place)
    id = ids[8 if place == 0 else 24]
    before = y(page, id)
    row(page, id).locator(".target a").click()
    expect(page.locator(TITLE)).to_be_visible()
    assert page.url == stack.url + of(id, f"path:/place-{place}/*")
    number = 45 - ids.index(id)
    assert page.title() == f"POST /place-{place}/{number} · Gatebook"
    expect(page.locator(REQUEST)).to_be_focused()
    until(lambda: abs(y(page, id) - before) < 2, "the row is where it was")
    assert current(page) == id
    page.go_back()
    expect(page.locator(REQUEST)).to_have_count(0)
    assert page.url == stack.url + listed(f"/place-{place}") and page.title() == list_title
    until(lambda: abs(y(page, id) - before) < 2, "the row is where it was")
    page.go_forward()
    expect(page.locator(TITLE)).to_have_text(f"POST /place-{place}/{number}")
    assert is_same()
    page.reload()
    expect(page.locator(TITLE)).to_have_text(f"POST /place-{place}/{number}")
    assert page.url == stack.url + of(id, f"path:/place-{place}/*") and current(page) == id
    assert page.title() == f"POST /place-{place}/{number} · Gatebook"


def test_a_permalink_opened_anew_shows_the_request_beside_the_list_of_its_filter(look: Open, stack: Stack) -> None:
    ids = several(stack, "/permalink", 3)
    send(stack, "/elsewhere")
    page = look(of(ids[1], "path:/permalink/*"))
    expect(page.locator(TITLE)).to_have_text("POST /permalink/2")
    assert page.locator(ROWS).evaluate_all("rows => rows.map(row => row.dataset.id)") == ids
    assert current(page) == ids[1] and page.locator("#filter").input_value() == "path:/permalink/*"
    assert page.locator("#permalink").get_attribute("href") == of(ids[1])
    is_same = mark(page)
    page.get_by_role("link", name="Close", exact=True).click()
    expect(page.locator(REQUEST)).to_have_count(0)
    assert page.url == stack.url + listed("/permalink") and is_same()
    assert page.title() == "path:/permalink/* · Gatebook"
    page.go_back()
    expect(page.locator(TITLE)).to_have_text("POST /permalink/2")


def test_one_that_is_not_recorded_is_said_not_to_be(look: Open, stack: Stack) -> None:
    [id] = several(stack, "/deleted", 1)
    page = look(listed("/deleted"))
    stack.sql(f"DELETE FROM requests WHERE id = '{id}'")
    row(page, id).locator(".target a").click()
    expect(page.locator(f"{REQUEST} h2")).to_contain_text("no request")
    page.keyboard.press("Escape")
    expect(page.locator(REQUEST)).to_have_count(0)


def test_newer_and_older_lead_through_the_list_and_beyond(look: Open, stack: Stack) -> None:
    ids = several(stack, "/beside", 4)
    page = look(of(ids[2], "path:/beside/*"))
    is_same = mark(page)
    page.get_by_role("link", name="Older").click()
    expect(page.locator(TITLE)).to_have_text("POST /beside/1")
    for number in (2, 3, 4):
        page.get_by_role("link", name="Newer").click()
        expect(page.locator(TITLE)).to_have_text(f"POST /beside/{number}")
    assert page.url == stack.url + of(ids[0], "path:/beside/*") and current(page) == ids[0] and is_same()
    page.get_by_role("link", name="Newer").click()  # there is none: it stays
    expect(page.locator(TITLE)).to_have_text("POST /beside/4")


def test_views_of_the_body_change_in_place(look: Open, stack: Stack) -> None:
    id = send(stack, "/views", b'{"a": [1.50, true]}', Content_Type="application/json")
    page = look(of(id))
    is_same = mark(page)
    expect(page.locator("#body [aria-current]")).to_have_text("JSON")
    page.locator(REQUEST).evaluate("one => one.scrollTop = 60")
    page.get_by_role("link", name="Hex").click()
    expect(page.locator("#body pre")).to_contain_text("7b 22 61 22")
    assert "view=hex" in page.url and is_same()
    assert page.locator(REQUEST).evaluate("one => one.scrollTop") == 60
    page.get_by_role("link", name="Text", exact=True).click()
    expect(page.locator("#body pre")).to_contain_text('{"a": [1.50, true]}')
    page.go_back()
    expect(page.locator("#body pre")).to_contain_text("7b 22 61 22")
    page.reload()
    expect(page.locator("#body pre")).to_contain_text("7b 22 61 22")
    page.goto(stack.url + of(id))
    page.locator("#body").get_by_role("link", name="1.50").click()
    page.wait_for_url("**/_/?filter=*")
    assert page.locator("#filter").input_value() == "json.a.0:1.50"
    expect(page.locator(ROWS)).to_have_count(1)


# By keyboard


def test_the_keyboard_walks_opens_and_closes(look: Open, stack: Stack) -> None:
    ids = several(stack, "/keys", 30)
    page = look(listed("/keys"))
    for expected in (ids[0], ids[1], ids[2]):
        page.keyboard.press("j")
        expect(row(page, expected).locator(".target a")).to_be_focused()
        assert current(page) == expected
    page.keyboard.press("k")
    assert current(page) == ids[1]
    assert page.locator(REQUEST).count() == 0
    page.keyboard.press("Enter")
    expect(page.locator(TITLE)).to_have_text("POST /keys/29")
    depth = page.evaluate("history.length")
    for expected in ids[2:25]:
        page.keyboard.press("j")
        assert current(page) == expected
    expect(page.locator(TITLE)).to_have_text("POST /keys/6")
    expect(row(page, ids[24])).to_be_in_viewport(ratio=1)
    assert page.url == stack.url + of(ids[24], "path:/keys/*") and page.evaluate("history.length") == depth
    page.keyboard.press("k")
    expect(page.locator(TITLE)).to_have_text("POST /keys/7")
    page.keyboard.press("Escape")
    expect(page.locator(REQUEST)).to_have_count(0)
    expect(row(page, ids[23]).locator(".target a")).to_be_focused()
    expect(row(page, ids[23])).to_be_in_viewport(ratio=1)
    assert page.url == stack.url + listed("/keys")


def test_keys_are_told_and_do_nothing_while_one_writes(look: Open, stack: Stack) -> None:
    id = several(stack, "/writes", 2)[0]
    page = look(of(id, "path:/writes/*"))
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    page.keyboard.press("j")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog", name="Keys")).to_be_hidden()
    expect(page.locator(TITLE)).to_have_text("POST /writes/2")
    box = page.locator("#filter")

    def writes() -> bool:  # once more where the browser gave the focus back late, which the dialog had
        page.keyboard.press("/")
        return bool(box.evaluate("it => it === document.activeElement"))

    until(writes, "the filter to have the focus")
    page.keyboard.type("jkfc?/")
    expect(box).to_have_value("jkfc?/")
    expect(page.locator("#live")).to_have_text("Live")
    expect(page.locator(TITLE)).to_have_text("POST /writes/2")
    assert current(page) == id
    expect(page.get_by_role("dialog", name="Keys")).to_be_hidden()
    page.keyboard.press("Escape")
    expect(page.locator(REQUEST)).to_be_visible()
    page.keyboard.press("Control+j")
    page.locator(REQUEST).focus()
    page.keyboard.press("Alt+k")
    assert current(page) == id
    page.get_by_role("button", name="Keys").click()
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()


# Copying

NASTY = [
    ("/again?a=1&b=%20", b'it\'s "quoted" $(touch /tmp/x) `id` \\ \n\ttwo lines', {"Content-Type": "text/plain"}),
    ("/again/grüße?x='", bytes(range(256)), {"X-Odd": "a'b\"c$HOME", "Content-Type": "application/octet-stream"}),
]


def as_recorded(stack: Stack, id: str) -> tuple[Any, ...]:
    """What was sent, but for what says where to and how long the connection stays."""
    found = httpx.get(f"{stack.url}/_/api/requests/{id}").json()
    body = httpx.get(f"{stack.url}/_/api/requests/{id}/body").content
    headers = [pair for pair in found["headers"] if pair[0] != "Connection"]
    return found["method"], found["target"], sorted(headers), body


def newest(stack: Stack) -> str:
    return str(httpx.get(f"{stack.url}/_/api/requests?limit=1").json()["requests"][0]["id"])


@pytest.mark.parametrize("how", ["button", "key", "by hand"])
@pytest.mark.parametrize("nasty", NASTY, ids=["text", "bytes"])
def test_copied_as_curl_a_shell_sends_the_same_again(
    look: Open, stack: Stack, how: str, nasty: tuple[str, bytes, dict[str, str]]
) -> None:
    """By hand: where navigator.clipboard is missing, as it is on plain http."""
    target, body, headers = nasty
    id = send(stack, target, body, "PUT", **headers)
    page = look(permissions=["clipboard-read", "clipboard-write"])
    reader = page.context.new_page()
    if how == "by hand":
        page.add_init_script("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    page.goto(stack.url + of(id))
    reader.goto(f"{stack.url}/_/api")
    reader.bring_to_front()
    reader.evaluate("navigator.clipboard.writeText('what was copied before')")
    page.bring_to_front()
    if how == "key":
        page.keyboard.press("c")
    else:
        page.locator("#copy-first").click()
        expect(page.get_by_role("button", name="Copied")).to_be_visible()
        expect(page.get_by_role("button", name="Copied")).to_be_focused()
    expect(page.locator("#said")).to_have_text("Copied")
    reader.bring_to_front()
    command = reader.evaluate("navigator.clipboard.readText()")
    done = subprocess.run(["bash", "-c", command], capture_output=True, timeout=30)
    assert done.returncode == 0, done.stderr
    assert newest(stack) != id and as_recorded(stack, newest(stack)) == as_recorded(stack, id)


def test_a_header_a_link_and_an_id_are_copied_as_they_are(look: Open, stack: Stack) -> None:
    id = send(stack, "/copied", b"", "GET", X_Sample="  a  b")
    page = look(of(id), permissions=["clipboard-read", "clipboard-write"])
    for button, expected in [
        ("Copy the value of X-Sample", "a  b"),
        ("Copy link", stack.url + of(id)),
    ]:
        page.get_by_role("button", name=button).click()
        until(lambda: page.evaluate("navigator.clipboard.readText()") == expected, expected)  # noqa: B023
    page.locator("[data-copy=id]").click()
    until(lambda: page.evaluate("navigator.clipboard.readText()") == id, "the id")


# Comparing


def test_another_is_chosen_out_of_the_list_and_compared(look: Open, stack: Stack) -> None:
    other, one = several(stack, "/compared", 2)
    page = look(of(one, "path:/compared/*"))
    page.get_by_role("link", name="Compare with another").click()
    expect(page.locator(".notice")).to_contain_text("Choose what to compare this request")
    assert page.locator("#filter").input_value() == "path:/compared/*"
    third = send(stack, "/compared/3")
    row(page, third).locator(".target a").click()  # one that came live
    page.wait_for_url(f"**/_/compare/{one}/{third}?filter=*")
    page.go_back()
    row(page, other).locator(".target a").click()
    page.wait_for_url(f"**/_/compare/{one}/{other}?filter=*")
    expect(page.locator("#compare-title")).to_have_text("They differ in request line")
    expect(page.locator("#compare del").first).to_have_text("/compared/1")
    page.get_by_role("link", name="Swap").click()
    page.wait_for_url(f"**/_/compare/{other}/{one}?filter=*")
    expect(page.locator("#compare del").first).to_have_text("/compared/2")
    page.get_by_role("link", name="Requests that match").click()
    assert page.url == stack.url + listed("/compared")
    page.goto(f"{stack.url}{listed('/compared')}&compare={one}")
    page.get_by_role("link", name="Leave it").click()
    expect(page.locator(".notice")).to_have_count(0)
    assert page.url == stack.url + listed("/compared")


# What is told of it


def test_a_token_is_decoded_and_said_not_to_be_verified(look: Open, stack: Stack) -> None:
    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    token = f"{part({'alg': 'HS256', 'typ': 'JWT'})}.{part({'sub': 'ada<b>', 'exp': 1700000000})}.c2ln"
    page = look(of(send(stack, "/token", Authorization=f"Bearer {token}")) + "?reveal=1")
    section = page.get_by_role("region", name="JSON Web Tokens")
    expect(section).to_contain_text("not verified")
    expect(section.locator("pre").nth(0)).to_contain_text('"alg": "HS256"')
    expect(section.locator("pre").nth(1)).to_contain_text('"sub": "ada<b>"')


def test_its_way_through_the_load_balancer_is_told(look: Open, stack: Stack) -> None:
    page = look(of(send(stack, "/way", b"0123456789")))
    way = page.locator("#passage dd")
    expect(way).to_have_text(re.compile(r"^1 try, \d+ ms, \d+ B in, \d+ B out$"))


def test_every_try_is_told_of_one_whose_replica_had_died(look: Open, stack: Stack) -> None:
    """By the replicas' names, and no place of this machine."""

    def tries(id: str) -> int:
        return len(httpx.get(f"{stack.url}/_/api/requests/{id}/passage").json()["attempts"])

    stack.kill("webapp-2")
    sent = [send(stack, f"/died/{number}") for number in range(12)]
    stack.until_healthy()
    id = next(id for id in sent if tries(id) == 2)
    way = look(of(id)).locator("#passage dd")
    expect(way).to_have_text(re.compile(r"^2 tries \(webapp-2: 502, webapp-[13]: 200\), \d+ ms, \d+ B in, \d+ B out$"))


def test_what_the_log_does_not_hold_is_said_not_to_be_there(look: Open, stack: Stack) -> None:
    stack.sql(
        "INSERT INTO requests (id, body_size, peer, client, status, truncated, replica, scheme, http_version, method,"
        " target, headers, body) VALUES ('018bcfe5-6800-7000-8000-000000000000', 0, '::1', '::1', 200, false, 'w',"
        " 'http', '1.1', 'GET', '/old', '[]', '')"
    )
    page = look(of("018bcfe5-6800-7000-8000-000000000000"))
    expect(page.locator("#passage dd")).to_have_text("the load balancer's log does not hold it (any longer)")


def test_an_age_does_not_stay_what_it_was(look: Open, stack: Stack) -> None:
    when = look(of(send(stack, "/ages"))).locator(".when time")

    def age() -> int:
        return int(re.findall(r"(\d+) s ago", when.inner_text())[0])

    first = age()
    until(lambda: age() > first, "it is older")


# Without scripts


def test_without_scripts_one_can_read_filter_turn_pages_look_and_compare(look: Open, stack: Stack) -> None:
    ids = several(stack, "/plain", 53)
    page = look(java_script_enabled=False)
    page.get_by_label("Filter").fill("path:/plain/*")
    page.get_by_role("button", name="Find").click()
    expect(page.locator(ROWS)).to_have_count(50)
    expect(page.get_by_role("button").filter(visible=True)).to_have_text(["Find"])
    page.get_by_role("link", name="Older ones").click()
    expect(page.locator(ROWS)).to_have_count(3)
    assert page.locator(ROWS).evaluate_all("rows => rows.map(row => row.dataset.id)") == ids[50:]
    page.get_by_role("link", name="Newest").click()
    row(page, ids[0]).locator(".target a").click()
    expect(page.locator(TITLE)).to_have_text("POST /plain/53")
    assert page.url == stack.url + of(ids[0], "path:/plain/*")
    page.get_by_role("link", name="Older", exact=True).click()
    expect(page.locator(TITLE)).to_have_text("POST /plain/52")
    page.get_by_role("link", name="Newer", exact=True).click()
    expect(page.locator(TITLE)).to_have_text("POST /plain/53")
    page.locator("summary", has_text="curl").click()
    expect(page.locator("#snippet-1")).to_contain_text("/plain/53")
    page.get_by_role("link", name="what the load balancer tells of it").click()
    expect(page.locator("body")).to_contain_text('"attempts"')
    page.go_back()
    page.get_by_role("link", name="Compare with another").click()
    row(page, ids[7]).locator(".target a").click()
    expect(page.locator("#compare-title")).to_have_text("They differ in request line")
    page.get_by_role("link", name="POST /plain/53").click()
    page.get_by_role("link", name="Close", exact=True).click()
    expect(page).to_have_url(stack.url + listed("/plain"))


def test_without_scripts_the_views_of_a_body_are_links(look: Open, stack: Stack) -> None:
    page = look(of(send(stack, "/plain-views", b"<a><b/></a>", Content_Type="text/xml")), java_script_enabled=False)
    page.get_by_role("link", name="Hex").click()
    expect(page.locator("#body pre")).to_contain_text("3c 61 3e")
    page.get_by_role("link", name="Text", exact=True).click()
    expect(page.locator("#body pre")).to_contain_text("<a><b/></a>")


# Narrow


def test_where_it_is_narrow_the_request_covers_the_list_and_closing_brings_it_back_in_its_place(
    look: Open, stack: Stack
) -> None:
    ids = several(stack, "/narrow", 40)
    page = look(listed("/narrow"), viewport=NARROW, has_touch=True)
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    scroll(page, 1100)
    id = next(id for id in ids if 250 < y(page, id) < 400)
    before = y(page, id), page.evaluate("scrollY")
    row(page, id).locator(".target a").tap()
    expect(page.locator(TITLE)).to_be_in_viewport()
    expect(page.locator("#list")).to_be_hidden()
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    send(stack, "/narrow/while-covered")
    scroll(page, 400)
    page.keyboard.press("Escape")
    expect(page.locator(REQUEST)).to_have_count(0)
    until(lambda: abs(y(page, id) - before[0]) < 2, f"{id} at {before}, not {y(page, id)}")
    expect(page.locator("#came")).to_have_text("Show 1 new")
    page.go_back()
    expect(page.locator(TITLE)).to_be_in_viewport()
    page.go_back()
    expect(page.locator(REQUEST)).to_have_count(0)
    until(lambda: abs(y(page, id) - before[0]) < 2, f"{id} at {before}, not {y(page, id)}")


@pytest.mark.parametrize("width", [320, 360, 768, 1024, 2560])
def test_it_fits(look: Open, stack: Stack, width: int) -> None:
    long = "x" * 3000
    id = send(stack, f"/{long}", json.dumps({long: [long]}).encode(), X_Long=long, Content_Type="application/json")
    page = look(of(id), viewport={"width": width, "height": 700})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for view in ("Text", "Hex"):
        page.get_by_role("link", name=view, exact=True).click()
        expect(page.locator("#body [aria-current]")).to_have_text(view)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
