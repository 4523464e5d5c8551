"""A real browser for the tests beside this file: Debian's chromium, driven by Playwright."""

import os
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from local_stack import Stack
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

# The last three keep the browser from asking its maker for updates while it is tested.
ARGUMENTS = ["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
Open = Callable[..., Page]


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
    """Opens `/` in a new context: `open_page(java_script_enabled=False, viewport=..., color_scheme="dark", ...)`.

    The test fails at its end when any page said anything on its console or asked another host for anything.
    """
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def open(**options: Any) -> Page:
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
        page.on("dialog", lambda dialog: complaints.append(f"dialog: {dialog.message}"))
        context.on(
            "request", lambda request: request.url.startswith((stack.url, "data:")) or complaints.append(request.url)
        )
        page.goto(stack.url)
        return page

    yield open
    for context in contexts:
        context.close()
    assert not complaints
