"""The filter box of the viewer in a real browser, from the real stack.

Plot: somebody who has no mouse writes filters with the help of what is offered, makes mistakes, goes back, keeps some
of them; others have sent requests that would like to be code.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from chromium import Open, watched
from local_stack import Stack
from playwright.sync_api import Browser, Locator, Page, expect
from wire import ask
from written_terms import BOTH, TERMS

from gatebook.viewer import pages

STATIC = Path(pages.__file__).parent / "static"
WIDTHS = (320, 360, 1280, 2560)
HOSTILE = ['<img/src=x/onerror="alert(1)">', '"><script>alert(1)</script>', "</li><svg/onload=alert(1)>"]
WRONG = "size>1XB method:POST"
EXPECTED = ("a status of 400", "a status of 503")  # of what a test asks for, which the browser says by itself


@pytest.fixture
def open_list(stack: Stack, browser: Browser) -> Iterator[Open]:
    """Opens the list with a filter, in a new context or, with `page`, where that is; nothing may be complained of."""
    with watched(browser, stack.url, *EXPECTED) as new:

        def open(filter: str = "", page: Page | None = None, **options: Any) -> Page:
            path = f"/_/?filter={quote(filter)}" if filter else "/_/"
            if page is None:
                return new(path, **options)
            page.goto(stack.url + path)
            return page

        yield open


def send(stack: Stack, target: str, method: str = "GET", **headers: str) -> None:
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    request = f"{method} {target} HTTP/1.1\r\nHost: h\r\n{lines}Connection: close\r\n\r\n"
    assert ask(stack.url, request.encode()).status == 200


def box(page: Page) -> Locator:
    """The box, focused, closed, when what it offers is known to it."""
    found = page.locator("#filter")
    written = found.input_value()
    found.fill("")
    page.keyboard.press("ArrowDown")
    expect(page.locator("#filter-offers bdi").get_by_text("method:", exact=True)).to_be_visible()
    page.keyboard.press("Escape")
    found.fill(written)
    page.keyboard.press("Escape")
    return found


def offered(page: Page) -> list[str]:
    return page.locator("#filter-offers:visible [role=option] bdi").all_text_contents()


def pointed_at(page: Page) -> str:
    """What a screen reader reads as the active option."""
    return page.evaluate(
        "document.getElementById(document.activeElement.getAttribute('aria-activedescendant'))?.firstChild.textContent"
    )


def filter_of(page: Page) -> str:
    """As the address says."""
    return parse_qs(urlsplit(page.url).query).get("filter", [""])[0]


def find(page: Page, filter: str) -> None:
    """Writes it, and asks for it by Enter."""
    box(page).fill(filter)
    page.keyboard.press("Escape")
    with page.expect_navigation():
        page.keyboard.press("Enter")


def module(page: Page, name: str, expression: str, argument: object) -> Any:
    """What an expression gives that has the module `m` and the argument `a`."""
    return page.evaluate(
        f"async ([code, a]) => {{ const m = await import('data:text/javascript,' + encodeURIComponent(code));"
        f" return {expression} }}",
        [STATIC.joinpath(name).read_text(), argument],
    )


# Filters written by the program


def test_javascript_writes_the_same_terms_as_python(browser: Browser) -> None:
    page = browser.new_page()
    terms = module(page, "filter_text.js", "a.map(one => m.term(...one))", [list(asked) for asked, _ in TERMS])
    assert terms == [expected for _, expected in TERMS]
    combined = module(page, "filter_text.js", "a.map(one => m.both(...one))", [[one, two] for one, two, _ in BOTH])
    assert combined == [expected for _, _, expected in BOTH]
    page.close()


ZOOMED = [
    ("", "since:1970-01-01T00:00:00.001Z until:1970-01-01T00:00:01.000Z", ""),
    ("a since:1h b", "a b since:1970-01-01T00:00:00.001Z until:1970-01-01T00:00:01.000Z", "a b"),
    ("a AND since=1h AND NOT until:2h", "a since:1970-01-01T00:00:00.001Z until:1970-01-01T00:00:01.000Z", "a"),
    ("-(since:1h) x", "-(since:1h) x since:1970-01-01T00:00:00.001Z until:1970-01-01T00:00:01.000Z", "-(since:1h) x"),
    ("a OR since:1h", "(a OR since:1h) since:1970-01-01T00:00:00.001Z until:1970-01-01T00:00:01.000Z", "a OR since:1h"),
    ('"since:1h" sincere', '"since:1h" sincere since:1970-01-01T00:00:00.001Z until:1970-01-01T00:00:01.000Z', None),
]


def test_a_zoom_replaces_the_times_that_stand_beside_the_other_terms(browser: Browser) -> None:
    page = browser.new_page()
    for filter, zoomed, unzoomed in ZOOMED:
        assert module(page, "filter_text.js", "m.zoomed(a, 1, 1000)", filter) == zoomed
        assert module(page, "filter_text.js", "m.unzoomed(a)", filter) == (filter if unzoomed is None else unzoomed)
    assert module(page, "filter_text.js", "m.zoomed(a, '15m', null)", "since:1h a until:1m") == "a since:15m"
    page.close()


# Offers


def test_fields_operators_and_values_are_written_by_keyboard(open_list: Open, stack: Stack) -> None:
    send(stack, "/offers/one?page=2", "PROPFIND", X_Event="push")
    page = open_list()
    field = box(page)
    page.keyboard.type("met")
    assert offered(page) == ["method:"]
    expect(field).to_have_attribute("aria-expanded", "true")
    page.keyboard.press("Tab")  # of a word that is begun, the first
    expect(field).to_have_value("method:")
    page.keyboard.type("prop")
    page.keyboard.press("ArrowDown")
    assert pointed_at(page) == "PROPFIND"
    page.keyboard.press("Enter")
    expect(field).to_have_value("method:PROPFIND")
    expect(field).to_have_attribute("aria-expanded", "false")
    page.keyboard.type(" -header.x-e")
    page.keyboard.press("Tab")
    expect(field).to_have_value("method:PROPFIND -header.x-event")
    assert offered(page)[:2] == ["header.x-event:", "header.x-event="]
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.keyboard.type("pu")
    page.keyboard.press("Tab")
    expect(field).to_have_value("method:PROPFIND -header.x-event=push")
    with page.expect_navigation():
        page.keyboard.press("Enter")
    assert filter_of(page) == "method:PROPFIND -header.x-event=push"


def test_arrows_go_around_escape_closes_and_tab_goes_on(open_list: Open) -> None:
    page = open_list()
    box(page)
    page.keyboard.press("ArrowDown")
    count = len(offered(page))
    assert count > 3
    first = pointed_at(page)
    page.keyboard.press("ArrowUp")
    assert pointed_at(page) == offered(page)[-1]
    page.keyboard.press("ArrowDown")
    assert pointed_at(page) == first
    page.keyboard.press("Escape")
    assert offered(page) == [] and pointed_at(page) is None
    expect(page.locator("#filter")).to_have_value("")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Find")).to_be_focused()
    page.keyboard.press("Shift+Tab")
    page.keyboard.type("size>")
    assert offered(page)
    page.keyboard.press("Tab")  # nothing is begun and nothing pointed at
    expect(page.get_by_role("button", name="Find")).to_be_focused()


def test_numbers_have_all_their_operators_and_paths_what_lies_below(open_list: Open, stack: Stack) -> None:
    send(stack, "/below/a/b")
    page = open_list()
    box(page)
    page.keyboard.type("siz")
    page.keyboard.press("Tab")
    assert offered(page) == [f"size{sign}" for sign in (":", "=", ">", ">=", "<", "<=")]
    box(page).fill("path:/bel")
    assert offered(page) == ["/below/a/b", "/below/*", "/below/a/*"]


def test_hostile_values_are_offered_as_text_and_written_as_they_are(open_list: Open, stack: Stack) -> None:
    for value in HOSTILE:
        send(stack, "/hostile", "GET", X_Hostile=value)
    send(stack, "/hostile", "GET", X_Hostile="\u202egnp.exe")
    page = open_list()
    for value in HOSTILE:
        field = box(page)
        field.fill(f"header.x-hostile={value[:3]}" if '"' not in value[:3] else "header.x-hostile=")
        assert value in offered(page)
        assert not any("\u202e" in text for text in offered(page)), "what hides or reorders text"
        while pointed_at(page) != value:
            page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")
        with page.expect_navigation():
            page.keyboard.press("Enter")
        assert page.locator("#list tbody tr").count() == 1
    assert page.locator("#finder img, #finder script, #finder svg").count() == 0


def test_live_requests_are_offered_while_the_box_is_in_use(open_list: Open, stack: Stack) -> None:
    page = open_list()
    expect(page.locator("#live")).to_have_text("Live")
    box(page)
    send(stack, "/just-now")
    expect(page.locator("#list tbody")).to_contain_text("/just-now")
    page.keyboard.type("path:/just")
    assert offered(page)[0] == "/just-now"


# Mistakes


@pytest.mark.parametrize("scripts", [True, False])
def test_a_page_says_what_is_wrong_with_its_filter_and_where(open_list: Open, scripts: bool) -> None:
    page = open_list(WRONG, java_script_enabled=scripts)
    field = page.locator("#filter")
    expect(field).to_have_value(WRONG)
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(field).to_have_accessible_description("size>1XB: expected a size such as 1MB, at character 6")
    mark = page.locator("#finder mark")
    expect(mark).to_have_text("1")
    if scripts:  # in the box, under the character; in a monospaced type all are as wide as each other
        left = (
            "one => one.getBoundingClientRect().left - document.querySelector('#filter').getBoundingClientRect().left"
        )
        width = mark.evaluate("one => one.getBoundingClientRect().width")
        assert (
            abs(
                mark.evaluate(left)
                - (5 * width + field.evaluate("one => parseFloat(getComputedStyle(one).paddingLeft)"))
            )
            < 2
        )


def test_a_mistake_is_marked_while_writing_and_is_not_asked_for(open_list: Open) -> None:
    page = open_list("method:GET")
    field = box(page)
    field.fill(WRONG)
    expect(page.locator("#filter-says")).to_have_text(re.compile("expected a size such as 1MB"))
    expect(page.locator("#finder mark")).to_have_text("1")
    page.keyboard.press("Enter")
    expect(field).to_be_focused()
    assert page.evaluate(
        "[filter.selectionStart, filter.selectionEnd]".replace("filter", "document.activeElement")
    ) == [5, 6]
    assert filter_of(page) == "method:GET"
    field.fill("size>1MB")
    expect(page.locator("#filter-wrong")).to_be_hidden()
    expect(field).not_to_have_attribute("aria-invalid", "true")
    with page.expect_navigation():
        page.keyboard.press("Enter")
    assert filter_of(page) == "size>1MB"


def test_a_word_that_is_being_written_is_not_wrong_yet(open_list: Open) -> None:
    page = open_list()
    box(page)
    with page.expect_response("**/_/api/filter/check?*"):
        page.keyboard.type("since:1")
    expect(page.locator("#filter-wrong")).to_be_hidden()
    page.keyboard.press("Escape")
    page.keyboard.press("Enter")
    expect(page.locator("#filter-says")).to_have_text(re.compile("at character 7"))


def test_a_mistake_behind_other_planes_is_marked_where_it_is(open_list: Open) -> None:
    page = open_list("😀😀 size>x y")
    expect(page.locator("#finder mark")).to_have_text("x")
    box(page).fill('"😀" size>😀 y')
    expect(page.locator("#finder mark")).to_have_text("😀")


def test_hostile_filters_are_shown_as_text(open_list: Open) -> None:
    for scripts in (True, False):
        for value in HOSTILE:
            page = open_list(f"nothing:{value}", java_script_enabled=scripts)
            expect(page.locator("#filter")).to_have_value(f"nothing:{value}")
            assert page.locator("#finder img, #finder script, #finder svg").count() == 0


def test_without_an_answer_to_the_check_the_server_is_asked_for_the_page(open_list: Open) -> None:
    page = open_list()
    page.route("**/_/api/filter/check?*", lambda route: route.fulfill(status=503, body="{}"))
    find(page, "method:GET")
    assert filter_of(page) == "method:GET"


# Where one is


def test_the_filter_is_in_the_address_and_back_goes_back(open_list: Open, stack: Stack) -> None:
    page = open_list()
    find(page, "method:GET")
    find(page, "method:GET -path:/favicon.ico")
    assert filter_of(page) == "method:GET -path:/favicon.ico"
    for filter in ("method:GET", ""):
        page.go_back()
        expect(page.locator("#filter")).to_have_value(filter)
        assert filter_of(page) == filter
    page.go_forward()
    expect(page.locator("#filter")).to_have_value("method:GET")


def test_without_javascript_the_form_does_it(open_list: Open) -> None:
    page = open_list(java_script_enabled=False)
    page.locator("#filter").fill('method:GET "a b" OR ü')
    page.keyboard.press("Enter")
    page.wait_for_url("**/_/?filter=*")
    assert filter_of(page) == 'method:GET "a b" OR ü'
    expect(page.locator("#filter")).to_have_value('method:GET "a b" OR ü')
    expect(page.locator("#saved")).to_be_hidden()


def test_what_the_list_is_split_by_stays(open_list: Open, stack: Stack) -> None:
    page = open_list()
    page.goto(f"{stack.url}/_/?by=method")
    find(page, "method:GET")
    assert parse_qs(urlsplit(page.url).query)["by"] == ["method"]


# Filters that are kept


def test_filters_that_were_used_are_offered_first(open_list: Open) -> None:
    page = open_list()
    for number in range(14):
        open_list(f"path:/{number}", page)
    open_list("path:/3", page)
    open_list(WRONG, page)
    open_list("", page)
    box(page)
    page.keyboard.press("ArrowDown")
    assert [text for text in offered(page) if text.startswith("path:/")] == [
        f"path:/{at}" for at in (3, 13, 12, 11, 10)
    ]
    page.keyboard.press("Escape")
    saved(page)
    used = page.locator("#saved-panel li").all_text_contents()
    assert used == [f"path:/{number}" for number in (3, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 2)]


def saved(page: Page) -> None:
    page.get_by_text("Saved", exact=True).focus()
    page.keyboard.press("Enter")
    expect(page.locator("#saved-name")).to_be_visible()


def save(page: Page, name: str) -> None:
    page.locator("#saved-name").focus()
    page.keyboard.type(name)
    page.keyboard.press("Enter")


def test_a_filter_is_saved_found_renamed_and_deleted_by_keyboard(open_list: Open) -> None:
    page = open_list("method:GET OR method:HEAD")
    saved(page)
    save(page, "reads")
    expect(page.locator("#saved-panel [role=status]")).to_have_text("Saved reads.")
    expect(page.locator("#saved-name")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_text("Saved", exact=True)).to_be_focused()
    open_list("", page)
    box(page).fill("status:200 rea")
    page.keyboard.press("ArrowDown")
    assert pointed_at(page) == "reads"
    page.keyboard.press("Enter")
    expect(page.locator("#filter")).to_have_value("status:200 (method:GET OR method:HEAD)")
    saved(page)
    page.get_by_role("button", name="Rename reads").focus()
    page.keyboard.press("Enter")
    page.keyboard.type("just read")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Delete just read").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Undo")).to_be_focused()
    page.keyboard.press("Enter")
    link = page.get_by_role("link", name="just read")
    link.focus()
    with page.expect_navigation():
        page.keyboard.press("Enter")
    assert filter_of(page) == "method:GET OR method:HEAD"


def test_what_is_wrong_or_empty_is_not_saved(open_list: Open) -> None:
    page = open_list()
    saved(page)
    save(page, "nothing")
    expect(page.locator("#saved-panel [role=status]")).to_have_text("Not saved: there is no filter to save")
    page.locator("#filter").fill(WRONG)
    page.keyboard.press("Escape")
    saved(page)
    save(page, "wrong")
    expect(page.locator("#saved-panel [role=status]")).to_have_text(re.compile("^Not saved: size>1XB"))


def test_a_rename_never_replaces_another_filter(open_list: Open) -> None:
    page = open_list("method:GET")
    keep(page, [{"name": "a", "filter": "x"}, {"name": "b", "filter": "y"}])
    saved(page)
    page.get_by_role("button", name="Rename a").click()
    page.keyboard.type("b")
    page.keyboard.press("Enter")
    expect(page.locator("#saved-panel [role=status]")).to_have_text("Not renamed: there is a b already")


def keep(page: Page, named: object, recent: object = ()) -> None:
    for key, value in (("named", named), ("recent", recent)):
        page.evaluate("([key, text]) => localStorage.setItem(key, text)", [f"gatebook.{key}", json.dumps(value)])
    page.reload()


def test_whatever_is_stored_the_box_works(open_list: Open) -> None:
    page = open_list()
    for odd in (
        "null",
        "{}",
        "[1, null, {}]",
        "no JSON",
        '[{"name": {}, "filter": []}, {"name": "x", "filter": "\\ud800"}]',
    ):
        for key in ("named", "recent"):
            page.evaluate("([key, text]) => localStorage.setItem(key, text)", [f"gatebook.{key}", odd])
        page.reload()
        box(page)
        page.keyboard.press("ArrowDown")
        assert "method:" in offered(page)
        page.keyboard.press("Escape")
        saved(page)
        assert page.locator("#saved-panel li:visible").count() == 0
    keep(page, [{"name": value, "filter": value} for value in HOSTILE], HOSTILE)
    saved(page)
    assert sorted(page.locator("#saved-panel bdi").all_text_contents()) == sorted(HOSTILE)
    assert page.locator("#saved-panel :is(img, script, svg)").count() == 0


# How it looks


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_every_width_and_has_no_barrier(open_list: Open, stack: Stack, scheme: str) -> None:
    send(stack, "/" + "long" * 40)
    page = open_list(WRONG, color_scheme=scheme)
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 700})
        for opened in (offers_below, saved):
            opened(page)
            for part in page.locator("#finder, #filter-offers:visible, #saved-panel:visible, #filter-field").all():
                shape = part.bounding_box()
                assert shape and shape["x"] >= 0 and shape["x"] + shape["width"] <= width
            found = Axe().run(
                page, context="#finder", options={"runOnly": ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa"]}
            )
            assert found.violations_count == 0, found.generate_report()
            page.keyboard.press("Escape")


def offers_below(page: Page) -> None:
    page.locator("#filter").fill("path:/l")
    page.locator("#filter").fill("")
    expect(page.locator("#filter-offers")).to_be_visible()
    page.keyboard.press("ArrowDown")
