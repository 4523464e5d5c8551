"""Signing in and out in a real browser, on a real stack that asks for a password.

Plot: somebody opens `/`, sees their own request alone, signs in, looks on, and signs out. Then links from elsewhere, a
session that ends while a page is open, and who cannot see, or has a small screen.
"""

import http.server
import shutil
import threading
from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from chromium import ARGUMENTS, AWAY, Open, watched
from local_stack import Stack, made_stack
from playwright.sync_api import Browser, Page, expect

PASSWORD = "correct horse"
SECRET = "/secret/webhook"


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """One that asks for a password, and holds a secret."""
    for made in made_stack():
        made.environment |= {"GATEBOOK_VIEW_PASSWORD": PASSWORD, "GATEBOOK_VIEW_HOSTS": "gate.test"}
        made.up("--scale", 2)
        made.send("POST", SECRET, b"x")
        yield made


@pytest.fixture
def look(stack: Stack, browser: Browser) -> Iterator[Open]:
    """Opens a page; what a browser itself says of a refusal is no complaint."""
    with watched(browser, stack.url, AWAY) as open:
        yield open


def sign_in(page: Page, password: str = PASSWORD) -> None:
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()


def test_from_the_front_page_in_and_out_again(look: Open, stack: Stack) -> None:
    page = look("/?first")
    expect(page.get_by_text("/?first")).to_be_visible()
    assert SECRET not in page.content() and page.locator("tbody tr a").count() == 1

    page.get_by_role("link", name="Sign in").click()
    expect(page.get_by_label("Password")).to_be_focused()
    sign_in(page, "wrong")
    expect(page.get_by_role("alert")).to_have_text("That is not the password.")
    assert page.get_by_label("Password").input_value() == ""
    sign_in(page)
    expect(page).to_have_url(f"{stack.url}/")
    expect(page.get_by_text(SECRET)).to_be_visible()
    expect(page.locator("#say")).to_have_text("Live")

    page.get_by_role("link", name="Find, follow and compare").click()
    expect(page.locator("#rows").get_by_text(SECRET)).to_be_visible()
    expect(page.locator("#live")).to_have_text("Live")
    page.locator("#rows").get_by_text(SECRET).click()
    expect(page.locator("#request")).to_contain_text(SECRET)

    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("Password")).to_be_visible()
    assert page.context.cookies() == []
    page.go_back()
    expect(page.get_by_label("Password")).to_be_visible()
    assert SECRET not in page.content()


def test_a_page_of_a_request_is_come_back_to(look: Open, stack: Stack) -> None:
    id = stack.sql(f"SELECT id FROM requests WHERE target = '{SECRET}'")
    page = look(f"/_/requests/{id}?view=hex&filter=path%3A%2Fsecret%2F*")
    sign_in(page)
    expect(page).to_have_url(f"{stack.url}/_/requests/{id}?view=hex&filter=path%3A%2Fsecret%2F*")
    expect(page.locator("#request")).to_contain_text(SECRET)


def test_a_link_on_another_site_leads_to_the_page_of_whoever_has_signed_in(stack: Stack, browser: Browser) -> None:
    """The browser leaves out the session with such a link, since it is for this site alone."""
    page = browser.new_context().new_page()
    with _other_site(f'<a href="{stack.url}/_/?by=path">look</a>'.encode()) as elsewhere:
        page.goto(elsewhere)
        page.get_by_role("link").click()
        expect(page.get_by_label("Password")).to_be_visible()
        sign_in(page)
        expect(page).to_have_url(f"{stack.url}/_/?by=path")
        page.goto(elsewhere)
        page.get_by_role("link").click()
        expect(page).to_have_url(f"{stack.url}/_/?by=path")
        expect(page.locator("#rows").get_by_text(SECRET)).to_be_visible()
    page.context.close()


def test_a_form_on_another_site_signs_nobody_out_and_no_frame_shows_us(stack: Stack, browser: Browser) -> None:
    page = browser.new_context().new_page()
    page.goto(f"{stack.url}/_/")
    sign_in(page)
    expect(page.locator("#rows")).to_be_visible()
    form = f'<form action="{stack.url}/_/sign-out" method="post"><button>go</button></form>'
    with _other_site(f'{form}<iframe src="{stack.url}/_/sign-in"></iframe>'.encode()) as elsewhere:
        page.goto(elsewhere)
        assert page.frames[1].locator("#password").count() == 0
        page.get_by_role("button", name="go").click()
        expect(page.get_by_text("this came from a page of another site")).to_be_visible()
    page.goto(f"{stack.url}/_/")
    expect(page.locator("#rows").get_by_text(SECRET)).to_be_visible()
    page.context.close()


def test_in_and_out_where_the_browser_tells_less(stack: Stack, browser: Browser) -> None:
    """By plain http and not on this machine it sends no Sec-Fetch-Site, and Origin: null from most pages."""
    arguments = [*ARGUMENTS, "--host-resolver-rules=MAP gate.test 127.0.0.1"]
    path = shutil.which("chromium") or "/usr/bin/chromium"
    other = browser.browser_type.launch(executable_path=path, args=arguments)
    page = other.new_page()
    page.goto(f"http://gate.test:{stack.port}/_/")
    sign_in(page, "wrong")
    expect(page.get_by_role("alert")).to_be_visible()
    sign_in(page)
    expect(page.locator("#rows").get_by_text(SECRET)).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("Password")).to_be_visible()
    assert page.context.cookies() == []
    other.close()


def test_a_page_whose_session_has_ended_says_so_and_leads_to_where_one_signs_in(look: Open, stack: Stack) -> None:
    page = look("/_/?by=path")
    sign_in(page)
    expect(page.locator("#rows").get_by_text(SECRET)).to_be_visible()
    page.context.clear_cookies()
    expect(page.locator("#gate-wrong")).to_contain_text("not signed in any more")
    page.reload()
    sign_in(page)
    expect(page).to_have_url(f"{stack.url}/_/?by=path")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 1280])
def test_it_is_for_everybody(look: Open, scheme: str, width: int) -> None:
    options = {"color_scheme": scheme, "viewport": {"width": width, "height": 700}}
    page = look("/", **options)
    _is_for_everybody(page)
    page.get_by_role("link", name="Sign in").click()
    sign_in(page, "wrong")
    expect(page.get_by_role("alert")).to_be_visible()
    _is_for_everybody(page)
    sign_in(page)
    page.goto(page.url.partition("/?")[0] + "_/")
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_it_needs_no_script(look: Open) -> None:
    page = look("/", java_script_enabled=False)
    page.get_by_role("link", name="Sign in").click()
    sign_in(page)
    expect(page.get_by_text(SECRET)).to_be_visible()


def _is_for_everybody(page: Page) -> None:
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


class _other_site:
    """A page on a host that is another site to a browser: localhost, where the stack is at 127.0.0.1."""

    def __init__(self, html: bytes) -> None:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.end_headers()
                self.wfile.write(html)

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def __enter__(self) -> str:
        threading.Thread(target=self._server.serve_forever).start()
        return f"http://localhost:{self._server.server_port}/"

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
