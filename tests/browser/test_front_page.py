"""The page at `/` in a real browser, from the real stack.

Plot: a visitor opens it, with JavaScript and without, wide and narrow, light and dark, by mouse and by keyboard, while
others send requests, some of them hostile.
"""

import re

import pytest
from chromium import Open
from local_stack import Stack
from playwright.sync_api import Page, expect
from wire import ask

WIDTHS = (320, 360, 1280, 2560, 3840)
HOSTILE = [
    b"/<script>alert(1)</script>",
    b"/\"'><img/src=x/onerror=alert(1)>",
    b"/</td></table><svg/onload=alert(1)>",
    b"/<!--own-->&lt;b&gt;&#60;",
    "/grüße/中文/😀".encode(),
    b"/latin/gr\xfc\xdfe\x80\x9b",
    "/\u202egnp.exe/\u2028\u200b\u00a0\u00ad".encode(),
    b"/" + 100 * "é€😀".encode(),
    b"/x" + 100 * "é€😀".encode(),
    b"/" + b"long" * 4000,
]
# The contrast of all text with what is behind it, by WCAG's formula: the lowest of the page, and of what.
CONTRAST = """() => {
    const rgb = colour => colour.match(/[\\d.]+/g).map(Number)
    const light = colour => rgb(colour).slice(0, 3).map(part => part / 255)
        .map(part => part <= .04045 ? part / 12.92 : ((part + .055) / 1.055) ** 2.4)
        .reduce((sum, part, place) => sum + part * [.2126, .7152, .0722][place], 0)
    const behind = one => { const { backgroundColor } = getComputedStyle(one)
        return rgb(backgroundColor)[3] === 0 ? behind(one.parentElement) : backgroundColor }
    const lowest = [99, ""], texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
    while (texts.nextNode()) {
        const one = texts.currentNode.parentElement
        if (!one.checkVisibility() || !texts.currentNode.data.trim()) continue
        const [a, b] = [light(getComputedStyle(one).color), light(behind(one))].sort((a, b) => b - a)
        const ratio = (a + .05) / (b + .05)
        if (ratio < lowest[0]) lowest.splice(0, 2, ratio, texts.currentNode.data)
    }
    return lowest
}"""


def send(stack: Stack, target: bytes, method: bytes = b"GET") -> str:
    """One raw request; its id."""
    answer = ask(stack.url, method + b" " + target + b" HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
    assert answer.status == 200
    return answer.headers["gatebook-id"]


def recorded(stack: Stack) -> int:
    return int(stack.sql("SELECT count(*) FROM requests"))


def own_id(page: Page) -> str:
    return (page.locator("#own a").get_attribute("href") or "").rpartition("/")[2]


def row(page: Page, id: str) -> list[str]:
    """The texts of a row's cells, but for the time, and its replica's colour."""
    cells = page.locator(f"tr:has(a[href$='{id}']) td")
    return [*cells.all_text_contents()[1:], cells.nth(4).get_attribute("class") or ""]


def lanes(page: Page) -> str:
    return re.sub(r"[\s\"]", "", page.locator("#lanes").inner_html())


def live(page: Page) -> Page:
    expect(page.get_by_role("status")).to_have_text("Live")
    return page


def test_the_own_request_is_on_top_and_said_to_be_the_own(open_page: Open, stack: Stack) -> None:
    for scripts in (True, False):
        earlier = send(stack, b"/earlier")
        page = open_page(java_script_enabled=scripts)
        links = page.locator("tbody a")
        assert (links.nth(1).get_attribute("href") or "").endswith(earlier)
        assert stack.sql("SELECT id FROM requests WHERE target = '/' ORDER BY id DESC LIMIT 1") == own_id(page)
        heading = page.get_by_role("rowheader", name="Your request")
        expect(heading).to_have_text(f"Your request was recorded by {row(page, own_id(page))[3]} as {own_id(page)}")
        own, other = page.locator("#own"), page.locator("#others")
        assert own.bounding_box()["y"] < other.bounding_box()["y"]  # type: ignore[index]
        backgrounds = [part.evaluate("one => getComputedStyle(one).backgroundColor") for part in (own, other)]
        assert backgrounds[0] != backgrounds[1]


def test_a_reload_is_the_new_own_request(open_page: Open) -> None:
    page = open_page()
    first = own_id(page)
    page.reload()
    assert own_id(page) != first
    assert (page.locator("#others a").first.get_attribute("href") or "").endswith(first)


def test_the_policy_is_sent(open_page: Open) -> None:
    page = open_page()
    answer = page.reload()
    assert answer and "script-src 'sha256-" in answer.headers["content-security-policy"]
    assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_it_refreshes_itself_and_records_nothing_by_it(open_page: Open, stack: Stack) -> None:
    page = live(open_page())
    mine, before, table = own_id(page), recorded(stack), page.locator("table").bounding_box()
    newest = sorted((send(stack, b"/while-open/%d" % number) for number in range(30)), reverse=True)[:24]
    expect(page.locator("#others a").first).to_have_attribute("href", re.compile(newest[0]))
    assert page.locator("#others tr:has(a)").evaluate_all("rows => rows.map(row => row.id)") == newest
    assert page.locator("tbody a").count() == 25
    assert own_id(page) == mine
    assert page.locator("table").bounding_box()["y"] == table["y"]  # type: ignore[index]
    assert recorded(stack) == before + 30


def test_the_list_is_asked_for_once_and_each_request_comes_by_itself(open_page: Open, stack: Stack) -> None:
    page = live(open_page())
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    for number in range(5):
        id = send(stack, b"/by-itself/%d" % number)
        expect(page.locator("#others a").first).to_have_attribute("href", re.compile(id))
    assert not asked
    live(page)


def test_without_javascript_all_is_there_and_nothing_is_offered_that_needs_it(open_page: Open, stack: Stack) -> None:
    send(stack, b"/seen-without-scripts", b"PROPFIND")
    page = open_page(java_script_enabled=False)
    assert row(page, own_id(page))[:2] == ["GET", "/"]
    expect(page.locator("#others tr:has(a)").first).to_contain_text("PROPFIND")
    assert page.locator("#say").evaluate("one => one.innerText") == "Reload for newer ones"
    expect(page.get_by_role("button")).to_have_count(0)
    expect(page.locator("code")).to_have_text(f"curl -d hello {stack.url}/any/path")
    mine = own_id(page)
    page.locator("#own a").click()
    page.wait_for_url(f"{stack.url}/_/requests/{mine}")


def test_hostile_requests_run_nothing_and_look_the_same_from_server_and_script(open_page: Open, stack: Stack) -> None:
    page = live(open_page())
    sent = [send(stack, target) for target in HOSTILE]
    expect(page.locator(f"#others a[href$='{sent[-1]}']")).to_be_visible()
    by_script = {id: row(page, id) for id in sent}
    fresh = open_page(java_script_enabled=False)
    assert by_script == {id: row(fresh, id) for id in sent}
    assert [by_script[id][1] for id in sent[:5]] == [target.decode() for target in HOSTILE[:5]]
    assert by_script[sent[5]][1] == "/latin/grüße\ufffd\ufffd"
    assert page.locator("td *:not(a, time)").count() == fresh.locator("td *:not(a, time)").count() == 0


def test_the_picture_is_the_same_from_server_and_script(open_page: Open, stack: Stack) -> None:
    for _ in range(25):
        send(stack, b"/lane")
    page = open_page()
    before = lanes(page)
    expect(page.locator("#lanes span")).to_have_count(3)
    assert sum(map(int, page.locator("#lanes span").all_text_contents())) == 25
    live(page)
    assert lanes(page) == before
    for _ in range(3):
        send(stack, b"/lane")
    newest = open_page(java_script_enabled=False)
    page.reload()
    assert lanes(newest) != before
    live(page)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("scripts", [True, False])
def test_it_fits_every_width_and_can_be_read(open_page: Open, stack: Stack, scheme: str, scripts: bool) -> None:
    for target in HOSTILE:
        send(stack, target, b"VERSION-CONTROL")
    page = open_page(java_script_enabled=scripts, color_scheme=scheme)
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        overflowing = "all => all.filter(one => one.scrollWidth > one.clientWidth + 1).map(one => one.textContent)"
        assert page.locator("td, th[scope], h1, h2, p, code, li > b").evaluate_all(overflowing) == []
    ratio, text = page.evaluate(CONTRAST)
    assert ratio >= 4.5, text


def test_dark_is_dark_and_light_is_light(open_page: Open) -> None:
    ground = "getComputedStyle(document.documentElement).backgroundColor"
    shades = {scheme: open_page(color_scheme=scheme).evaluate(ground) for scheme in ("light", "dark")}
    brightness = {scheme: sum(map(int, re.findall(r"\d+", shade))) for scheme, shade in shades.items()}
    assert brightness["light"] > 600 and brightness["dark"] < 150


def test_the_keyboard_reaches_the_copy_button_and_the_requests(open_page: Open, stack: Stack) -> None:
    page = open_page(permissions=["clipboard-read", "clipboard-write"])
    page.keyboard.press("Tab")
    copy = page.get_by_role("button", name="Copy")
    expect(copy).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Copied")).to_be_focused()
    assert page.evaluate("navigator.clipboard.readText()").strip() == f"curl -d hello {stack.url}/any/path"
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Pause")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.locator("#own a")).to_be_focused()
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    mine = own_id(page)
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/_/requests/{mine}")
    assert mine in page.locator("body").inner_text()


def test_it_can_be_paused_and_waits_while_the_keyboard_is_in_the_list(open_page: Open, stack: Stack) -> None:
    page = live(open_page())
    pause = page.get_by_role("button", name="Pause")
    pause.click()
    expect(page.get_by_role("status")).to_have_text("Paused")
    expect(pause).to_have_attribute("aria-pressed", "true")
    missed = send(stack, b"/while-paused")
    seen = live(open_page())  # by then a page that is not paused has it
    expect(seen.locator(f"#others a[href$='{missed}']")).to_be_visible()
    expect(page.locator(f"#others a[href$='{missed}']")).to_have_count(0)
    pause.click()
    expect(page.locator(f"#others a[href$='{missed}']")).to_be_visible()
    live(page)
    pause.focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    expect(page.locator("#others a").first).to_be_focused()
    expect(page.get_by_role("status")).to_have_text("Paused")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Shift+Tab")
    live(page)


def visible(page: Page, is_visible: bool) -> None:
    """What a tab tells its page when it is hidden and shown."""
    if is_visible:
        page.evaluate("delete document.hidden")
    else:
        page.evaluate("Object.defineProperty(document, 'hidden', { value: true, configurable: true })")
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")


@pytest.mark.parametrize(
    ("away", "kind"), [("**/_/api/requests*", "application/json"), ("**/_/api/events", "text/event-stream")]
)
def test_it_says_when_it_is_not_live_and_recovers(open_page: Open, stack: Stack, away: str, kind: str) -> None:
    for _ in range(25):
        send(stack, b"/before")  # as many as it shows
    page = live(open_page())
    page.route(away, lambda route: route.fulfill(status=200, body="", content_type=kind))
    visible(page, False)
    expect(page.get_by_role("status")).to_have_text("Paused")
    with page.expect_response(away):
        visible(page, True)
    expect(page.get_by_role("status")).to_have_text("Not live, retrying")
    assert page.locator("tbody a").count() == 25
    with page.expect_response(away):
        pass  # it tries again
    page.unroute(away)
    id = send(stack, b"/while-away")
    live(page)
    expect(page.locator(f"#others a[href$='{id}']")).to_be_visible()


def test_it_asks_for_nothing_while_it_is_hidden(open_page: Open, stack: Stack) -> None:
    page = live(open_page())
    visible(page, False)
    expect(page.get_by_role("status")).to_have_text("Paused")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    id = send(stack, b"/while-hidden")
    expect(live(open_page()).locator(f"#others a[href$='{id}']")).to_be_visible()
    assert not asked
    expect(page.locator(f"#others a[href$='{id}']")).to_have_count(0)
    visible(page, True)
    expect(page.locator(f"#others a[href$='{id}']")).to_be_visible()


def test_new_rows_move_only_where_motion_is_welcome(open_page: Open, stack: Stack) -> None:
    for motion, animation in (("no-preference", "new"), ("reduce", "none")):
        page = live(open_page(reduced_motion=motion))
        id = send(stack, b"/moves")
        fresh = page.locator(f"#others tr:has(a[href$='{id}'])")
        assert fresh.evaluate("one => getComputedStyle(one).animationName") == animation


def test_times_are_local_with_utc_at_hand(open_page: Open) -> None:
    page = open_page(timezone_id="Asia/Kathmandu")
    time = page.locator("#own time")
    utc = time.get_attribute("datetime") or ""
    assert time.get_attribute("title") == utc and utc.endswith("Z")
    minutes = [int(clock[:2]) * 60 + int(clock[3:5]) for clock in (time.inner_text()[-12:], utc[11:])]
    assert (minutes[0] - minutes[1]) % (24 * 60) == 5 * 60 + 45
