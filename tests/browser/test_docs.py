"""The page at `/_/api/docs` in a real browser, from the real stack, asking the real API."""

import re

import pytest
from chromium import Open
from local_stack import Stack
from playwright.sync_api import Locator, Page, expect
from wire import ask

HOSTILE = b"<script>alert(1)</script><img src=x onerror=alert(2)>"


def docs(open_page: Open, stack: Stack, **options: object) -> Page:
    """The page, drawn. The fixture fails the test if the browser complains or asks another host."""
    page = open_page(**options)
    page.goto(f"{stack.url}/_/api/docs")
    expect(page.locator(".opblock").first).to_be_visible()
    return page


def opened(page: Page, operation: str) -> Locator:
    block = page.locator(f"#operations-{operation}")
    block.locator(".opblock-summary-control").click()
    expect(block.locator(".opblock-body")).to_be_visible()
    return block


def test_it_shows_every_operation_and_every_field(open_page: Open, stack: Stack) -> None:
    page = docs(open_page, stack)
    document = page.request.get(f"{stack.url}/_/api/openapi.json").json()
    shown = page.locator(".opblock .opblock-summary-path")
    expect(shown).to_have_count(sum(len(operations) for operations in document["paths"].values()))
    assert {path.replace("\u200b", "") for path in shown.all_inner_texts()} == set(document["paths"])
    expect(page.get_by_role("cell", name="json.A.B")).to_be_visible()
    expect(page.get_by_role("heading", name="Filters")).to_be_visible()
    expect(page.locator(".errors-wrapper")).to_have_count(0)


def test_a_request_can_be_tried_and_what_was_captured_stays_text(open_page: Open, stack: Stack) -> None:
    head = b"POST /tried-%b HTTP/1.1\r\nHost: h\r\nX-Hostile: %b\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
    target = HOSTILE.replace(b" ", b"_")
    assert ask(stack.url, head % (target, HOSTILE, len(HOSTILE)) + HOSTILE).status == 200
    page = docs(open_page, stack)
    block = opened(page, "requests-list_requests")
    block.get_by_placeholder("filter").fill('target:tried- header.x-hostile:"<script>"')
    block.get_by_role("button", name="Execute").click()
    answer = block.locator(".live-responses-table")
    expect(answer.locator(".response-col_status").last).to_contain_text("200")
    expect(answer.locator(".response-col_description").last).to_contain_text(HOSTILE.decode())
    assert answer.locator("script, img[src=x]").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_every_width_in_light_and_dark(open_page: Open, stack: Stack, scheme: str) -> None:
    page = docs(open_page, stack, color_scheme=scheme)
    opened(page, "requests-list_requests")
    opened(page, "requests-one_body")
    for width in (320, 360, 1280, 2560):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    ground = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    text = page.locator(".info h1").evaluate("one => getComputedStyle(one).color")
    light, dark = sorted((sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in (ground, text)), reverse=True)
    assert light > 550 and dark < 250
    assert (sum(map(int, re.findall(r"\d+", ground)[:3])) > 380) is (scheme == "light")


def test_it_follows_a_change_of_the_colour_scheme(open_page: Open, stack: Stack) -> None:
    page = docs(open_page, stack, color_scheme="light")
    expect(page.locator("html")).not_to_have_class("dark-mode")
    page.emulate_media(color_scheme="dark")
    expect(page.locator("html")).to_have_class("dark-mode")


def test_without_javascript_it_says_where_the_document_is(open_page: Open, stack: Stack) -> None:
    page = open_page(java_script_enabled=False)
    page.goto(f"{stack.url}/_/api/docs")
    page.get_by_role("link", name="openapi.json").click()
    page.wait_for_url("**/_/api/openapi.json")


def test_looking_at_it_records_nothing(open_page: Open, stack: Stack) -> None:
    page = docs(open_page, stack)
    before = stack.sql("SELECT count(*) FROM requests")
    page.reload()
    expect(page.locator(".opblock").first).to_be_visible()
    assert stack.sql("SELECT count(*) FROM requests") == before
