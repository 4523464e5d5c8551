"""The picture above the list in a real browser, from the real stack.

Plot: requests of several methods come through three replicas; the picture's numbers are those of the API, whether they
were counted or came in live. It is zoomed by mouse, by finger and by keyboard. In the end a replica hangs.
"""

import contextlib
import json
import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from chromium import Open
from local_stack import Stack, until
from playwright.sync_api import Locator, Page, expect

METHODS = {"GET": 12, "POST": 7, "PUT": 3}


def send(stack: Stack, path: str) -> None:
    for method, count in METHODS.items():
        for _ in range(count):
            assert stack.send(method, path).status == 200


@contextlib.contextmanager
def stream(stack: Stack, path: str) -> Iterator[None]:
    """Requests, one after the other on three connections, until the end of the block."""
    ended = threading.Event()

    def go() -> None:
        while not ended.is_set():
            stack.send("GET", path)
            time.sleep(0.03)

    threads = [threading.Thread(target=go) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def look(page: Page, stack: Stack, filter: str = "", by: str = "") -> Locator:
    """The picture of the filter, counted."""
    page.goto(f"{stack.url}/_/?filter={quote(filter)}&by={by}" if by else f"{stack.url}/_/?filter={quote(filter)}")
    expect(page.locator("#picture .frame[aria-busy=false]")).to_be_visible()
    return page.locator("#picture")


def asked_for_counts(page: Page) -> list[str]:
    """The addresses from which it has asked for counts, from now on."""
    questions: list[str] = []
    page.on("request", lambda request: questions.append(request.url) if "/api/counts" in request.url else None)
    return questions


def until_settled(page: Page, questions: list[str]) -> None:
    """The seconds around its first question are counted again, some 3 s later, by the same question."""
    until(
        lambda: page.wait_for_timeout(100) or len(set(questions)) < len(questions), "the last seconds are counted again"
    )
    page.wait_for_timeout(500)  # and drawn


def counts(stack: Stack, filter: str, by: str) -> dict[str, int]:
    answer = stack.gatebook("count", "--by", by, "--json", filter).stdout
    return {group["value"]: group["count"] for group in json.loads(answer)["groups"]}


def lanes(picture: Locator) -> dict[str, int]:
    """The names and counts of all lanes at one moment."""
    texts = "all => all.map(one => ['.name', '.count'].map(part => one.querySelector(part).textContent))"
    return {name: int(count.replace(",", "")) for name, count in picture.locator("li").evaluate_all(texts)}


def asked(page: Page) -> str:
    """The filter of the page's address."""
    return parse_qs(urlsplit(page.url).query).get("filter", [""])[0]


def span(page: Page) -> list[float]:
    """The times that the filter names, Unix seconds."""
    found = re.findall(r"(?:since|until):(\S+Z)", asked(page))
    return [page.evaluate("text => Date.parse(text)", text) / 1000 for text in found]


def box(picture: Locator) -> dict[str, float]:
    picture.locator(".brush").scroll_into_view_if_needed()
    found: Any = picture.locator(".brush").bounding_box()
    return dict(found)


def test_a_split_has_a_lane_for_each_value_with_the_counts_of_the_api(open_page: Open, stack: Stack) -> None:
    send(stack, "/split")
    page = open_page()
    for by in ("replica", "method", "path"):
        picture = look(page, stack, "path:/split", by)
        expected = counts(stack, "path:/split", by)
        assert sum(expected.values()) == sum(METHODS.values())
        until(lambda: lanes(picture) == expected, f"lanes {expected}")  # noqa: B023
        expect(picture.locator(".say b")).to_have_text(str(sum(METHODS.values())))
        expect(picture.locator(".split a[aria-current]")).to_have_text(f"By {by}")
    picture = look(page, stack, "path:/split", "method")
    until(lambda: list(lanes(picture)) == list(METHODS), "lanes in the order of their counts")
    assert re.fullmatch("r[0-7]", look(page, stack, by="replica").locator("li").first.get_attribute("class") or "")


def test_what_comes_in_live_is_counted_once(open_page: Open, stack: Stack) -> None:
    page = open_page()
    questions = asked_for_counts(page)
    picture = look(page, stack, "path:/live", "method")
    for rounds in (1, 2):
        send(stack, "/live")
        expected = {method: count * rounds for method, count in METHODS.items()}
        until(lambda: lanes(picture) == expected, f"lanes {expected}")  # noqa: B023
    until_settled(page, questions)
    assert lanes(picture) == {method: count * 2 for method, count in METHODS.items()}
    questions.clear()
    send(stack, "/live")
    until(lambda: lanes(picture)["GET"] == 3 * METHODS["GET"], "the third round")
    assert not questions


def test_a_browser_whose_clock_is_wrong_shows_the_time_of_the_gate(open_page: Open, stack: Stack) -> None:
    send(stack, "/clock")
    page = open_page()
    page.add_init_script("{ const now = Date.now; Date.now = () => now() - 7200e3 }")
    picture = look(page, stack, "path:/clock since:15m", "method")
    until(lambda: lanes(picture) == METHODS, f"lanes {METHODS}")
    send(stack, "/clock")
    expected = {method: count * 2 for method, count in METHODS.items()}
    until(lambda: lanes(picture) == expected, f"lanes {expected}")
    expect(picture.locator(".say")).to_contain_text("in the last 15 min")


def test_a_page_that_is_opened_while_requests_come_counts_each_once(open_page: Open, stack: Stack) -> None:
    page = open_page()
    questions = asked_for_counts(page)
    with stream(stack, "/meanwhile"):
        picture = look(page, stack, "path:/meanwhile", "replica")
        until_settled(page, questions)  # so that what came before, around and after the question is counted
    expected = counts(stack, "path:/meanwhile", "replica")
    until(lambda: lanes(picture) == expected, f"lanes {expected}")


def test_dragging_over_the_axis_zooms(open_page: Open, stack: Stack) -> None:
    send(stack, "/drag")
    page = open_page()
    picture = look(page, stack, "path:/drag since:15m", "replica")
    place = box(picture)
    left, right, y = place["x"] + place["width"] * 0.5, place["x"] + place["width"] * 0.75, place["y"] + 10
    page.mouse.move(left, y)
    page.mouse.down()
    page.mouse.move(right, y, steps=3)
    page.keyboard.press("Escape")
    page.mouse.up()
    assert asked(page) == "path:/drag since:15m"
    page.mouse.move(left, y)
    page.mouse.down()
    page.mouse.move(right, y, steps=3)
    expect(picture.locator(".say")).to_contain_text("UTC")
    page.mouse.up()
    page.wait_for_url("**until**")
    since, end = span(page)
    assert abs(end - since - 900 / 4) <= 3 * 10  # steps: each end's, and one by which the axis may move meanwhile
    assert since % 10 == end % 10 == 0
    assert asked(page).startswith("path:/drag since:") and "15m" not in asked(page)
    assert parse_qs(urlsplit(page.url).query)["by"] == ["replica"]
    expect(page.locator("#picture .frame[aria-busy=false]")).to_be_visible()
    zoomed = page.url
    page.get_by_role("link", name="Zoom out").click()
    page.wait_for_url(lambda url: url != zoomed)
    assert span(page)[0] < since
    page.get_by_role("link", name="Newest").click()
    expect(page.get_by_role("link", name="Newest")).to_have_attribute("aria-current", "true")
    assert asked(page) == "path:/drag"


def test_the_keyboard_moves_selects_and_zooms(open_page: Open, stack: Stack) -> None:
    send(stack, "/keys")
    page = open_page()
    picture = look(page, stack, "path:/keys since:15m")
    slider = picture.get_by_role("slider", name="Requests over time")
    slider.focus()
    page.keyboard.press("ArrowLeft")
    expect(slider).to_have_attribute("aria-valuetext", re.compile(r"^\d\d:\d\d:\d\d to \d\d:\d\d:\d\d: \d+ request"))
    before = int(slider.get_attribute("aria-valuenow") or "")
    page.keyboard.press("Shift+ArrowLeft")
    page.keyboard.press("Shift+ArrowLeft")
    # It counts from the first step of the axis, which may move on by one meanwhile.
    expect(slider).to_have_attribute("aria-valuenow", re.compile(f"^({before - 2}|{before - 3})$"))
    page.keyboard.press("Escape")
    page.keyboard.press("Enter")
    page.wait_for_url("**until**")
    since, end = span(page)
    assert end - since == 10
    page.go_back()
    expect(picture.locator(".frame[aria-busy=false]")).to_be_visible()
    slider.focus()
    for key in ("ArrowLeft", "Shift+ArrowLeft", "Shift+ArrowLeft", "Enter"):
        page.keyboard.press(key)
    page.wait_for_url("**until**")
    since, end = span(page)
    assert end - since == 30


def test_a_finger_drags_sideways_and_scrolls_up_and_down(open_page: Open, stack: Stack) -> None:
    page = open_page(has_touch=True, is_mobile=True, viewport={"width": 360, "height": 640})
    picture = look(page, stack, "since:15m", "replica")
    place = box(picture)
    x, y = place["x"] + place["width"] * 0.4, place["y"] + place["height"] / 2
    browser = page.context.new_cdp_session(page)

    def touch(kind: str, *points: tuple[float, float]) -> None:
        touches = [{"x": x, "y": y} for x, y in points]
        browser.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touches})

    for end in ((x, y - 60), (x + 90, y)):
        touch("touchStart", (x, y))
        for part in (0.3, 0.6, 1):
            touch("touchMove", (x + (end[0] - x) * part, y + (end[1] - y) * part))
        if end[0] == x:
            touch("touchEnd")
            until(lambda: page.evaluate("scrollY") > 0, "the page scrolled")
            assert asked(page) == "since:15m"
            page.evaluate("scrollTo(0, 0)")
    touch("touchEnd")
    page.wait_for_url("**until**")


@pytest.mark.parametrize("zone", ["Asia/Kathmandu", "America/New_York"])
def test_the_axis_is_local_with_utc_at_hand(open_page: Open, stack: Stack, zone: str) -> None:
    page = open_page(timezone_id=zone)
    marks = (
        look(page, stack, "since:2026-03-07 until:2026-03-09")
        .locator(".axis time")
        .evaluate_all("marks => marks.map(one => [one.title, one.textContent, new Date(one.title).toString()])")
    )
    assert len(marks) > 3
    for utc, label, local in marks:
        assert utc.endswith("Z")
        assert local[16:21] == label if ":" in label else local[16:21] == "00:00" and local[8:10].lstrip("0") in label


def test_hostile_values_are_shown_and_run_nothing(open_page: Open, stack: Stack) -> None:
    hostile = ["/<img/src=x/onerror=alert(1)>", "/'\"><script>alert(1)</script>", "/%E2%80%AE\u00e9"]
    for path in hostile:
        stack.send("GET", quote(path, safe="/<>='\"()%") + "?drawn-hostile")
    picture = look(open_page(), stack, "target:?drawn-hostile", "path")
    for path in hostile[:2]:
        link = picture.get_by_role("link", name=path, exact=True)
        expect(link).to_be_visible()
    link.click()
    expect(picture.locator(".say b")).to_have_text("1")


def test_it_is_closed_and_stays_so_and_then_asks_for_nothing(open_page: Open, stack: Stack) -> None:
    page = open_page()
    picture = look(page, stack)
    picture.get_by_role("heading", name="Requests over time").click()
    expect(picture.locator(".frame")).to_be_hidden()
    questions = asked_for_counts(page)
    page.reload()
    expect(page.locator("#list")).to_be_visible()
    expect(picture.locator(".frame")).to_be_hidden()
    page.wait_for_timeout(1000)
    assert not questions
    with page.expect_response("**/_/api/counts**"):
        picture.get_by_role("heading", name="Requests over time").click()
    expect(picture.locator(".say b")).not_to_have_text("")


@pytest.mark.parametrize("by", ["", "replica", "path"])
def test_it_fits_every_width(open_page: Open, stack: Stack, by: str) -> None:
    stack.send("GET", "/long" * 200)
    page = open_page()
    picture = look(page, stack, by=by)

    def fits(width: int) -> bool:
        place: Any = picture.bounding_box()
        wide = picture.evaluate("one => Math.max(...[...one.querySelectorAll('*')].filter("
                                "one => one.checkVisibility() && !one.closest('.keys, .unseen, .name, svg'))"
                                ".map(one => one.getBoundingClientRect().right))")  # fmt: skip
        return bool(wide <= place["x"] + place["width"] <= width)

    for width in (320, 360, 1280, 2560, 3840):
        page.set_viewport_size({"width": width, "height": 800})
        until(lambda: fits(width), f"it fits {width}, drawn anew")  # noqa: B023


def test_without_scripts_it_is_split_by_links_and_the_numbers_are_at_hand(open_page: Open, stack: Stack) -> None:
    page = open_page(java_script_enabled=False)
    page.goto(f"{stack.url}/_/?filter=method:GET")
    page.get_by_role("link", name="By replica").click()
    page.wait_for_url("**by=replica")
    assert asked(page) == "method:GET"
    page.get_by_role("link", name="as numbers").click()
    expect(page.locator("body")).to_contain_text("groups")


def test_a_viewer_that_does_not_answer_is_said_and_asked_again(open_page: Open, stack: Stack) -> None:
    page = open_page()
    page.route("**/_/api/counts**", lambda route: route.fulfill(status=200, body="{", content_type="application/json"))
    page.goto(f"{stack.url}/_/")
    expect(page.locator("#picture .state")).to_contain_text("It is tried again")
    page.unroute("**/_/api/counts**")
    expect(page.locator("#picture .frame[aria-busy=false]")).to_be_visible()
    expect(page.locator("#picture .state")).to_have_text("")


def test_a_replica_that_falls_silent_is_said(open_page: Open, own_stack: Stack, browser: Any) -> None:
    own_stack.up("--scale", 3)
    page = browser.new_page()
    with stream(own_stack, "/silence"):
        picture = look(page, own_stack, "path:/silence", "replica")
        until(lambda: sum(lanes(picture).values()) > 100, "some requests")
        stopped = own_stack.kill("webapp-2", signal.SIGSTOP)
        silent = picture.locator("li", has_text="webapp-2").locator(".share")
        expect(silent).to_have_text(re.compile(r"silent for \d+ s"))
        expect(picture.get_by_role("status")).to_have_text("webapp-2 has fallen silent.")
        expect(picture.locator(".spread")).to_contain_text("webapp-2")
        os.kill(stopped, signal.SIGCONT)  # before the stack replaces it
        expect(picture.get_by_role("status")).to_have_text("webapp-2 is back.", timeout=60_000)
    page.close()


def test_a_count_that_takes_long_is_drawn_as_it_comes(open_page: Open, stack: Stack) -> None:
    """The API is played: a first part down to the middle, and the rest when the test lets it come."""
    page = open_page()
    waiting: list[Any] = []
    middle = "2026-03-07T12:00:00.000Z"

    def part(groups: list[dict[str, Any]], next: str | None, reached: str | None) -> str:
        return json.dumps({"counts": {"groups": groups, "others": 0, "next": next, "reached": reached}}) + "\n"

    def answer(route: Any) -> None:
        if "cursor" in route.request.url:
            waiting.append(route)
        else:
            later = {"start": "2026-03-07T18:00:00.000Z", "value": None, "count": 5, "bytes": 0}
            route.fulfill(body=part([later], "a@1", middle))

    page.route("**/_/api/counts**", answer)
    page.goto(f"{stack.url}/_/?filter=since:2026-03-07%20until:2026-03-08")
    picture = page.locator("#picture")
    expect(picture.locator(".say b")).to_have_text("5")
    expect(picture.locator(".state")).to_have_text("Counting: 50 %")
    pending: Any = picture.locator(".pending").bounding_box()
    assert pending["width"] == pytest.approx(box(picture)["width"] / 2, abs=1)
    until(lambda: page.evaluate("1") and waiting, "the second question")  # the browser is heard while it is asked
    earlier = {"start": "2026-03-07T06:00:00.000Z", "value": None, "count": 2, "bytes": 0}
    waiting[0].fulfill(body=part([earlier], None, None))
    expect(picture.locator(".say b")).to_have_text("7")
    expect(picture.locator(".state")).to_have_text("")
    expect(picture.locator(".pending")).to_be_hidden()


def test_a_filter_of_the_future_is_not_counted(open_page: Open, stack: Stack) -> None:
    page = open_page()
    page.goto(f"{stack.url}/_/?filter=since:2031-01-01")
    expect(page.locator("#picture .state")).to_contain_text("leaves no time")


def test_values_beyond_the_lanes_are_drawn_together(open_page: Open, stack: Stack) -> None:
    for number in range(60):
        for _ in range(1 + (number < 8)):
            stack.send("GET", f"/many/{number}?many")
    picture = look(open_page(), stack, "target:?many", "path")
    expect(picture.locator("li")).to_have_count(9)
    expect(picture.locator("li").last).to_contain_text("all others")
    expect(picture.locator(".say b")).to_have_text("68")
    expect(picture.locator("li").last.locator(".count")).to_have_text("52")
