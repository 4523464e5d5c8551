"""Every view, in every state, for everybody: axe, widths, the keyboard alone, large text, system colours, no motion.

Plot: a shop's requests, of each kind of body, are looked at by people who see little, or nothing, who have no mouse, a
small screen or a wide one, or who get sick of what moves.
"""

import gzip
import json
import random
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from hostile import JWT
from local_stack import Stack, until
from playwright.sync_api import Browser, Page, expect
from shown_pages import png
from wire import ask

WIDTHS = (320, 360, 768, 1280, 2560, 3840)
# Beside the rules that axe has on by itself: targets of 24 px (WCAG 2.2), and those of its experiments that are sure.
RULES = [
    "target-size", "label-content-name-mismatch", "focus-order-semantics", "table-fake-caption", "td-has-header",
    "css-orientation-lock", "p-as-heading",
]  # fmt: skip
ALL = {"resultTypes": ["violations"], "rules": {rule: {"enabled": True} for rule in RULES}}
COLOURS = {"resultTypes": ["violations"], "runOnly": ["color-contrast", "link-in-text-block"]}
FOUND = """async ([part, options]) => (await axe.run(part, options)).violations.flatMap(({ id, nodes }) =>
    nodes.map(({ target, failureSummary }) => `${id} ${target}: ${failureSummary}`))"""
ORDER = json.dumps(
    {"id": 1042, "who": {"name": "Zo\u00eb", "vip": True, "note": None}, "items": [{"n": 2, "at": 19.9}]}
)
TROUBLE = {
    "status": "trouble", "words": "The database does not answer the viewer, and 7 requests wait in the spool.",
    "replicas": {"answering": 2, "silent": 1}, "spool": {"rows": 7, "bytes": 4096, "files": 1}, "database": False,
    "last_audit": {
        "finished_at": "2026-11-23T10:00:00Z", "proven": False, "sentence": "One is missing.",
        "counts": {"missing": 1, "twice": 0},
    },
    "oldest": "2026-11-22T10:00:00Z", "checked_at": "2026-11-23T10:00:00Z",
}  # fmt: skip
# What can be reached by Tab: in their order; those of a closed <details> or of the page behind a dialog are not.
REACHABLE = """() => [...document.querySelectorAll("a[href], button, input, summary, [tabindex='0']")].filter(one =>
    one.tabIndex >= 0 && !one.disabled && one.type != "hidden" && one.checkVisibility({ visibilityProperty: true }))"""
# Of what has the focus: whether it is the next of REACHABLE, whether that is seen, and whether it is in sight.
FOCUSED = """() => {
    const one = document.activeElement, all = REACHABLE, last = all.indexOf(window.last)
    const place = one.getBoundingClientRect()
    if (one == document.body) return null
    const next = !window.last?.checkVisibility() || all.indexOf(one) == last + 1
    const ring = [getComputedStyle(one), getComputedStyle(one, "::after")].some(({ outlineStyle, outlineWidth }) =>
        outlineStyle != "none" && parseFloat(outlineWidth) >= 2)
    const middle = (from, to, most) => (Math.max(from, 0) + Math.min(to, most)) / 2
    const there = document.elementFromPoint(
        middle(place.left, place.right, innerWidth), middle(place.top, place.bottom, innerHeight))
    window.last = one
    return [next, ring, Boolean(one.contains(there) || there?.contains(one)), one.outerHTML.slice(0, 200)]
}""".replace("REACHABLE", f"({REACHABLE})()")
# Texts that are cut off, but for those that are meant to be: one line of a list.
CUT = """() => [...document.querySelectorAll("main *, header *")].filter(one =>
    one.checkVisibility() && /hidden|clip/.test(getComputedStyle(one).overflow)
    && one.scrollHeight > one.clientHeight + 1
    && !one.matches(".unseen, .unseen *, .keys, #request-title, thead, label") && one.textContent.trim())
    .map(one => one.outerHTML.slice(0, 200))"""


@pytest.fixture(scope="module")
def sent(stack: Stack) -> dict[str, str]:
    """The ids of a request with each kind of body, and some others."""
    form = b"user=zo%C3%AB&password=s3cret&remember=&flag&json=%7B%22a%22%3A1%7D"
    xml = b"<?xml version='1.0'?><order id='7'><!-- two --><item sku='A-1'>walnut</item><gift/></order>"
    order = ORDER.encode()
    parts = b"".join(
        b"--b\r\nContent-Disposition: form-data; name=%s\r\nContent-Type: %s\r\n\r\n%s\r\n" % part
        for part in [
            (b"title", b"text/plain", b"My holiday"), (b'photo; filename="a.png"', b"image/png", png(300, 120)),
            (b"order", b"application/json", order), (b"bin", b"application/octet-stream", bytes(range(256))),
        ]
    ) + b"--b--\r\n"  # fmt: skip
    bodies = {
        "json": (b"application/json", order, b"Authorization: Bearer " + JWT),
        "other": (b"application/json", order.replace(b"1042", b"1043"), b"X-Shop: 1"),
        "xml": (b"text/xml", xml, b"X-Long: " + b"long" * 300),
        "form": (b"application/x-www-form-urlencoded", form, b"X: 1"),
        "parts": (b"multipart/form-data; boundary=b", parts, b"X: 1"),
        "image": (b"image/png", png(400, 240), b"X: 1"),
        "text": (b"text/plain", b"2026-01-01 12:00 started\n" * 3000, b"X: 1"),
        "hex": (b"application/octet-stream", random.Random(1).randbytes(500), b"X: 1"),
        "gzip": (b"application/json", gzip.compress(order), b"Content-Encoding: gzip"),
        "none": (b"", b"", b"X: 1"),
    }
    for number in range(12):
        stack.send("GET", f"/shop/{number % 5}?accessible")
    return {name: send(stack, b"/shop/" + name.encode(), *body) for name, body in bodies.items()}


def send(stack: Stack, path: bytes, type: bytes, body: bytes, line: bytes) -> str:
    request = b"POST %s?accessible&page=2 HTTP/1.1\r\nHost: h\r\nContent-Type: %s\r\n%s\r\nContent-Length: %d\r\n"
    answer = ask(stack.url, request % (path, type, line, len(body)) + b"Connection: close\r\n\r\n" + body)
    assert answer.status == 200
    return answer.headers["gatebook-id"]


Open = Callable[..., Page]


@pytest.fixture
def open(stack: Stack, browser: Browser, sent: dict[str, str]) -> Iterator[Open]:
    """Opens a state by its name; the names are those of STATES, and those of the bodies that were sent."""

    def open(state: str, **options: Any) -> Page:
        page = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **options}).new_page()
        path, prepare = STATES.get(state, (f"/_/requests/{sent.get(state)}?filter={SHOP}", nothing))
        if state == "gate in trouble":
            page.route("**/_/api/gate", lambda route: route.fulfill(json=TROUBLE))
        answer = page.goto(stack.url + path.format(**sent))
        assert answer and answer.status == (400 if state in ("wrong", "problem") else 200)
        if page.locator("#gate-facts").count():
            expect(page.locator("#gate-facts")).not_to_have_text("How the gate is")
        if page.locator("#picture .frame:visible").count():
            expect(page.locator("#picture .frame[aria-busy=false]")).to_be_visible()
        prepare(page)
        return page

    yield open
    for context in browser.contexts:
        context.close()


SHOP = "target:?accessible"


def fits(page: Page, width: int) -> None:
    """Nothing is beyond the right side, once what is drawn by scripts has its new place."""
    page.set_viewport_size({"width": width, "height": 800})
    page.wait_for_function("width => document.documentElement.scrollWidth <= width", arg=width, timeout=5000)


def nothing(page: Page) -> None:
    """It is as it opens."""


def offers(page: Page) -> None:
    page.locator("#filter").click()
    page.keyboard.type("m")
    expect(page.locator("#filter-offers")).to_be_visible()  # once the fields are known
    chosen = page.locator("#filter-offers [aria-selected=true]")
    until(lambda: page.keyboard.press("ArrowDown") or chosen.count(), "an offer is pointed at", every_s=0.2)
    expect(chosen).to_be_visible()


def saved(page: Page) -> None:
    page.locator("#saved summary").click()
    page.locator("#saved-name").fill("Shop")
    page.keyboard.press("Enter")
    expect(page.locator("#saved-panel").get_by_text("Delete")).to_be_visible()


def unfolded(page: Page) -> None:
    for summary in page.locator(".snippet summary").all():
        summary.click()


def keys(page: Page) -> None:
    page.keyboard.press("?")
    expect(page.locator("dialog")).to_be_visible()


def trouble(page: Page) -> None:
    expect(page.get_by_role("alert")).to_contain_text("database", timeout=10_000)


STATES: dict[str, tuple[str, Callable[[Page], None]]] = {
    "front": ("/", nothing),
    "list": (f"/_/?filter={SHOP}", nothing),
    "empty": ("/_/?filter=path:/nowhere", nothing),
    "by replica": (f"/_/?filter={SHOP}&by=replica", nothing),
    "by path": (f"/_/?filter={SHOP}+since:1h&by=path", nothing),
    "wrong": ("/_/?filter=method:POST+size:foo", nothing),
    "offers": ("/_/", offers),
    "saved": (f"/_/?filter={SHOP}", saved),
    "choosing": (f"/_/?filter={SHOP}&compare={{json}}", nothing),
    "unfolded": (f"/_/requests/{{json}}?filter={SHOP}&reveal=1", unfolded),
    "decoded": ("/_/requests/{gzip}?decoded=1", nothing),
    "as hex": ("/_/requests/{text}?view=hex&at=73728", nothing),
    "compare": ("/_/compare/{json}/{other}", nothing),
    "compare unlike": ("/_/compare/{image}/{text}", nothing),
    "keys": ("/_/", keys),
    "gate in trouble": ("/_/", trouble),
    "problem": ("/_/requests/hello", nothing),
}
BODIES = ["json", "xml", "form", "parts", "image", "text", "hex", "none"]
EVERY = [*STATES, *BODIES]


@pytest.mark.parametrize("state", EVERY)
def test_axe_finds_nothing_and_it_fits(open: Open, state: str) -> None:
    page = open(state)
    part = "html" if state in STATES else "#request"  # what is around a request is in other states
    page.evaluate(Axe().axe_script)
    for width in (1280, 360):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate(FOUND, [part, ALL]) == [], width
        page.emulate_media(color_scheme="dark")
        assert page.evaluate(FOUND, [part, COLOURS]) == [], f"{width} dark"
        page.emulate_media(color_scheme="light")
    for width in WIDTHS:
        fits(page, width)
    page.set_viewport_size({"width": 1280, "height": 800})
    assert page.evaluate(CUT) == []


@pytest.mark.parametrize("state", ["front", "list", "by replica", "wrong", "unfolded", "parts", "compare"])
def test_text_of_twice_the_size_is_cut_nowhere(open: Open, state: str) -> None:
    page = open(state)
    page.context.new_cdp_session(page).send("Page.setFontSizes", {"fontSizes": {"standard": 32, "fixed": 26}})
    for width in (640, 1280):
        fits(page, width)
        assert page.evaluate(CUT) == []
    assert page.evaluate("parseFloat(getComputedStyle(document.querySelector('h1')).fontSize)") >= 32


@pytest.mark.parametrize(
    ("state", "width"),
    [("front", 1280), ("by replica", 1280), ("by replica", 360), ("wrong", 1280), ("saved", 1280), ("unfolded", 1280),
     ("unfolded", 360), ("parts", 1280), ("compare", 1280), ("problem", 360)],
)  # fmt: skip
def test_tab_reaches_all_in_order_and_one_sees_where_one_is(open: Open, state: str, width: int) -> None:
    page = open(state, viewport={"width": width, "height": 800})
    page.evaluate("document.activeElement.blur(); getSelection().removeAllRanges(); scrollTo(0, 0)")
    page.locator("body").evaluate("one => { one.tabIndex = -1; one.focus(); one.removeAttribute('tabindex') }")
    count = page.evaluate(f"({REACHABLE})().length")
    reached = 0
    while page.keyboard.press("Tab") or (found := page.evaluate(FOCUSED)):
        *well, what = found
        assert well == [True, True, True], what
        reached += 1
    assert reached >= count - (10 if state == "saved" else 0)  # whose panel closes when it is left


def test_the_first_link_skips_what_is_above_the_requests(open: Open) -> None:
    page = open("list")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip")).to_be_focused()
    expect(page.get_by_role("link", name="Skip")).to_be_in_viewport()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.querySelector('main').contains(document.activeElement)")


def test_the_keyboard_alone_opens_looks_and_goes_back(open: Open) -> None:
    page = open("list")
    page.keyboard.press("j")
    expect(page.locator("#rows tr[aria-current] .target a")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#request")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("#request")).to_have_count(0)
    expect(page.locator("#rows tr[aria-current] .target a")).to_be_focused()
    page.keyboard.press("/")
    expect(page.locator("#filter")).to_be_focused()
    page.keyboard.press("Escape")
    page.keyboard.press("Shift+Tab")
    expect(page.locator(".brand")).to_be_focused()
    page.keyboard.press("?")
    for _ in range(5):
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement == document.body || !!document.activeElement.closest('dialog')")
    page.keyboard.press("Escape")
    expect(page.locator("dialog")).to_be_hidden()
    expect(page.locator(".brand")).to_be_focused()


def test_what_is_chosen_is_told_in_the_colours_of_the_system(open: Open) -> None:
    page = open("json", forced_colors="active")
    row = page.locator("#rows tr[aria-current]")
    assert row.evaluate("one => getComputedStyle(one).outlineStyle") == "solid"
    for chosen, other in (
        ("#request .view[aria-current]", "#request .view:not([aria-current])"),
        ("#picture nav a[aria-current]", "#picture nav a:not([aria-current])"),
    ):
        border = "one => getComputedStyle(one).borderBottomColor"
        assert page.locator(chosen).first.evaluate(border) != page.locator(other).first.evaluate(border)
    ground = "one => getComputedStyle(one).backgroundColor"
    pressed = page.locator("#follow").evaluate(ground)
    page.locator("#follow").click()
    page.mouse.move(0, 0)
    assert page.locator("#follow").evaluate(ground) != pressed
    fill = page.locator("#picture .bars").first.evaluate("one => getComputedStyle(one).fill")
    assert fill != page.evaluate(ground.replace("one =>", "((one) =>") + ")(document.documentElement)")


def test_nothing_moves_for_those_who_do_not_wish_it(open: Open, stack: Stack) -> None:
    for wish, moves in (("reduce", False), ("no-preference", True)):
        page = open("list", reduced_motion=wish)
        expect(page.locator("#live")).to_have_text("Live")
        page.evaluate("window.moved = 0; document.addEventListener('animationstart', () => window.moved++)")
        id = send(stack, b"/shop/moves", b"", b"", b"X: 1")
        expect(page.locator(f"#rows tr[data-id='{id}']")).to_be_visible()
        if moves:
            until(lambda: page.evaluate("window.moved"), "it lights up")  # noqa: B023
        assert (page.evaluate("window.moved + document.getAnimations().length") > 0) == moves
        assert not page.evaluate("getComputedStyle(document.documentElement).scrollBehavior == 'smooth'")


def test_a_screen_reader_has_the_table_its_sizes_and_what_happens(open: Open) -> None:
    page = open("list")
    table = page.get_by_role("table", name=re.compile("Requests that match"))
    expect(table.get_by_role("columnheader")).to_have_count(8)
    assert int(table.get_attribute("aria-rowcount") or 0) > 20
    page.locator("#rows .target a").first.click()
    expect(page.locator("#said")).to_have_text(re.compile("POST /shop"))
    for width in (1280, 360):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.get_by_role("heading", level=1).count() == 1
