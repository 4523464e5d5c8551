"""What is secret by its name, in a real browser: in no document until it is revealed, then there, and in the trail.

Plot: requests come with a secret in every place there is. Somebody looks at them in the list, at `/`, alone, by each
view, beside each other; then reveals one, with the button, in place, and without scripts; and masks it again.
"""

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
from chromium import Open, watched
from local_stack import Stack
from playwright.sync_api import Browser, Page, expect
from test_request import NARROW, WIDE, of, send

SECRET = "hunter2zwei"
MASKED, REVEALED = "What is secret by its name is masked here.", "Nothing is masked here"


@pytest.fixture
def look(stack: Stack, browser: Browser) -> Iterator[Open]:
    with watched(browser, stack.url, "a status of 404") as open:

        def look(path: str, **options: Any) -> Page:
            return open(path, **{"viewport": WIDE, **options})

        yield look


def jwt() -> str:
    parts = ({"alg": "HS256"}, {"sub": "me", "password": SECRET})
    return ".".join(
        [*(base64.urlsafe_b64encode(json.dumps(one).encode()).decode().rstrip("=") for one in parts), "c2ln"]
    )


MULTIPART = f'--B\r\nContent-Disposition: form-data; name="password"\r\n\r\n{SECRET}\r\n--B--\r\n'
SENT: dict[str, tuple[bytes, dict[str, str]]] = {
    "header": (b"", {"Authorization": f"Bearer {SECRET}"}),
    "cookie": (b"", {"Cookie": f"session={SECRET}"}),
    "referer": (b"", {"Referer": f"https://h/?token={SECRET}&page=2"}),
    "form": (f"a=1&password={SECRET}".encode(), {"Content_Type": "application/x-www-form-urlencoded"}),
    "json": (json.dumps({"user": {"api_key": SECRET, "n": 1}}).encode(), {"Content_Type": "application/json"}),
    "multipart": (MULTIPART.encode(), {"Content_Type": "multipart/form-data; boundary=B"}),
    "jwt": (json.dumps({"id": jwt()}).encode(), {"Content_Type": "application/json"}),
}


def sent(stack: Stack, what: str) -> str:
    body, headers = SENT[what]
    return send(stack, f"/secret/{what}?token={SECRET}&a=1", body, **headers)


def reveals(stack: Stack) -> list[str]:
    """What the trail says was revealed so far, by others before this test, too."""
    return stack.sql("SELECT about FROM trail WHERE act = 'revealed' ORDER BY id").split()


def is_nowhere(page: Page) -> bool:
    return SECRET not in page.content()


@pytest.mark.parametrize("what", SENT)
def test_a_secret_is_not_in_the_document_until_it_is_revealed(stack: Stack, look: Open, what: str) -> None:
    id = sent(stack, what)
    before = len(reveals(stack))
    page = look(of(id))
    expect(page.get_by_text(MASKED).first).to_be_visible()
    assert is_nowhere(page)
    for view in page.locator(".view").all_inner_texts():
        page.locator(".view").get_by_text(view, exact=True).click()
        expect(page.locator(".view[aria-current]")).to_have_text(view)
        assert is_nowhere(page), view
    assert len(reveals(stack)) == before
    page.get_by_role("button", name="Reveal").first.click()
    expect(page.get_by_text(REVEALED)).to_be_visible()
    assert SECRET in page.locator("#line").inner_text()
    assert page.locator("#request").inner_html().count(SECRET) > 1, "in its own place, too"
    assert reveals(stack)[before:] == [f"/_/requests/{id}"]


def test_the_list_and_the_page_and_what_comes_live_show_masks(stack: Stack, look: Open) -> None:
    front, listed = look("/_/"), look("/")
    id = sent(stack, "header")
    row = front.locator(f"#rows tr[data-id='{id}']")
    expect(row).to_contain_text("/secret/header?token=[redacted]&a=1")
    assert is_nowhere(front)
    listed.reload()
    expect(listed.locator("body")).to_contain_text("token=[redacted]")
    assert is_nowhere(listed)
    front.reload()
    expect(row).to_contain_text("token=[redacted]")
    assert is_nowhere(front)


def test_it_is_revealed_in_place_and_masked_again(stack: Stack, look: Open) -> None:
    """Beside the list, which stays; the back button masks it, and stepping on reveals nothing of the next one."""
    older, id = sent(stack, "json"), sent(stack, "json")
    page = look("/_/")
    page.locator(f"#rows tr[data-id='{id}'] .target a").click()
    expect(page.get_by_text(MASKED).first).to_be_visible()
    page.evaluate("window.same = true")
    page.get_by_role("button", name="Reveal").first.click()
    expect(page.get_by_text(REVEALED)).to_be_visible()
    assert page.evaluate("window.same"), "the page was not loaded anew"
    assert "reveal=1" in page.url and SECRET in page.locator("#line").inner_text()
    page.locator(".view").get_by_text("Text", exact=True).click()
    expect(page.locator(".view[aria-current]")).to_have_text("Text")
    assert SECRET in page.locator("#body").inner_text(), "it stays revealed in another view"
    page.get_by_role("link", name="Mask it again").click()
    expect(page.get_by_text(MASKED).first).to_be_visible()
    assert is_nowhere(page)
    page.go_back()
    expect(page.get_by_text(REVEALED)).to_be_visible()
    page.get_by_role("link", name="Older", exact=True).click()
    expect(page.locator(f"#request[data-id='{older}']").get_by_text(MASKED).first).to_be_visible()
    assert is_nowhere(page)


def test_it_is_revealed_without_scripts_and_where_it_is_narrow(stack: Stack, look: Open) -> None:
    id = sent(stack, "multipart")
    page = look(of(id), viewport=NARROW, java_script_enabled=False)
    assert is_nowhere(page)
    button = page.get_by_role("button", name="Reveal").first
    box = button.bounding_box()
    assert box and box["height"] >= 24 and box["x"] + box["width"] <= NARROW["width"]
    button.click()
    expect(page.get_by_text(REVEALED)).to_be_visible()
    assert SECRET in page.locator("#body").inner_text()


def test_two_are_compared_by_masks_until_they_are_revealed(stack: Stack, look: Open) -> None:
    a, b = sent(stack, "json"), sent(stack, "form")
    page = look(f"/_/compare/{a}/{b}")
    expect(page.get_by_text("what is the same has the same number")).to_be_visible()
    assert is_nowhere(page) and "[redacted 1]" in page.content()
    page.get_by_role("button", name="Reveal").click()
    expect(page.get_by_text(REVEALED)).to_be_visible()
    assert SECRET in page.content()


def test_a_link_from_another_site_reveals_nothing(stack: Stack, browser: Browser) -> None:
    """The same place by another name is another site."""
    id, elsewhere = sent(stack, "header"), stack.url.replace("127.0.0.1", "localhost")
    assert elsewhere != stack.url
    context = browser.new_context()
    page = context.new_page()
    page.goto(elsewhere + "/_/api")
    before = reveals(stack)
    page.evaluate(f"location.href = '{stack.url}{of(id)}?reveal=1'")
    expect(page.get_by_text("another site asks for it")).to_be_visible()
    assert is_nowhere(page) and reveals(stack) == before
    context.close()
