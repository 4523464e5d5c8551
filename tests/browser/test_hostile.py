"""What somebody sent who wishes us ill, looked at in every view, in a real browser, from the real stack.

Plot: hostile.py is sent as raw bytes; then somebody looks at all of it, in every way there is. Nothing of it may run,
load, be recorded, be said on the console or become an element; no policy has to step in; and nothing hides: what cannot
be seen is written as an escape.
"""

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import hostile
import pytest
from local_stack import Stack, until
from playwright.sync_api import Browser, Locator, Page, expect
from wire import Answer, ask

OTHERS = 60  # harmless requests, more than a page of the list has, that come after the hostile ones
FOUND = f"target:{hostile.TOKEN.decode()}"
HOSTILE = f"{FOUND} -path:/harmless/*"
TELL = (
    "addEventListener('securitypolicyviolation', one => console.error('policy', one.violatedDirective, one.blockedURI))"
)
ELEMENTS = (
    "html head meta title link script body a p header main nav section article form label input button div span b bdi "
    "small code pre kbd mark del ins time table colgroup col thead tbody tr th td ul li dl dt dd h1 h2 h3 h4 details "
    "summary dialog progress figure figcaption img svg path"
)
# What is in the page that no page of ours has.
STRANGE = """elements => {
    const strange = [], ids = new Set, known = new Set(elements.split(" "))
    const odd = /[^\\P{C}\\t\\n]|[\\p{Zl}\\p{Zp}\\u115f\\u3164\\u2800]|\\p{M}{5}/u
    const ours = url => url.origin == location.origin && url.pathname.startsWith("/_/")
    const icon = one => one.matches("head > link[rel=icon]")
    if (window.pwned !== undefined) strange.push("pwned")
    if (document.cookie) strange.push("cookie")
    if (document.baseURI != location.href) strange.push(document.baseURI)
    if (odd.test(document.title)) strange.push(document.title)
    for (const one of document.querySelectorAll("*")) {
        if (!known.has(one.localName)) strange.push(one.outerHTML.slice(0, 200))
        if (one.localName == "script" && (one.text || !one.src.includes("/_/static/"))) strange.push("script")
        if (one.id && ids.has(one.id)) strange.push(`twice: ${one.id}`)
        ids.add(one.id)
        for (const { name, value } of one.attributes) {
            const where = `${one.localName} ${name}=${value.slice(0, 200)}`
            if (/^(on.*|srcdoc|formaction|ping|target|is)$/.test(name)) strange.push(where)
            if (["href", "src", "action"].includes(name) && !ours(new URL(value, document.baseURI)) && !icon(one))
                strange.push(where)
            if (["id", "class", "name", "for"].includes(name) && !/^[\\w -]*$/.test(value)) strange.push(where)
            if (odd.test(value) && !one.matches("#filter, body[data-filter]")) strange.push(where)
        }
    }
    // A filter is in its box, and in the mark that lies unseen over it, as whoever looks has written it.
    const own = one => one.id == "filter-mark" || one.parentElement?.id == "filter-mark"
    const texts = document.createTreeWalker(document, NodeFilter.SHOW_TEXT | NodeFilter.SHOW_COMMENT)
    while (texts.nextNode()) {
        const { data } = texts.currentNode
        if (odd.test(data) && !own(texts.currentNode.parentElement)) strange.push(`odd: ${escape(data)}`)
    }
    return strange
}"""


class Looking:
    """Pages that are opened in this test, and what was noticed of them."""

    def __init__(self, stack: Stack, browser: Browser) -> None:
        self.stack = stack
        self.browser = browser
        self.noticed: list[str] = []
        self.before = recorded(stack)

    def page(self, **options: Any) -> Page:
        context = self.browser.new_context(**{"viewport": {"width": 1280, "height": 1500}, **options})
        context.add_init_script(TELL)
        page = context.new_page()
        page.on("console", lambda message: self.noticed.append(f"console: {message.text} {message.location['url']}"))
        page.on("pageerror", lambda error: self.noticed.append(f"error: {error}"))
        page.on("dialog", lambda dialog: self.noticed.append(f"dialog: {dialog.message}"))
        page.on("popup", lambda popup: self.noticed.append(f"popup: {popup.url}"))
        page.on("download", lambda download: self.noticed.append(f"download: {download.url}"))
        ours = (f"{self.stack.url}/_/", "data:image/svg+xml,<svg")
        context.on("request", lambda request: request.url.startswith(ours) or self.noticed.append(request.url))
        return page

    def at(self, path: str, page: Page | None = None, **options: Any) -> Page:
        """The page at `path`, looked at."""
        page = page or self.page(**options)
        answer = page.goto(self.stack.url + path)
        if answer and answer.status in (400, 404):
            self.let_say(page, rf"Failed to load resource.* {answer.status} .* {re.escape(answer.url)}")
        self.look(page, path)
        return page

    def let_say(self, page: Page, words: str) -> None:
        """The browser says so by itself, and once."""

        def said() -> str | None:
            page.evaluate("1")  # so that what was said is heard
            return next((one for one in self.noticed if re.fullmatch(f"console: {words}", one)), None)

        self.noticed.remove(until(said, words))

    def look(self, page: Page, what: str = "") -> int:
        """Nothing of what was sent is more than text there; how wide all of it is."""
        both = f"elements => [({STRANGE})(elements), document.documentElement.scrollWidth]"
        strange, width = page.evaluate(both, ELEMENTS)
        assert strange == [], what
        assert self.noticed == [], what
        return int(width)


@pytest.fixture
def looking(stack: Stack, browser: Browser, sent: dict[str, str]) -> Iterator[Looking]:
    """Fails the test in its end when anything was recorded by looking."""
    looking = Looking(stack, browser)
    yield looking
    for context in browser.contexts:
        context.close()
    assert looking.noticed == []
    assert recorded(stack) == looking.before


@pytest.fixture(scope="module")
def sent(stack: Stack) -> dict[str, str]:
    """The ids of all that is hostile, by name, the oldest first."""
    ids = {name: send(stack, request) for name, request in (hostile.LARGE | hostile.SMALL).items()}
    for number in range(OTHERS):
        send(stack, hostile.request(b"/harmless/%d" % number))
    return ids


def send(stack: Stack, request: bytes) -> str:
    answer = ask(stack.url, request)
    assert answer.status in (200, 413)
    return answer.headers["gatebook-id"]


def recorded(stack: Stack) -> int:
    return int(stack.sql("SELECT count(*) FROM requests"))


def get(stack: Stack, path: str) -> Answer:
    head = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: text/html\r\nConnection: close\r\n\r\n"
    return ask(stack.url, head.encode())


def row(page: Page, id: str) -> Locator:
    return page.locator(f"#rows tr[data-id='{id}']")


def assert_listed(page: Page, ids: dict[str, str]) -> None:
    """What was hostile stands there as text, and is nothing else."""
    for number, markup in enumerate(hostile.MARKUP):
        text = row(page, ids[f"target {number}"]).locator(".target").text_content()
        assert text and f"/{markup.decode()}?{markup.decode()}&{hostile.TOKEN.decode()}".startswith(
            text.removesuffix("…")
        )
    assert page.locator("#rows td *:not(a, time, span.odd, b.status)").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280


def views(page: Page) -> Iterator[str]:
    """Every way to look at the body of the open request, in place."""
    article = page.locator("#request")
    yield "".join(article.locator(".body > .bar .view[aria-current]").all_text_contents())
    for name in article.locator(".body > .bar .view:not([aria-current])").all_text_contents():
        article.locator(".body > .bar .view", has_text=re.compile(f"^{name}$")).click()
        expect(article.locator(".body > .bar .view[aria-current]")).to_have_text(name)
        yield name
    for name in ("After", "Last"):
        pages = article.locator(".body > .pages")
        link = pages.locator("a", has_text=name)  # by role takes long where there are thousands
        if link.count():
            before = pages.inner_text()
            link.click()
            expect(pages).not_to_have_text(before)
            yield f"{name} in {before}"
    decode = article.locator(".body > .bar a", has_text="Decode")
    if decode.count():
        decode.click()
        expect(article.locator(".body > .bar a", has_text="as sent")).to_be_visible()
        yield from views(page)


@pytest.mark.parametrize("scripts", [True, False])
def test_the_list_as_the_server_draws_it_is_text(looking: Looking, sent: dict[str, str], scripts: bool) -> None:
    page = looking.at(
        f"/_/?filter={quote(HOSTILE)}", java_script_enabled=scripts, viewport={"width": 1280, "height": 4000}
    )
    assert_listed(page, sent)


def test_the_list_as_the_script_loads_it_is_text(looking: Looking, sent: dict[str, str]) -> None:
    page = looking.at(f"/_/?filter={FOUND}", viewport={"width": 1280, "height": 5000})
    expect(page.locator("#older")).to_have_text(re.compile("That is all"))
    assert_listed(page, sent)
    looking.look(page)


def test_each_request_is_text_in_every_view_of_its_body(looking: Looking, sent: dict[str, str]) -> None:
    page = looking.at(f"/_/?filter={quote(HOSTILE)}")
    expect(page.locator("#older")).to_have_text(re.compile("That is all"))
    newest_first = sorted(
        sent.items(), key=lambda one: one[1], reverse=True
    )  # two of one millisecond stand in any order
    row(page, newest_first[0][1]).locator(".target a").click()
    seen: set[str] = set()
    for name, id in newest_first:
        expect(page.locator("#request")).to_have_attribute("data-id", id)
        for view in views(page):
            assert looking.look(page, f"{name}: {view}") <= 1280, name
            seen.add(view)
        page.keyboard.press("j")
    assert seen > {"JSON", "XML", "Form", "Parts", "Image", "Text", "Hex"}


def test_a_request_as_a_page_of_its_own_is_text(looking: Looking, sent: dict[str, str]) -> None:
    page, bare = looking.page(), looking.page(java_script_enabled=False)
    for name in ("target 4", "target bidi", "method", "jwt", "html", "parts", "2,000 headers"):
        path = f"/_/requests/{sent[name]}?filter={quote(HOSTILE)}"
        looking.at(path, page)
        expect(page.locator("#passage dd")).not_to_have_text(re.compile("load balancer tells"))
        looking.at(f"{path}&view={quote(hostile.MARKUP[2])[:20]}", bare)


def test_a_comparison_is_text(looking: Looking, sent: dict[str, str]) -> None:
    page, names = looking.page(), list(sent)
    for a, b in zip(names[::3], names[1::3], strict=False):
        looking.at(f"/_/compare/{sent[a]}/{sent[b]}", page)
        assert page.evaluate("document.documentElement.scrollWidth") <= 1280, f"{a}, {b}"


def test_what_the_filter_box_offers_is_text(looking: Looking, sent: dict[str, str]) -> None:
    page = looking.page()
    stored = [markup.decode() for markup in hostile.MARKUP] + [hostile.BIDI.decode(), "{{7*7}}", "javascript:pwned=1"]
    named = [{"name": one[:60], "filter": one} for one in stored]
    page.goto(f"{looking.stack.url}/_/")
    page.evaluate(
        "([recent, named]) => { localStorage['gatebook.recent'] = recent; localStorage['gatebook.named'] = named }",
        [json.dumps([*stored, 7, None, {"filter": 1}]), json.dumps([*named, 7, None, {"name": 1}])],
    )
    looking.at(f"/_/?filter={quote(HOSTILE)}&by=path", page)
    box = page.locator("#filter")
    with page.expect_response("**/_/api/requests?limit=100"):
        box.focus()
    for begun in ("", "header.", "header.__proto__:", "header.x", "path:", "target:", "method:", "<", "__pro"):
        box.fill(begun)
        box.press("ArrowDown")
        looking.look(page, begun)
    box.fill("path:/<")
    assert f"/{hostile.MARKUP[-1].decode()}" in page.locator("#filter-offers bdi").all_text_contents()
    box.fill(stored[0])
    box.press("Enter")
    expect(page.locator("#filter-says")).not_to_be_empty()
    looking.let_say(page, "Failed to load resource.* 400 .*/_/api/filter/check.*")
    looking.look(page)
    page.locator("#saved summary").click()
    expect(page.locator("#saved-panel bdi").first).to_be_visible()
    for button in ("Rename", "Delete"):
        page.locator("#saved-panel").get_by_role("button", name=button).first.click()
        looking.look(page, button)


@pytest.mark.parametrize("by", ["path", "method"])
def test_a_picture_is_text(looking: Looking, sent: dict[str, str], by: str) -> None:
    page = looking.at(f"/_/?filter={quote(HOSTILE)}&by={by}")
    expect(page.locator("#picture .frame[aria-busy=false]")).to_be_visible()
    expect(page.locator("#picture .lanes li")).not_to_have_count(0)
    page.locator(".brush").hover()
    looking.look(page)


def test_what_cannot_be_shown_is_said_as_text(looking: Looking, sent: dict[str, str]) -> None:
    page, id = looking.page(), sent["html"]
    for markup in [*hostile.MARKUP[:3], hostile.BIDI + hostile.TEMPLATES]:
        bad = quote(markup.decode(), safe="")
        for path in (f"/_/{bad}", f"/_/requests/{bad}", f"/_/?{bad}=1", f"/_/?cursor={bad}", f"/_/?filter=size:{bad}"):
            assert looking.at(path, page).locator("h1, #filter-says").all_text_contents()
        for path in (f"/_/requests/{id}?at={bad}", f"/_/compare/{id}/{bad}", f"/_/requests/{id}/image?part={bad}"):
            answer = get(looking.stack, path)
            assert answer.status in (400, 404) and markup not in answer.body
            assert "script-src 'self'" in answer.headers["content-security-policy"]


def test_what_was_sent_is_downloaded_never_opened(looking: Looking, sent: dict[str, str]) -> None:
    page = looking.page()
    for name in ("html", "svg", "xml", "gif and script", "no type", "parts"):
        answer = get(looking.stack, f"/_/api/requests/{sent[name]}/body")
        assert answer.body == hostile.SMALL[name].partition(b"\r\n\r\n")[2]
        assert answer.headers["content-type"] == "application/octet-stream"
        assert answer.headers["content-security-policy"].startswith("sandbox")
        assert answer.headers["x-content-type-options"] == "nosniff"
        looking.at(f"/_/requests/{sent[name]}", page)
        with page.expect_download() as download:
            page.locator("#request .download").click()
        assert download.value.suggested_filename == f"{sent[name]}.bin"
        looking.noticed.remove(f"download: {download.value.url}")
        looking.look(page)


def test_only_what_begins_as_a_picture_is_one_and_it_runs_nothing(looking: Looking, sent: dict[str, str]) -> None:
    none = [("svg", ""), ("svg as a picture", ""), ("svg packed", "?decoded=1"), ("html", ""), ("parts", "")]
    for name, query in none + [("parts", f"?part={number}") for number in (0, 1, 2, 4, 5, 6)]:
        answer = get(looking.stack, f"/_/requests/{sent[name]}/image{query}")
        assert answer.status == 404 and b"pwned" not in answer.body, name
    for name, query, kind in (("gif and script", "", "gif"), ("parts", "?part=3", "gif"), ("png and html", "", "png")):
        path = f"/_/requests/{sent[name]}/image{query}"
        answer = get(looking.stack, path)
        assert answer.headers["content-type"] == f"image/{kind}"
        assert answer.headers["content-security-policy"] == "sandbox; default-src 'none'; style-src 'unsafe-inline'"
        assert answer.headers["x-content-type-options"] == "nosniff"
        page = looking.page()
        page.goto(looking.stack.url + path)
        assert page.evaluate("[window.pwned, document.contentType]") == [None, f"image/{kind}"]


def test_what_comes_in_live_is_text(looking: Looking, sent: dict[str, str]) -> None:
    page = looking.at(f"/_/?filter={quote(HOSTILE)}&by=path", viewport={"width": 1280, "height": 5000})
    expect(page.locator("#live")).to_have_text("Live")
    ids = {name: send(looking.stack, request) for name, request in hostile.SMALL.items()}
    looking.before += len(ids)
    expect(row(page, ids["no type"])).to_be_visible()
    assert_listed(page, ids)
    looking.look(page)
