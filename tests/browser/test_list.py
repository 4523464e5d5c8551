"""The list at `/_/` in a real browser, from a real stack of its own.

Plot: somebody looks on while others send, one at a time, by the thousand, and before anything was sent at all; pauses,
scrolls down and up again, loses the viewer, turns to a telephone, and does without scripts.
"""

import contextlib
import http.client
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

import pytest
from chromium import AWAY, Open, watched
from local_stack import Stack, started_stack, until
from playwright.sync_api import APIResponse, Browser, Locator, Page, Route, expect

ROWS = "#rows tbody tr"

# Rows as the replicas write them, the last one the newest; the stream tells them, too.
RECORD = """WITH made AS (
    INSERT INTO requests
        (id, body_size, peer, client, status, truncated, replica, scheme, http_version, method, target, headers, body)
    SELECT uuidv7(interval '-{age}'), 0, '::1', '::1', 200, false, 'webapp-1', 'http', '1.1', 'GET', '{path}/' || n,
        '[]', ''
    FROM generate_series(1, {count}) AS n ORDER BY n RETURNING id
) INSERT INTO batches (ids) SELECT array_agg(id) FROM made"""
# Goes down the list as a reader does, until it says that this is all and stands still, or a minute is over; gives
# [number, target] of each row that was seen.
SCROLLED = """async () => {
    const seen = new Map(), frame = () => new Promise(requestAnimationFrame)
    const here = () => document.querySelectorAll("#rows tbody tr").forEach(row =>
        seen.set(row.ariaRowIndex - 1, row.querySelector(".target").textContent))
    here()
    const all = () => document.querySelector("#older").textContent.startsWith("That is all")
    for (let still = 0, end = performance.now() + 60e3; still < 15 || !all() && performance.now() < end; ) {
        const before = scrollY + "," + document.body.scrollHeight
        scrollBy(0, innerHeight - 150)
        await frame()
        await frame()
        here()
        still = before == scrollY + "," + document.body.scrollHeight ? still + 1 : 0
    }
    return [...seen]
}"""


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """One of this module's own: it begins empty, and its viewer is restarted."""
    yield from started_stack()


@pytest.fixture
def look(stack: Stack, browser: Browser) -> Iterator[Open]:
    """Opens the list; a page may say on its console that what is away did not answer, and nothing else."""
    with watched(browser, stack.url, AWAY) as open:

        def look(filter: str = "", **options: Any) -> Page:
            page = open(f"/_/?filter={quote(filter)}" if filter else "/_/", **options)
            return live(page) if options.get("java_script_enabled", True) else page

        yield look


def live(page: Page) -> Page:
    expect(page.locator("#live")).to_have_text("Live")
    return page


def send(stack: Stack, path: str, count: int = 1) -> list[str]:
    """Requests to `path/1` and so on, one after the other; their ids."""
    connection = http.client.HTTPConnection("127.0.0.1", stack.port, timeout=30)
    ids = []
    for number in range(1, count + 1):
        connection.request("GET", f"{path}/{number}")
        answer = connection.getresponse()
        answer.read()
        ids.append(answer.headers["gatebook-id"])
        time.sleep(0.002)  # ids rise by the millisecond
    connection.close()
    return ids


def record(stack: Stack, path: str, count: int, age: str = "0 s") -> None:
    stack.sql(RECORD.format(path=path, count=count, age=age))


def position(stack: Stack) -> str:
    """Where the stream is now."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", stack.port, timeout=30)) as connection:
        connection.request("GET", "/_/api/events")
        lines = iter(connection.getresponse().readline, b"")
        return next(line for line in lines if line.startswith(b"id: "))[4:].strip().decode()


def targets(page: Page) -> list[str]:
    """Of the rows that are in the document, from above."""
    return page.locator(f"{ROWS} .target").all_text_contents()


def falling(path: str, newest: int, oldest: int = 1) -> list[str]:
    return [f"{path}/{number}" for number in range(newest, oldest - 1, -1)]


def scroll(page: Page, y: int) -> None:
    """To `y`, and until what is there has been drawn."""
    page.evaluate(
        "y => { scrollTo(0, y); return new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done))) }",
        y,
    )


def all_listed(page: Page) -> Page:
    scroll(page, 10**9)
    expect(page.locator("#older")).to_have_text(re.compile("^That is all"))
    scroll(page, 0)
    return page


def in_sight(page: Page) -> dict[str, float]:
    """The rows that can be seen, and where."""
    return dict(
        page.locator(ROWS).evaluate_all(
            "rows => rows.map(row => [row.querySelector('.target').textContent, row.getBoundingClientRect().y])"
            ".filter(([, y]) => y > 100 && y < innerHeight)"
        )
    )


def came(page: Page) -> Locator:
    return page.locator("#came")


def test_an_empty_gate_says_how_to_send_to_this_host_and_the_first_request_takes_its_place(
    look: Open, stack: Stack
) -> None:
    stack.sql("TRUNCATE requests, batches")  # `gatebook up` has tried whether it records
    page = look()
    expect(page.locator("#try")).to_be_visible()
    expect(page.locator("#try")).to_have_text(f"curl -d hello {stack.url}/any/path")
    expect(page.locator("#older")).to_have_text("")
    send(stack, "/first")
    expect(page.locator(ROWS)).to_have_count(1)
    expect(page.locator("#try")).to_be_hidden()
    assert targets(page) == ["/first/1"]


def test_it_grows_live_and_newest_first(look: Open, stack: Stack) -> None:
    send(stack, "/grows", 3)
    page = look("path:/grows/*")
    send(stack, "/not-this", 1)
    newest = send(stack, "/grows", 5)[-1]
    expect(page.locator(f"{ROWS} >> nth=0")).to_have_attribute("data-id", newest)
    assert targets(page) == falling("/grows", 5) + falling("/grows", 3)
    assert page.locator(f"{ROWS}").evaluate_all("rows => rows.map(row => row.ariaRowIndex)") == [
        str(number) for number in range(2, 10)
    ]
    expect(page.locator("#rows table")).to_have_attribute("aria-rowcount", "9")
    page.reload()
    assert targets(live(page)) == falling("/grows", 5) + falling("/grows", 3)


@pytest.mark.parametrize("by", ["button", "key"])
def test_paused_it_says_how_many_came_and_shows_them_on_a_click(look: Open, stack: Stack, by: str) -> None:
    path = f"/paused-{by}"
    send(stack, path, 2)
    page = look(f"path:{path}/*")
    follow = page.get_by_role("button", name="Follow")
    toggle = follow.click if by == "button" else lambda: page.keyboard.press("f")
    toggle()
    expect(page.locator("#live")).to_have_text("Paused")
    expect(follow).to_have_attribute("aria-pressed", "false")
    send(stack, path, 4)
    expect(came(page)).to_have_text("Show 4 new")
    assert targets(page) == falling(path, 2)
    came(page).click()
    expect(page.locator(ROWS)).to_have_count(6)
    assert targets(page) == falling(path, 4) + falling(path, 2)
    expect(page.locator("#live")).to_have_text("Paused")
    send(stack, path, 1)
    expect(came(page)).to_have_text("Show 1 new")
    toggle()
    expect(page.locator(ROWS)).to_have_count(7)
    expect(came(page)).to_be_hidden()
    live(page)


def test_scrolled_down_nothing_moves_and_what_came_is_counted(look: Open, stack: Stack) -> None:
    record(stack, "/down", 120)
    page = all_listed(look("path:/down/*"))
    scroll(page, 1500)
    before = in_sight(page)
    assert len(before) > 10
    send(stack, "/down", 3)
    expect(came(page)).to_have_text("Show 3 new")
    assert in_sight(page) == before
    at_heading = (
        "document.elementFromPoint({x}, document.querySelector('#rows th.method').getBoundingClientRect().y + 8)"
    )
    for x in (240, 720, 1000):  # nothing of a row shines through
        assert page.evaluate(at_heading.format(x=x) + ".tagName") == "TH"
    for _ in range(30):  # by key, each row comes out from behind what stays above
        page.keyboard.press("k")
        row = page.locator(f"{ROWS}[aria-current=true]")
        box, heading = row.bounding_box(), page.locator("#rows th.method").bounding_box()
        assert box and heading and box["y"] >= heading["y"] + heading["height"] - 1
    scroll(page, 1500)
    came(page).click()
    expect(page.locator(f"{ROWS} .target >> nth=0")).to_have_text("/down/3")
    assert page.evaluate("scrollY") == 0
    scroll(page, 1500)
    before = in_sight(page)
    send(stack, "/down", 2)
    expect(came(page)).to_have_text("Show 2 new")
    page.mouse.move(600, 400)
    at = page.locator("#list").evaluate("one => one.offsetTop")
    scroll(page, at)  # the newest row is in sight: there they are, and the page stays
    expect(came(page)).to_be_hidden()
    assert targets(page)[:5] == ["/down/2", "/down/1", "/down/3", "/down/2", "/down/1"]
    assert page.evaluate("scrollY") == at


def test_when_more_than_a_thousand_wait_the_newest_are_fetched_anew(look: Open, stack: Stack) -> None:
    send(stack, "/many", 2)
    page = look("path:/many/*")
    page.keyboard.press("f")
    record(stack, "/many", 1300)
    expect(came(page)).to_have_text("Show 1,300 new")
    fetched: list[str] = []
    page.on("request", lambda request: fetched.append(request.url) if "/_/api/requests?" in request.url else None)
    came(page).click()
    expect(page.locator(f"{ROWS} .target >> nth=0")).to_have_text("/many/1300")
    assert fetched and "cursor" not in fetched[0]
    seen = dict(page.evaluate(SCROLLED))
    assert [seen[place] for place in sorted(seen)] == falling("/many", 1300) + falling("/many", 2)
    expect(page.locator("#older")).to_have_text("That is all: 1,302.")


def test_what_comes_while_the_newest_are_fetched_anew_is_not_lost(look: Open, stack: Stack) -> None:
    page = look("path:/meanwhile/*")
    page.keyboard.press("f")
    record(stack, "/meanwhile", 1001)
    expect(came(page)).to_have_text("Show 1,001 new")

    held: list[tuple[Route, APIResponse]] = []
    page.route("**/_/api/requests?*", lambda route: held.append((route, route.fetch())), times=1)
    page.keyboard.press("f")  # follows from now on, with what waits
    until(lambda: page.wait_for_timeout(20) or held, "the page asks")
    send(stack, "/meanwhile/late", 1)
    expect(page.get_by_role("link", name="/meanwhile/late/1")).to_be_visible()
    [(route, answer)] = held
    route.fulfill(response=answer)
    expect(page.locator(f"{ROWS} .target >> nth=1")).to_have_text("/meanwhile/1001")
    assert targets(page)[0] == "/meanwhile/late/1"


def test_older_ones_come_while_scrolling_every_one_once_and_in_order(look: Open, stack: Stack) -> None:
    record(stack, "/older", 780)
    page = look("path:/older/*")
    seen = dict(page.evaluate(SCROLLED))
    assert [seen[place] for place in sorted(seen)] == falling("/older", 780)
    assert sorted(seen) == list(range(1, 781))
    expect(page.locator("#older")).to_have_text("That is all: 780.")


def test_one_that_is_recorded_late_leaves_no_hole_above_it(look: Open, stack: Stack) -> None:
    """What was spooled comes by the stream with the time at which it was received, older than all that was loaded."""
    record(stack, "/late", 700, "1 h")
    page = look("path:/late/*")
    expect(page.locator("#rows table")).to_have_attribute("aria-rowcount", "551")  # the page's, and one further page
    record(stack, "/late/spooled", 1, "2 h")
    record(stack, "/late/new", 1)
    expect(page.get_by_role("link", name="/late/new/1")).to_be_visible()
    seen = dict(page.evaluate(SCROLLED))
    assert [seen[place] for place in sorted(seen)] == ["/late/new/1", *falling("/late", 700), "/late/spooled/1"]


def test_a_page_that_is_reloaded_counts_nothing_old_as_new(look: Open, stack: Stack) -> None:
    record(stack, "/reloaded", 90)
    page = look("path:/reloaded/*")
    scroll(page, 900)
    page.route("**/_/api/requests?*cursor=*", lambda route: None)  # older ones take their time
    with page.expect_response("**/_/api/requests?*limit=100*"):
        page.reload()
    live(page)
    until(lambda: page.evaluate("scrollY") == 900, "the place is found again")
    page.wait_for_timeout(200)
    expect(came(page)).to_be_hidden()
    assert page.evaluate("scrollY") == 900
    with page.expect_navigation():
        page.locator(f"{ROWS} .client a >> nth=20").click()
    page.go_back()
    until(lambda: page.evaluate("scrollY") == 900, "the place is found again")


def test_of_thousands_few_are_in_the_document_and_each_is_where_it_belongs(look: Open, stack: Stack) -> None:
    record(stack, "/thousands", 6000)
    page = look("path:/thousands/*", viewport={"width": 1280, "height": 800})
    older = page.locator("#older")

    def all_are_there() -> bool:
        scroll(page, 10**9)
        return older.inner_text() == "That is all: 6,000."

    until(all_are_there, "all are loaded")
    scroll(page, 0)
    above = page.locator(ROWS).first.evaluate("one => one.getBoundingClientRect().top")
    height = page.locator(ROWS).first.evaluate("one => one.getBoundingClientRect().height")
    for number in (6000, 5871, 3000, 1234, 30):
        place = 6000 - number
        scroll(page, int(above + place * height) - 300)
        assert page.locator(ROWS).count() < 60
        row = page.locator(ROWS, has_text=re.compile(rf"/thousands/{number}\b"))
        box = row.bounding_box()
        assert box and abs(box["y"] - (above + place * height - page.evaluate("scrollY"))) < 1
        expect(row).to_have_attribute("aria-rowindex", str(place + 2))
    seen = page.evaluate("""async () => {
        const wrong = []
        for (let y = document.body.scrollHeight; y > 0; y -= 7777) {
            scrollTo(0, y)
            await new Promise(requestAnimationFrame)
            await new Promise(requestAnimationFrame)
            const shown = [...document.querySelectorAll("#rows tbody tr")].map(row => row.getBoundingClientRect())
            const holes = shown.slice(1).some((box, at) => Math.abs(box.top - shown[at].bottom) > .5)
            const first = shown[0].top, last = shown.at(-1).bottom
            const { top, bottom } = document.querySelector("#rows").getBoundingClientRect()
            if (holes || first > Math.max(top + 40, 0) || last < Math.min(bottom - 2, innerHeight)) wrong.push(y)
        }
        return wrong
    }""")
    assert seen == []


def test_a_stream_that_breaks_goes_on_without_a_gap_or_a_repeat(look: Open, stack: Stack) -> None:
    send(stack, "/breaks", 1)
    page = look("path:/breaks/*", viewport={"width": 1280, "height": 2000})
    arrived: list[str] = []
    page.expose_function("arrived", lambda id: arrived.append(id))
    page.evaluate(
        "document.addEventListener('gatebook:arrived', ({ detail }) => detail.requests.forEach(one => arrived(one.id)))"
    )
    before = send(stack, "/breaks", 2)
    expect(page.locator(ROWS)).to_have_count(3)
    stack.kill("viewer")
    expect(page.locator("#live")).to_have_text("Not live, trying again")
    away = send(stack, "/breaks", 120)  # more than a page, so only the stream can tell them all
    stack.until_healthy("viewer")
    live(page)
    after = send(stack, "/breaks", 2)
    expect(page.locator("#rows table")).to_have_attribute("aria-rowcount", "126")
    seen = dict(page.evaluate(SCROLLED))
    assert [seen[place] for place in sorted(seen)] == [
        *falling("/breaks", 2), *falling("/breaks", 120), *falling("/breaks", 2), "/breaks/1",
    ]  # fmt: skip
    until(lambda: page.wait_for_timeout(20) or len(arrived) == 124, "all have arrived")
    assert sorted(arrived) == sorted(before + away + after)


def test_a_gap_is_not_passed_over(look: Open, stack: Stack) -> None:
    """The stream cannot say what came in between: the newest are fetched anew, but not while somebody reads below."""
    record(stack, "/gap", 90)
    events = "**/_/api/events?*"
    says_gap = f'id: {position(stack)}\nevent: gap\ndata: {{"detail": "", "since": null}}\n\n'
    page = all_listed(look("path:/gap/*"))
    scroll(page, 1500)
    before = in_sight(page)
    page.route(events, lambda route: route.fulfill(body=says_gap, content_type="text/event-stream"))
    page.evaluate("Object.defineProperty(document, 'hidden', { value: true, configurable: true })")
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    record(stack, "/gap/in", 150)
    page.evaluate("delete document.hidden; document.dispatchEvent(new Event('visibilitychange'))")
    expect(came(page)).to_have_text("Show the newest")
    assert in_sight(page) == before
    page.unroute(events)
    came(page).click()
    expect(page.locator(f"{ROWS} .target >> nth=0")).to_have_text("/gap/in/150")
    live(page)
    seen = dict(page.evaluate(SCROLLED))
    assert [seen[place] for place in sorted(seen)] == falling("/gap/in", 150) + falling("/gap", 90)


def test_a_page_made_while_the_database_was_away_fills_itself_when_it_is_back(look: Open, stack: Stack) -> None:
    """Its notice begins with a capital, is told once, and goes."""
    send(stack, "/fills", 2)
    page = look("path:/fills/*")
    notice = page.locator("#away")
    expect(notice).to_have_count(0)
    stack.sql("ALTER ROLE gatebook_viewer NOLOGIN")
    try:
        stack.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'gatebook_viewer'")
        page.reload()
        expect(notice).to_have_text(
            re.compile(r"^\s*They cannot be listed now: the database is away\. .*recorded all the same")
        )
        expect(page.locator("#empty")).to_be_hidden()
    finally:
        stack.sql("ALTER ROLE gatebook_viewer LOGIN")
    live(page)
    expect(page.locator(ROWS)).to_have_count(2)
    expect(notice).to_have_count(0)


# What a row tells, and where it leads


def test_times_are_local_with_utc_at_hand(look: Open, stack: Stack) -> None:
    """Of rows that came with the page, and of those that came later."""
    send(stack, "/times", 1)
    page = look("path:/times/*", timezone_id="America/New_York")
    send(stack, "/times", 1)
    expect(page.locator(ROWS)).to_have_count(2)
    for told in page.locator(f"{ROWS} time").all():
        utc = datetime.fromisoformat(told.get_attribute("title") or "")
        assert utc.utcoffset() == timedelta() and abs(utc - datetime.now(UTC)) < timedelta(minutes=5)
        local = utc.astimezone(ZoneInfo("America/New_York")).isoformat(timespec="milliseconds")
        expect(told).to_have_text(local[11:23])
    expect(page.locator(f"{ROWS} .age").first).to_have_text(re.compile(r"^\d+ s$"))
    plain = look("path:/times/*", timezone_id="America/New_York", java_script_enabled=False)
    assert plain.locator("#rows th.time").inner_text() == "Time, UTC"
    assert plain.locator(f"{ROWS} time").first.inner_text() == utc_of(page)[11:23]


def utc_of(page: Page) -> str:
    return page.locator(f"{ROWS} time").first.get_attribute("title") or ""


def test_a_row_of_another_day_says_which(look: Open, stack: Stack) -> None:
    record(stack, "/days", 1, "3 days")
    told = look("path:/days/*").locator(f"{ROWS} time")
    expect(told).to_have_text(re.compile(r"^\d\d-\d\d \d\d:\d\d:\d\d$"))


@pytest.mark.parametrize("scripts", [True, False])
def test_a_value_narrows_the_filter_by_it_and_keeps_what_it_says(look: Open, stack: Stack, scripts: bool) -> None:
    path = f"/narrows-{scripts}"
    for method in ("GET", "REPORT"):
        stack.send(method, f"{path}/1")
    page = look(f"path:{path}/* OR path:/none", java_script_enabled=scripts)
    if scripts:
        stack.send("REPORT", f"{path}/2")
        expect(page.locator(ROWS)).to_have_count(3)
    page.locator(f"{ROWS} .method a").first.click()
    expect(page.locator("#filter")).to_have_value(f"(path:{path}/* OR path:/none) method=REPORT")
    expect(page.locator(ROWS)).to_have_count(2 if scripts else 1)
    page.locator(f"{ROWS} .replica a").first.click()
    expect(page.locator("#filter")).to_have_value(
        re.compile(rf"^\(path:{path}/\* OR path:/none\) method=REPORT replica:webapp-[123]$")
    )


def test_nothing_found_is_said_and_the_first_match_takes_its_place(look: Open, stack: Stack) -> None:
    page = look("path:/matches/*")
    expect(page.locator("#empty")).to_contain_text("Nothing that is recorded matches.")
    send(stack, "/matches")
    expect(page.locator(ROWS)).to_have_count(1)
    expect(page.locator("#empty")).to_be_hidden()


# How it looks


@pytest.mark.parametrize("width", [320, 360, 1280, 2560])
def test_it_fits_and_what_is_new_moves_nothing(look: Open, stack: Stack, width: int) -> None:
    record(stack, f"/{'w' * 300}{width}", 90)
    page = all_listed(look(f"path:/{'w' * 300}{width}/*", viewport={"width": width, "height": 700}))
    page.keyboard.press("f")
    expect(page.locator("#live")).to_have_text("Paused")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for place in (0, 1500):
        scroll(page, place)
        before = in_sight(page)
        record(stack, f"/{'w' * 300}{width}/and", 2)
        expect(came(page)).to_be_visible()
        assert in_sight(page) == before
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    expect(came(page)).to_be_in_viewport(ratio=1)
    came(page).click()
    assert page.evaluate("scrollY") == 0


def test_the_theme_is_chosen_and_remembered_without_a_flash(look: Open) -> None:
    page = look(color_scheme="light")
    button, chosen = page.locator("#theme"), "document.documentElement.dataset.theme"
    ground = "getComputedStyle(document.documentElement).backgroundColor"
    light = page.evaluate(ground)
    expect(button).to_have_text("Theme: auto")
    button.click()
    expect(button).to_have_text("Theme: light")
    button.click()
    expect(button).to_have_text("Theme: dark")
    dark = page.evaluate(ground)
    assert dark != light
    # What the body is first drawn with: the observer comes before any frame that has one.
    page.add_init_script(
        "new MutationObserver((_, observer) => { if (!document.body) return; observer.disconnect();"
        f" window.first = [{chosen}, {ground}] }}).observe(document, {{ childList: true, subtree: true }})"
    )
    page.reload()
    assert page.evaluate("window.first") == ["dark", dark]
    expect(button).to_have_text("Theme: dark")
    button.click()
    expect(button).to_have_text("Theme: auto")
    page.reload()
    assert page.evaluate(chosen) is None and page.evaluate(ground) == light
    page.emulate_media(color_scheme="dark")
    assert page.evaluate(ground) == dark
