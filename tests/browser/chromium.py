"""A real browser for the tests beside this file: Debian's chromium, driven by Playwright."""

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from local_stack import Stack
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

# The last three keep the browser from asking its maker for updates while it is tested.
ARGUMENTS = ["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
Open = Callable[..., Page]
AWAY = "Failed to load resource"  # what the browser itself says of an answer that is an error

# For what takes a second or two: a page looks again after 3 or 5 s, and the machine may do other things as well.
expect.set_options(timeout=30_000)


@pytest.fixture(scope="module")  # while Playwright runs, so does its event loop, and nobody else can have one
def browser() -> Iterator[Browser]:
    """Chromium; where there is none, the test is skipped, but in CI it fails."""
    chromium = shutil.which("chromium")
    if not chromium and os.environ.get("CI") != "true":
        pytest.skip("no browser: install Debian's package chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium or "/usr/bin/chromium", args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(stack: Stack, browser: Browser) -> Iterator[Open]:
    """Opens `/` or another address in a new context: `open_page("/_/", viewport=..., ...)`."""
    with watched(browser, stack.url) as open:
        yield open


@contextlib.contextmanager
def watched(browser: Browser, origin: str, *excused: str) -> Iterator[Open]:
    """Opens addresses, each in a new context.

    Fails in the end when any page said anything on its console that does not hold one of the words `excused`, opened a
    dialog, or asked another host for anything.
    """
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def open(path: str = "", **options: Any) -> Page:
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
        page.on("dialog", lambda dialog: complaints.append(f"dialog: {dialog.message}"))
        context.on(
            "request", lambda request: request.url.startswith((origin, "data:")) or complaints.append(request.url)
        )
        page.goto(origin + path)
        return page

    yield open
    for context in contexts:
        context.close()
    assert not [text for text in complaints if not any(words in text for words in excused)]
