"""The pages at `/_/` as they are sent, before any script: what they show, where they lead, and that what a client sent
stays text. tests/browser/ looks at them."""

import json
import re
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from html.parser import HTMLParser
from urllib.parse import parse_qs, quote, urlsplit
from uuid import UUID, uuid4

import httpx
import pytest
from postgres import Cluster
from viewer import NOON, Viewer, is_problem, uuid7

from gatebook.viewer.pages.lists import ROWS
from gatebook.viewer.pages.template import POLICY

HOSTILE = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>{{7*7}}</textarea></title>\u00e2\u0080\u00ae"
AS_PAGE = {"Accept": "text/html"}


@pytest.fixture
def viewer(cluster: Cluster) -> Iterator[Viewer]:
    viewer = Viewer(cluster.new_database())
    yield viewer
    viewer.close()


class Elements(HTMLParser):
    """Every element with its attributes, in order, and all text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attributes)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def links(self) -> list[str]:
        return [attributes["href"] or "" for tag, attributes in self.found if tag == "a"]


def page(viewer: Viewer, path: str, status: int = 200, **query: object) -> Elements:
    answer = viewer.get(path, AS_PAGE, **query)
    assert answer.status_code == status, answer.text
    assert has_page_manners(answer)
    return Elements(answer.text)


def has_page_manners(answer: httpx.Response) -> bool:
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-security-policy"] == POLICY and "unsafe" not in POLICY
    assert answer.headers["cache-control"] == "private, no-cache" and answer.headers["referrer-policy"] == "no-referrer"
    tags = Elements(answer.text).found
    assert not [tag for tag, attributes in tags if tag == "style" or "style" in attributes]
    assert not [name for _, attributes in tags for name in attributes if name.startswith("on")]
    assert all(attributes.get("src") for tag, attributes in tags if tag == "script")
    return True


def rows(found: Elements) -> list[str]:
    return [attributes["data-id"] or "" for tag, attributes in found.found if tag == "tr" and "data-id" in attributes]


def filter_of(url: str) -> str:
    return parse_qs(urlsplit(url).query).get("filter", [""])[0]


def test_the_newest_come_first_and_each_leads_to_itself_and_to_its_like(viewer: Viewer) -> None:
    older = viewer.record(uuid7(NOON, 1), method="POST", target="/a", client="2001:db8::1")
    newer = viewer.record(uuid7(NOON, 2), method="PUT", target="/b?x=1", replica="webapp-2")
    found = page(viewer, "/_/")
    assert rows(found) == [str(newer), str(older)]
    assert f"/_/requests/{newer}" in found.links() and f"/_/requests/{older}" in found.links()
    filters = {filter_of(link) for link in found.links()}
    assert {"method=PUT", "client:2001:db8::1", "replica:webapp-2"} <= filters
    for narrowed in ("method=PUT", "client:2001:db8::1", "replica:webapp-2"):
        assert len(rows(page(viewer, "/_/", filter=narrowed))) == 1


def test_pages_are_turned_without_scripts_and_nothing_comes_twice(viewer: Viewer) -> None:
    sent = [str(viewer.record(uuid7(NOON, number))) for number in range(2 * ROWS + 3)]
    seen, path = [], "/_/"
    while path:
        found = page(viewer, path)
        seen += rows(found)
        path = next((link for link in found.links() if "cursor=" in link), "")
    assert seen == sent[::-1]


def test_a_filter_stays_in_every_link_and_narrowing_adds_to_it(viewer: Viewer) -> None:
    id = viewer.record(method="POST", target="/x")
    viewer.record(method="GET", target="/x")
    asked = "path:/x (method:POST OR method:PUT)"
    found = page(viewer, "/_/", filter=asked)
    assert rows(found) == [str(id)]
    assert f"/_/requests/{id}?filter={quote(asked, safe='')}" in found.links()
    narrowed = [filter_of(link) for link in found.links() if filter_of(link) not in ("", asked)]
    assert narrowed and all(filter.startswith(asked + " ") for filter in narrowed)


def test_a_wrong_filter_is_shown_where_it_is_wrong_and_is_not_forgotten(viewer: Viewer) -> None:
    viewer.record()
    found = page(viewer, "/_/", 400, filter="size>1XB")
    assert not rows(found) and "expected a size such as 1MB, at character 6" in found.text
    [box] = [attributes for tag, attributes in found.found if tag == "input" and attributes.get("name") == "filter"]
    assert box["value"] == "size>1XB" and box["aria-invalid"] == "true"


def test_an_empty_gate_says_how_to_send_something_to_this_host(viewer: Viewer) -> None:
    answer = viewer.get("/_/", AS_PAGE | {"Host": "gate.example:8443", "X-Forwarded-Proto": "https"})
    assert "curl -d hello https://gate.example:8443/any/path" in answer.text and has_page_manners(answer)


@pytest.mark.parametrize("host", ["[1]", "[::1", "a:99999", "a b", "a'b", "<i>", "x/y", "a@b", ""])
def test_a_host_that_is_none_is_not_repeated(viewer: Viewer, host: str) -> None:
    for path in ("/_/", f"/_/requests/{viewer.record()}"):
        answer = viewer.get(path, AS_PAGE | {"Host": host})
        assert answer.status_code == 200 and (not host or host not in Elements(answer.text).text)


def test_nothing_found_leads_back_to_everything(viewer: Viewer) -> None:
    viewer.record()
    found = page(viewer, "/_/", filter="method:PURGE")
    assert "Nothing that is recorded matches" in found.text and "/_/" in found.links()


def test_one_request_is_shown_whole_beside_the_list(viewer: Viewer) -> None:
    headers = [["Host", "h"], ["X-Twice", "a"], ["x-twice", "b"]]
    id = viewer.record(method="POST", target="/hook?a=1", headers=json.dumps(headers), body=b'{"n":1.50}', body_size=10)
    other = viewer.record()
    found = page(viewer, f"/_/requests/{id}")
    assert {str(id), str(other)} == set(rows(found))
    text = re.sub(r"\s+", " ", found.text)
    assert "POST /hook?a=1 HTTP/1.1" in text and "X-Twice a" in text and "x-twice b" in text and "1.50" in text
    assert "curl" in text and f"/_/api/requests/{id}/body" in found.links()
    [title] = re.findall("<title>(.*)</title>", viewer.get(f"/_/requests/{id}").text)
    assert title == "POST /hook?a=1 · Gatebook"


def test_its_bare_form_is_the_same_without_the_page(viewer: Viewer) -> None:
    id = viewer.record()
    bare = viewer.get(f"/_/requests/{id}", bare=1).text
    whole = viewer.get(f"/_/requests/{id}").text
    assert bare.strip() in whole and "<html" not in bare and "<article" in bare


def test_neighbours_are_found_within_the_filter(viewer: Viewer) -> None:
    first, _, last = (viewer.record(uuid7(NOON, n), method=method) for n, method in enumerate(["POST", "GET", "POST"]))
    for id, which, expected in [(first, "newer", last), (last, "older", first), (last, "newer", last)]:
        answer = viewer.get(f"/_/requests/{id}/{which}", filter="method:POST")
        assert answer.status_code == 303
        assert answer.headers["location"] == f"/_/requests/{expected}?filter=method%3APOST"


def test_a_neighbour_that_there_was_no_time_to_find_is_not_said_to_be_none(
    viewer: Viewer, monkeypatch: pytest.MonkeyPatch
) -> None:
    id = viewer.record(uuid7(NOON, 1))
    viewer.record(uuid7(NOON, 0)), viewer.record(uuid7(NOON, 2))
    monkeypatch.setattr("gatebook.viewer.api.requests.NEIGHBOUR_DEADLINE_S", 0.0)
    older = viewer.get(f"/_/requests/{id}/older", filter="body:rare")
    assert older.status_code == 303 and older.headers["location"] == f"/_/?filter=body%3Arare&cursor={id}"
    assert is_problem(viewer.get(f"/_/requests/{id}/newer", filter="body:rare"), 503)


def test_a_list_to_compare_with_leads_to_comparisons(viewer: Viewer) -> None:
    a, b = viewer.record(uuid7(NOON, 1)), viewer.record(uuid7(NOON, 2))
    assert f"/_/compare/{a}/{b}" in page(viewer, "/_/", compare=a).links()


@pytest.mark.parametrize("column", ["target", "method", "replica", "scheme", "http_version"])
def test_what_was_sent_is_text_wherever_it_stands(viewer: Viewer, column: str) -> None:
    ours = {"span", "p"}  # escapes of what is not printable, and what a command cannot send

    def tags(value: str) -> list[str]:
        paths = ["/_/", f"/_/requests/{viewer.record(**{column: value})}"]
        found = [tag for path in paths for tag, _ in page(viewer, path).found if tag not in ours]
        viewer.sql("DELETE FROM requests")
        return found

    assert tags("/" + HOSTILE) == tags("/x")


def test_header_names_and_values_and_filters_are_text(viewer: Viewer) -> None:
    id = viewer.record(headers=json.dumps([[HOSTILE, HOSTILE]]))
    for query in ({}, {"filter": f'"{HOSTILE}'}, {"filter": 'body:"<script>"'}):
        answer = viewer.get(f"/_/requests/{id}", AS_PAGE, **query)
        assert has_page_manners(answer)
        assert {tag for tag, _ in Elements(answer.text).found}.isdisjoint({"img", "style", "iframe", "object", "svg"})
        assert "\u202e" not in answer.text


def test_what_is_not_there_is_a_page_for_browsers_and_a_document_for_all_others(viewer: Viewer) -> None:
    missing = uuid4()
    for path, status in [(f"/_/requests/{missing}", 404), ("/_/nothing", 404), ("/_/?nothing=1", 400)]:
        assert "All requests" in page(viewer, path, status).text
        assert is_problem(viewer.get(path), status)
    assert is_problem(viewer.get(f"/_/api/requests/{missing}", AS_PAGE), 404)


def test_one_page_of_a_huge_target_is_not_huge(viewer: Viewer) -> None:
    for number in range(ROWS):
        viewer.record(uuid7(NOON, number), target="/" + "\u00c3\u00a9" * 60_000)
    assert len(viewer.get("/_/").content) < 200_000


def test_a_page_has_room_for_so_many_links_however_long_the_filter_and_how_many_the_values(viewer: Viewer) -> None:
    headers = [["Content-Type", "application/json"], *([f"h{number}", "v"] for number in range(2000))]
    id = viewer.record(headers=json.dumps(headers), body=json.dumps(list(range(5000))).encode())
    for filter in ("target=/" + "\u20ac" * 3000, "\u20ac" * 7000):
        answer = viewer.get(f"/_/requests/{id}", bare=1, filter=filter)
        assert answer.status_code == 200 and len(answer.content) < 8_000_000
        narrowed = {filter_of(link) for link in Elements(answer.text).links()} - {filter}
        assert all(len(found) <= 4096 for found in narrowed)


def test_an_id_of_the_future_is_listed_as_well(viewer: Viewer) -> None:
    assert rows(page(viewer, "/_/", filter=f"id:{viewer.record(UUID(int=2**127 | 0x7 << 76 | 0b10 << 62))}"))


def test_parameters_of_the_target_are_shown_decoded(viewer: Viewer) -> None:
    id = viewer.record(target="/x?name=Ren%C3%A9e+K&empty=&name=%3Cb%3E&flag#no=1")
    text = re.sub(r"\s+", " ", page(viewer, f"/_/requests/{id}").text)
    parameters = text.partition("Parameters FieldValue ")[2]
    assert parameters.startswith("name Renée K empty empty name <b> flag no = Headers")


def test_times_of_a_token_are_told(viewer: Viewer) -> None:
    parts = ({"alg": "HS256"}, {"iat": 1_795_000_000, "exp": 1_795_500_000.5})
    token = ".".join(urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts)
    id = viewer.record(headers=json.dumps([["Authorization", f"Bearer {token}.c2ln"]]))
    assert "issued" not in page(viewer, f"/_/requests/{id}").text, "what is masked is not decoded"
    text = re.sub(r"\s+", " ", page(viewer, f"/_/requests/{id}", reveal=1).text)
    assert "issued 2026-11-18T11:06:40.000Z" in text and "expires 2026-11-24T06:00:00.500Z" in text
    assert "not verified" in text
