"""The gate's line in a real browser, on a real stack: quiet while all is well, and loud when it is not.

Plot: somebody looks on while a replica hangs, the database is away, and the viewer is; then has the log audited.
"""

import itertools
import os
import re
import signal
from collections.abc import Callable, Iterator
from functools import partial

import psutil
import pytest
from chromium import AWAY, Open, watched
from local_stack import Stack, started_stack, until
from playwright.sync_api import Browser, Locator, Page, expect

WRONG = "#gate-wrong"


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """One of this module's own, since its parts are stopped."""
    yield from started_stack()


@pytest.fixture
def look(stack: Stack, browser: Browser) -> Iterator[Open]:
    """Opens the viewer; a page may say on its console that what is away did not answer, and nothing else."""
    with watched(browser, stack.url, AWAY) as open:
        yield partial(open, "/_/")


@pytest.fixture
def stopped(stack: Stack) -> Iterator[Callable[[str], None]]:
    """Stops a part and what it has started, as a machine that hangs does, until the end of the test."""
    processes: list[psutil.Process] = []

    def stop(name: str) -> None:
        part = psutil.Process(stack.part(name)["pid"])
        for process in (part, *part.children(recursive=True)):
            process.send_signal(signal.SIGSTOP)
            processes.append(process)

    yield stop
    for process in reversed(processes):
        if process.is_running():
            process.send_signal(signal.SIGCONT)
    stack.until_healthy()


def facts(page: Page) -> Locator:
    return page.locator("#gate-facts li:visible")


def look_until(page: Page, says: str) -> None:
    """Have it look how the gate is until it says that: as when one comes back to it, not after its five seconds."""

    def said() -> bool:
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        page.wait_for_timeout(200)
        return says in page.locator(WRONG).inner_text() if says else page.locator(WRONG).is_hidden()

    until(said, says or "nothing is wrong")


def test_it_is_one_quiet_line_while_all_is_well(look: Open) -> None:
    page = look(viewport={"width": 1280, "height": 600})
    expect(facts(page)).to_have_text(
        [
            "3 of 3 replicas",
            "Spool empty",
            "Database answers",
            "Not audited yet",
            re.compile(r"Kept since \d{4}-\d\d-\d\d"),
        ]
    )
    expect(page.locator(WRONG)).to_be_hidden()
    expect(page.locator("#gate .wrong")).to_have_count(0)
    line = page.locator("#gate").bounding_box()
    assert line and line["height"] < 60


def test_without_scripts_it_leads_to_what_it_would_tell(look: Open, stack: Stack) -> None:
    page = look(java_script_enabled=False)
    expect(page.locator("#gate").get_by_role("button")).to_have_count(0)
    page.get_by_role("link", name="How the gate is").click()
    page.wait_for_url(f"{stack.url}/_/api/gate")
    assert '"status":"ok"' in page.locator("body").inner_text()


def test_a_replica_that_hangs_is_told_loudly_and_taken_back(
    look: Open, stack: Stack, stopped: Callable[[str], None]
) -> None:
    page = look()
    expect(facts(page).first).to_have_text("3 of 3 replicas")
    stopped("webapp-2")
    look_until(page, "webapp-2")
    expect(page.get_by_role("alert")).to_have_text("1 of 3 replicas does not answer: webapp-2.")
    expect(page.locator("#gate-facts .wrong")).to_have_text(["2 of 3 replicas"])
    expect(page.locator(WRONG)).to_be_hidden(timeout=120_000)  # the stack has replaced it, after some 15 s
    expect(facts(page).first).to_have_text("3 of 3 replicas")


def test_a_database_that_is_away_is_told_and_fits(look: Open, stack: Stack, stopped: Callable[[str], None]) -> None:
    page = look()
    expect(facts(page).first).to_have_text("3 of 3 replicas")
    stopped("db")
    assert stack.send("POST", "/while-away").headers["gatebook-durability"] == "spooled"
    words = "The database does not answer the viewer, and what comes in waits in the spool."
    look_until(page, words)
    expect(page.locator(WRONG)).to_have_text(words)
    expect(facts(page).nth(1)).to_have_text(re.compile(r"^\d in the spool, [\d.]+ KiB$"))
    expect(facts(page).nth(2)).to_have_text("Database away")
    wide = "all => all.filter(one => one.scrollWidth > one.clientWidth + 1).map(one => one.textContent)"
    for scheme, width in itertools.product(("light", "dark"), (320, 1280)):
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size({"width": width, "height": 700})
        box = page.locator("#gate").bounding_box()
        assert box and box["width"] <= width == page.evaluate("innerWidth")
        assert page.locator("#gate, #gate p, #gate li").evaluate_all(wide) == [], (scheme, width)


def test_a_viewer_that_is_away_is_told_and_what_is_shown_is_said_to_be_old(look: Open, stack: Stack) -> None:
    page = look()
    expect(facts(page).first).to_have_text("3 of 3 replicas")
    page.route("**/_/api/gate", lambda route: route.fulfill(status=503, body="{}"))
    look_until(page, "The viewer does not answer")
    expect(page.locator(WRONG)).to_have_text(
        re.compile(r"^The viewer does not answer\. .* What is shown below is from \d\d:\d\d:\d\d")
    )
    page.unroute("**/_/api/gate")
    page.route("**/_/api/gate", lambda route: route.abort())
    look_until(page, "Nothing answers here")
    page.unroute("**/_/api/gate")
    look_until(page, "")


def test_it_asks_for_nothing_while_nobody_looks(look: Open) -> None:
    page = look()
    page.clock.install()
    page.reload()
    expect(facts(page).first).to_have_text("3 of 3 replicas")
    with page.expect_response("**/_/api/gate"):
        page.clock.fast_forward(5500)  # its own pace
    page.evaluate("Object.defineProperty(document, 'hidden', { value: true, configurable: true })")
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    for _ in range(3):
        page.clock.fast_forward(5500)
        page.wait_for_timeout(200)
    assert not [url for url in asked if url.endswith("/_/api/gate")]
    with page.expect_response("**/_/api/gate"):
        page.evaluate("delete document.hidden; document.dispatchEvent(new Event('visibilitychange'))")


def test_an_audit_can_be_had_and_stopped(look: Open, stack: Stack) -> None:
    page = look()
    stack.send("GET", "/to-be-audited")
    page.get_by_role("button", name="Audit now").click()
    expect(page.get_by_role("progressbar", name="Audit")).to_be_visible()
    page.get_by_role("button", name="Stop the audit").click()
    expect(page.get_by_role("progressbar", name="Audit")).to_be_hidden()
    expect(page.locator("#gate-found")).to_be_hidden()
    page.get_by_role("button", name="Audit now").click()
    expect(page.locator("#gate-found")).to_have_text(
        re.compile(r"^Of \d+ requests acknowledged .* none is missing and none came twice")
    )
    expect(page.locator("#gate-found")).to_have_attribute("role", "status")
    expect(facts(page).nth(3)).to_have_text(re.compile(r"^Audited \d+ s ago, nothing missing$"))


def test_what_an_audit_finds_missing_is_told_loudly(look: Open, stack: Stack) -> None:
    page = look()
    gone = stack.send("GET", "/to-be-lost").headers["gatebook-id"]
    stack.sql(f"DELETE FROM requests WHERE id = '{gone}'")
    page.get_by_role("button", name="Audit now").click()
    expect(page.locator("#gate-found.wrong")).to_contain_text("1 is missing")
    expect(page.locator(WRONG)).to_have_text("The last audit found 1 missing.")
    expect(page.locator("#gate-facts .wrong")).to_have_text(re.compile(r"^Audited .* ago, 1 missing$"))


def test_an_audit_that_cannot_be_made_says_why(look: Open, stack: Stack) -> None:
    [log] = stack.data.rglob("access.log")
    os.rename(log, log.with_name("elsewhere"))
    try:
        page = look()
        page.get_by_role("button", name="Audit now").click()
        expect(page.locator("#gate-found.wrong")).to_contain_text("The audit was not made: the load balancer's log")
    finally:
        os.rename(log.with_name("elsewhere"), log)
