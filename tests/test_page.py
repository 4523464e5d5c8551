"""The page at `/`, as bytes: what a client sent stays text, the policy fits, the size is bounded."""

import base64
import hashlib
import re
from collections import Counter
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gatebook import look
from gatebook.access import Hidden
from gatebook.app import page
from gatebook.app.page import ROWS, SHOWN, Page, Seen, shown
from gatebook.redact import Redaction

PAGE = Page()
ID = "0198c7d2-a1b0-7abc-8def-0123456789ab"
ORDINARY = Seen(ID, "POST", "/orders/1042/items?page=2", "192.0.2.141", "webapp-1", 1893)
WIRE = st.text(st.characters(max_codepoint=0xFF), max_size=2 * SHOWN)
ANY = st.text(st.characters(), max_size=2 * SHOWN)


class Elements(HTMLParser):
    """Every element with its attributes and own text, in order; whatever else there is, apart."""

    def __init__(self, html: bytes) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None], str]] = []
        self.odd: list[str] = []
        self.feed(html.decode())
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attributes), ""))

    def handle_data(self, data: str) -> None:
        if self.found:
            tag, attributes, text = self.found[-1]
            self.found[-1] = (tag, attributes, text + data)

    def handle_comment(self, data: str) -> None:
        self.odd.append(data)

    unknown_decl = handle_pi = handle_comment

    def texts(self, tag: str) -> list[str]:
        return [text for name, _, text in self.found if name == tag]


def document(*others: Seen, own: Seen = ORDINARY, origin: str = "http://localhost:8080") -> bytes:
    spread = PAGE.spread([seen.replica for seen in (own, *others)])
    return PAGE.compose(own, PAGE.row(own), b"".join(map(PAGE.row, others)), spread, origin)


@given(WIRE, WIRE, WIRE, ANY, st.one_of(st.none(), st.integers(0, 2**63)))
@example("<script>", "</td><script>alert(1)</script>", "'\"><img src=x onerror=alert(1)>", "&lt;<!--", 0)
@example("\x00\r\n\t", "<!--own-->", "\x80\x9f\xad", "\udc80\u202e\u2028", None)
def test_no_value_breaks_out_of_its_cell(method: str, target: str, client: str, replica: str, size: int | None) -> None:
    row = Elements(PAGE.row(Seen(ID, method, target, client, replica, size)))
    tags = [(tag, sorted(attributes)) for tag, attributes, _ in row.found]
    cells = [("td", []), ("td", []), ("td", []), ("td", ["class"]), ("td", [])]
    assert tags == [("tr", []), ("td", []), ("a", ["href"]), ("time", []), *cells]
    assert not row.odd
    assert len(row.texts("td")) == 6
    assert re.fullmatch("r[0-7]", dict(row.found[-2][1])["class"] or "")
    assert all(text.isprintable() for text in row.texts("td"))


@given(ANY, st.text("abc./:[]'\"<>&", max_size=30))
def test_nothing_else_on_the_page_lets_a_value_out(replica: str, origin: str) -> None:
    own = ORDINARY._replace(replica=replica)
    assert [tag for tag, *_ in Elements(document(own=own, origin=origin)).found] == [
        tag for tag, *_ in Elements(document()).found
    ]


@given(st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=SHOWN))
def test_a_short_ascii_target_is_shown_as_sent(target: str) -> None:
    assert Elements(PAGE.row(ORDINARY._replace(target=target))).texts("td")[2] == target


@given(st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=SHOWN // 4))
def test_utf8_is_shown_decoded(text: str) -> None:
    wire = text.encode().decode("latin-1")
    assert Elements(PAGE.row(ORDINARY._replace(target=wire))).texts("td")[2] == text


def test_bytes_that_are_not_utf8_are_shown_as_latin1() -> None:
    assert shown("/caf\xe9") == "/café"


@pytest.mark.parametrize("sign", ["a", "é", "中", "😀"])
def test_a_long_target_keeps_its_start_and_says_that_it_goes_on(sign: str) -> None:
    for shift in range(4):
        text = "/" * shift + sign * 30_000
        seen = shown(text.encode().decode("latin-1")[: 64 * 1024])
        assert seen.endswith("…")
        assert text.startswith(seen.removesuffix("…"))
        assert len(seen.encode()) > SHOWN - 4


def test_what_hides_or_reorders_text_is_replaced() -> None:
    assert shown("/a\x00\r\n\x7f\x9b") == "/a" + "\ufffd" * 5
    assert shown("/\u202etxt".encode().decode("latin-1")) == "/\ufffdtxt"


@given(st.integers(0, 2**42))
def test_the_time_is_that_of_the_id(ms: int) -> None:
    id = f"{ms >> 16:08x}-{ms & 0xFFFF:04x}-7abc-8def-0123456789ab"
    told = Elements(PAGE.row(ORDINARY._replace(id=id))).texts("time")[0]
    expected = datetime.fromtimestamp(ms // 1000, UTC).replace(tzinfo=None, microsecond=ms % 1000 * 1000)
    assert told == f"{expected.isoformat(sep=' ', timespec='milliseconds')}Z"


def test_any_uuid_makes_a_row() -> None:
    assert b"ffffffff-ffff" in PAGE.row(ORDINARY._replace(id="ffffffff-ffff-ffff-ffff-ffffffffffff"))


def test_a_row_leads_to_its_request_and_tells_its_size() -> None:
    row = Elements(PAGE.row(ORDINARY._replace(size=1048576)))
    assert row.found[2][:2] == ("a", {"href": f"_/requests/{ID}"})
    assert row.texts("td")[5] == "1,048,576"
    assert Elements(PAGE.row(ORDINARY._replace(size=None))).texts("td")[5] == "?"


def test_the_own_request_is_first_and_under_a_heading_of_its_own() -> None:
    others = [ORDINARY._replace(target=f"/{number}") for number in range(3)]
    own = ORDINARY._replace(target="/mine", replica="webapp-2")
    html = document(*others, own=own).decode()
    first, second = re.findall(r"<tbody.*?</tbody>", html, re.DOTALL)
    assert (
        "/mine" in first and "Your request" in first and 'scope="rowgroup"' in first.replace("=rowgroup", '="rowgroup"')
    )
    assert f"recorded by webapp-2 as {ID}" in re.sub(r"<.*?>", "", first)
    assert Elements(second.encode()).texts("td")[2::6] == ["/0", "/1", "/2"]


def test_the_curl_line_is_for_this_origin() -> None:
    html = document(origin="https://gate.example:8443").decode()
    assert "<code id=curl>curl -d hello https://gate.example:8443/any/path</code>" in html


@given(st.lists(st.sampled_from([f"webapp-{number}" for number in range(1, 12)]), min_size=1, max_size=ROWS))
def test_the_spread_has_a_lane_for_each_replica_and_a_cell_for_each_request(replicas: list[str]) -> None:
    lanes = Elements(PAGE.spread(replicas))
    counts = Counter(replicas)
    assert dict(zip(lanes.texts("b"), map(int, lanes.texts("span")), strict=True)) == counts
    assert lanes.texts("b") == sorted(counts, key=lambda name: int(name.removeprefix("webapp-")))
    drawn = [re.findall(r"M(\d+) ", attributes["d"] or "") for tag, attributes, _ in lanes.found if tag == "path"]
    at = {int(place): name for name, places in zip(lanes.texts("b"), drawn, strict=True) for place in places}
    assert [at[ROWS - 1 - place] for place in range(len(replicas))] == replicas


def test_a_replica_has_one_colour_in_rows_and_lanes_and_three_have_three() -> None:
    hues = [re.findall(rb"class=(r\d)", PAGE.row(ORDINARY._replace(replica=f"webapp-{n}")))[0] for n in (1, 2, 3)]
    assert re.findall(rb"class=(r\d)", PAGE.spread(["webapp-1", "webapp-2", "webapp-3"])) == hues
    assert len(set(hues)) == 3


def test_the_policy_allows_the_inlined_style_and_script_and_nothing_else() -> None:
    html = document().decode()
    for tag in ("style", "script"):
        [text] = re.findall(rf"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}';" in PAGE.content_security_policy
    for rule in ("default-src 'none'", "connect-src 'self'", "base-uri 'none'", "form-action 'none'"):
        assert rule in PAGE.content_security_policy
    assert "unsafe" not in PAGE.content_security_policy


def test_the_page_loads_nothing() -> None:
    for tag, attributes, _ in Elements(document()).found:
        assert not {"src", "style", "srcset", "action"} & attributes.keys()
        assert not [name for name in attributes if name.startswith("on")]
        if tag == "link":
            assert (attributes["href"] or "").startswith("data:")
    assert "@import" not in document().decode() and "url(" not in document().decode()


def test_a_page_of_ordinary_rows_has_at_most_12_kib() -> None:
    assert len(document(*[ORDINARY] * (ROWS - 1))) <= 12 * 1024


@pytest.mark.parametrize("hidden", ["password", "network", "host"])
def test_whoever_may_not_look_gets_their_own_request_and_nothing_to_load_or_run(hidden: Hidden) -> None:
    own = ORDINARY._replace(target="/mine<script>", replica="webapp-2")
    html = PAGE.locked(own, hidden, "http://localhost:8080", b"<p role=alert>Away")
    page = Elements(html)
    assert page.texts("td")[2] == "/mine<script>" and len(page.texts("td")) == 6
    assert f"recorded by webapp-2 as {ID}" in re.sub("<.*?>", "", html.decode())
    assert "<code id=curl>curl -d hello http://localhost:8080/any/path</code>" in html.decode()
    assert not {"script", "li", "svg", "button"} & {tag for tag, *_ in page.found}
    assert not page.odd and html.count(b"</html>") == html.count(b"<title>") == html.count(b"Away") == 1
    leads_in = [attributes["href"] for tag, attributes, _ in page.found if tag == "a"]
    assert leads_in == (["/_/sign-in?next=/"] if hidden == "password" else []) + [f"_/requests/{ID}"]
    [style] = re.findall("<style>(.*?)</style>", html.decode(), re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert PAGE.locked_policy.startswith(
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'"
    )
    assert "script" not in PAGE.locked_policy and "frame-ancestors 'none'" in PAGE.locked_policy


def test_inlining_leaves_no_blank_or_comment_but_keeps_strings() -> None:
    folder = Path(page.__file__).parent
    for file in (folder / "page.css", folder / "page.js", look.PALETTE):
        source, inlined = file.read_text("utf-8"), page._source(file)
        assert re.findall(r'"[^"]*"', inlined) == re.findall(r'"[^"]*"', re.sub(r"(?m)^\s*(//|/\*).*", "", source))
        assert not re.search(r"(?m)^\s|^//|/\*", inlined)


def test_what_is_secret_by_its_name_is_masked_in_targets() -> None:
    page, secret = Page(Redaction(["*token"])), ORDINARY._replace(target="/hook?access_token=hunter2&page=2")
    assert b"<td>/hook?access_token=[redacted]&amp;page=2<td>" in page.row(secret)
    cut = ORDINARY._replace(target=f"/{'a' * 90}?token={'hunter2' * 10}"[: SHOWN + 1])
    assert b"hunter" not in page.row(cut)
    assert page.row(ORDINARY) == PAGE.row(ORDINARY)
