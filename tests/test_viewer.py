"""The read side's answers, from the real application on a real database."""

import asyncio
import contextlib
import itertools
import json
from collections.abc import Iterator
from uuid import uuid4

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from viewer import NOON, Viewer, has_manners, is_problem, uuid7

from gatebook.viewer import database as reads
from gatebook.viewer.api import schema
from gatebook.viewer.api.body import PART_BYTES
from gatebook.viewer.api.envelope import Envelope
from gatebook.viewer.search import search

WIRE = "".join(map(chr, range(1, 256)))  # what one character per byte can hold; nginx refuses 0x00


@pytest.fixture(scope="module")
def shared(cluster) -> Iterator[Viewer]:
    viewer = Viewer(cluster.new_database())
    yield viewer
    viewer.close()


@pytest.fixture
def viewer(shared) -> Viewer:
    """The module's viewer, with an empty table."""
    shared.sql("TRUNCATE requests")
    return shared


# One request


def test_a_request_is_shown_as_it_was_sent(viewer):
    headers = [["X-Twice", "1"], ["x-twice", WIRE], ["A@b", ""]]
    columns = {
        "method": "FOO",
        "target": "/" + WIRE,
        "headers": json.dumps(headers),
        "status": 413,
        "replica": "web <1>",
    }
    id = viewer.record(
        **columns,
        body=b"0123",
        body_size=12,
        body_sha256=b"\xab" * 32,
        truncated=True,
        client="2001:db8::7",
        scheme="https",
        tls='{"version": "TLSv1.2", "cipher": "C", "server_name": null}',
    )
    expected = {
        "id": str(id),
        "received_at": "2026-11-23T12:00:00.123Z",
        "replica": "web <1>",
        "peer": "192.0.2.7",
        "client": "2001:db8::7",
        "scheme": "https",
        "http_version": "1.1",
        "method": "FOO",
        "target": "/" + WIRE,
        "headers": headers,
        "body_size": 12,
        "body_sha256": "ab" * 32,
        "truncated": True,
        "status": 413,
        "tls": {"version": "TLSv1.2", "cipher": "C", "server_name": None},
        "redacted": False,
    }
    answer = viewer.get(f"/_/api/requests/{id}")
    assert answer.status_code == 200 and answer.headers["content-type"] == "application/json" and has_manners(answer)
    assert answer.json() == {**expected, "body": "0123", "body_encoding": "utf-8"}
    page = {"requests": [expected], "next": None, "complete": True, "reached": None}
    assert viewer.get("/_/api/requests").json() == page


def test_what_is_unknown_is_null(viewer):
    viewer.record(body=None, body_size=None, truncated=True)
    (item,) = viewer.get("/_/api/requests").json()["requests"]
    assert item["body_size"] is None and item["body_sha256"] is None and item["truncated"] is True


def test_an_id_that_is_not_recorded_is_not_found(viewer):
    for path in (f"/_/api/requests/{uuid4()}", f"/_/api/requests/{uuid4()}/body"):
        assert is_problem(viewer.get(path), 404)


def test_a_malformed_id_is_refused_with_a_hint(viewer):
    answer = viewer.get("/_/api/requests/" + "x" * 1000)
    assert is_problem(answer, 400)
    assert "UUID" in answer.json()["hint"] and len(answer.text) < 1000


# Pages


def test_an_empty_table_is_an_empty_page(viewer):
    nothing = {"requests": [], "next": None, "complete": True, "reached": None}
    assert viewer.get("/_/api/requests").json() == nothing


@pytest.mark.parametrize(("rows", "limit", "following"), [(2, 3, False), (3, 3, False), (4, 3, True)])
def test_a_cursor_is_given_only_when_there_is_more(viewer, rows, limit, following):
    for number in range(rows):
        viewer.record(uuid7(NOON + number, 0))
    ids, cursor = viewer.page(limit=limit)
    assert len(ids) == min(rows, limit) and bool(cursor) is following


def test_a_page_has_fifty_unless_asked_otherwise(viewer):
    for number in range(51):
        viewer.record(uuid7(NOON, number))
    assert len(viewer.page()[0]) == 50
    assert len(viewer.page(limit=500)[0]) == 51


@settings(max_examples=30, deadline=None)
@given(
    at_first=st.sets(st.integers(0, 300), max_size=30),
    limit=st.integers(1, 7),
    meanwhile=st.lists(st.lists(st.integers(0, 600), max_size=3), max_size=8),
)
@example(at_first=set(range(0, 40, 2)), limit=3, meanwhile=[[500], [1, 3], [600, 5], [37]])
def test_pages_hold_every_row_once_in_order_while_others_arrive(shared, at_first, limit, meanwhile):
    """Newer rows, and older ones that come late, between the pages: what was there at first is seen once, in order."""
    shared.sql("TRUNCATE requests")
    stored = {shared.record(uuid7(NOON + number, number)) for number in at_first}
    expected, seen = set(stored), []
    arriving = itertools.chain(meanwhile, itertools.repeat([]))
    cursor: dict[str, object] = {}
    while True:
        ids, following = shared.page(limit=limit, **cursor)
        assert len(ids) <= limit
        seen += ids
        if following is None:
            break
        for id in {uuid7(NOON + number, number) for number in next(arriving)} - stored:
            stored.add(shared.record(id))
        cursor = {"cursor": following}
    assert seen == sorted(set(seen), reverse=True)
    assert expected <= set(seen) <= stored


def test_a_page_of_huge_rows_ends_early_and_goes_on(viewer, monkeypatch):
    monkeypatch.setattr(search, "PAGE_BYTES", 1000)
    stored = [viewer.record(uuid7(NOON, number), target="/" + "a" * 400) for number in range(7)]
    pages, cursor = [], {}
    while cursor is not None:
        ids, following = viewer.page(limit=5, **cursor)
        pages.append(ids)
        cursor = {"cursor": following} if following else None
    assert [len(page) for page in pages] == [3, 3, 1]
    assert [id for page in pages for id in page] == stored[::-1]


def test_one_row_larger_than_a_page_is_a_page(viewer, monkeypatch):
    monkeypatch.setattr(search, "PAGE_BYTES", 10)
    for number in range(2):
        viewer.record(uuid7(NOON, number), target="/" + "a" * 400)
    assert len(viewer.page()[0]) == 1


@pytest.mark.parametrize("query", ["limit=0", "limit=501", "limit=x", "limit=", "cursor=x", "limit=1&limit=2"])
def test_a_malformed_parameter_is_refused(viewer, query):
    assert is_problem(viewer.get(f"/_/api/requests?{query}"), 400)


@pytest.mark.parametrize(
    "path", ["/_/api/requests", f"/_/api/requests/{uuid4()}", f"/_/api/requests/{uuid4()}/body", "/_/"]
)
def test_an_unknown_parameter_is_refused_and_never_ignored(viewer, path):
    answer = viewer.get(path, filtre="method:POST")
    assert is_problem(answer, 400) and "filtre" in answer.json()["detail"]


# Bodies


def test_a_body_comes_back_exactly_and_is_never_active(viewer):
    id = viewer.record(body=bytes(range(256)), headers='[["Content-Type", "text/html"]]')
    answer = viewer.get(f"/_/api/requests/{id}/body")
    assert answer.status_code == 200 and answer.content == bytes(range(256)) and has_manners(answer)
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"] == f'attachment; filename="{id}.bin"'
    assert answer.headers["content-security-policy"] == "sandbox; default-src 'none'"
    assert answer.headers["content-length"] == "256" and answer.headers["accept-ranges"] == "bytes"
    assert "gatebook-truncated" not in answer.headers


def test_a_truncated_body_says_so(viewer):
    id = viewer.record(body=b"begin", body_size=99, truncated=True)
    answer = viewer.get(f"/_/api/requests/{id}/body")
    assert answer.content == b"begin" and answer.headers["gatebook-truncated"] == "true"


def test_a_body_that_was_not_kept_is_not_found_and_says_why(viewer):
    id = viewer.record(body=None, truncated=True)
    answer = viewer.get(f"/_/api/requests/{id}/body")
    assert is_problem(answer, 404) and "too large" in answer.json()["detail"]


def test_an_empty_body_is_empty(viewer):
    answer = viewer.get(f"/_/api/requests/{viewer.record()}/body")
    assert answer.status_code == 200 and answer.content == b"" and answer.headers["content-length"] == "0"


LONG = bytes(range(251)) * (3 * PART_BYTES // 251)  # not a whole number of parts


@settings(max_examples=60, deadline=None)
@given(first=st.integers(0, len(LONG) + 9), last=st.none() | st.integers(0, len(LONG) + 9))
@example(first=PART_BYTES - 1, last=PART_BYTES)
@example(first=0, last=len(LONG) - 1)
@example(first=len(LONG), last=None)
def test_a_range_of_a_long_body_is_its_slice(shared, long_body, first, last):
    answer = shared.get(long_body, {"Range": f"bytes={first}-{'' if last is None else last}"})
    if last is not None and last < first:
        assert answer.status_code == 200 and answer.content == LONG
    elif first >= len(LONG):
        assert is_problem(answer, 416) and answer.headers["content-range"] == f"bytes */{len(LONG)}"
    else:
        expected = LONG[first:] if last is None else LONG[first : last + 1]
        assert answer.status_code == 206 and answer.content == expected
        assert answer.headers["content-range"] == f"bytes {first}-{first + len(expected) - 1}/{len(LONG)}"
        assert answer.headers["content-length"] == str(len(expected))


@pytest.fixture(scope="module")
def long_body(shared) -> str:
    return f"/_/api/requests/{shared.record(body=LONG)}/body"


def test_a_range_counts_only_for_the_body_it_was_begun_on(viewer):
    path = f"/_/api/requests/{viewer.record(body=b'0123456789')}/body"
    etag = viewer.get(path).headers["etag"]
    assert viewer.get(path, {"Range": "bytes=7-", "If-Range": etag}).content == b"789"
    assert viewer.get(path, {"Range": "bytes=7-", "If-Range": '"other"'}).content == b"0123456789"


def test_the_largest_kept_body_comes_back(viewer):
    largest = bytes(10 * 1024 * 1024)
    answer = viewer.get(f"/_/api/requests/{viewer.record(body=largest)}/body")
    assert answer.content == largest


# Health, errors and manners


def test_health_and_index_answer(viewer):
    for path in ("/_/health/live", "/_/health/ready", "/_/api"):
        answer = viewer.get(path)
        assert answer.status_code == 200 and answer.json() and has_manners(answer)
    assert viewer.get(viewer.get("/_/api").json()["see"]["requests"]).status_code == 200


@pytest.mark.parametrize("path", ["/_/nothing", "/_/api/requests/", "/_/docs", "/", "/_/api/requests/a/b/c"])
def test_everything_else_is_not_found(viewer, path):
    assert is_problem(viewer.get(path), 404)


@pytest.mark.parametrize("method", ["POST", "DELETE", "OPTIONS", "FOO"])
def test_another_method_is_not_allowed(viewer, method):
    answer = viewer.request(method, "/_/api/requests", content=b"{}")
    assert is_problem(answer, 405) and answer.headers["allow"] == "GET, HEAD"


def test_head_is_get_without_the_body(viewer):
    id = viewer.record(body=b"0123456789")
    paths = ["/_/", "/_/health/live", "/_/health/ready", "/_/api/requests", "/_/api/openapi.json", "/_/api/requests/x"]
    for path in [*paths, f"/_/api/requests/{id}", f"/_/api/requests/{id}/body"]:
        head, full = viewer.request("HEAD", path), viewer.get(path)
        assert (head.status_code, head.headers, head.content) == (full.status_code, full.headers, b"")


def test_openapi_describes_what_is_answered(viewer):
    document = viewer.get("/_/api/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    assert set(document["paths"]) == {
        "/_/health/live",
        "/_/health/ready",
        "/_/api/requests",
        "/_/api/requests/{id}",
        "/_/api/requests/{id}/neighbours",
        "/_/api/requests/{id}/body",
        "/_/api/requests/{id}/passage",
        "/_/api/counts",
        "/_/api/filter",
        "/_/api/filter/check",
        "/_/api/gate",
        "/_/api/events",
        "/_/api/audit",
        "/_/api/trail",
        "/_/metrics",
    }
    assert "HTTPValidationError" not in document["components"]["schemas"]
    viewer.record()
    viewer.record(body=None, body_size=None)
    answer = viewer.get("/_/api/requests")
    page = schema.Page.model_validate_json(answer.content)
    assert list(answer.json()["requests"][0]) == list(schema.Recorded.model_fields) and len(page.requests) == 2


def test_a_mistake_of_ours_shows_nothing_of_the_inside(viewer, monkeypatch):
    monkeypatch.setitem(reads.QUERIES, "columns", "id, secret_column")
    answer = viewer.get("/_/api/requests")
    assert is_problem(answer, 500) and "secret" not in answer.text


def test_a_statement_cannot_write_even_by_mistake(viewer, monkeypatch):
    viewer.record()
    monkeypatch.setitem(reads.QUERIES, "ready", "DELETE FROM requests")
    assert viewer.get("/_/health/ready").status_code == 500
    assert len(viewer.page()[0]) == 1


def test_a_query_that_takes_too_long_is_given_up(cluster, monkeypatch):
    monkeypatch.setattr(reads, "STATEMENT_TIMEOUT_S", 1.0)
    monkeypatch.setitem(reads.QUERIES, "ready", "SELECT pg_sleep(30)")
    with contextlib.closing(Viewer(cluster.new_database())) as viewer:
        answer = viewer.get("/_/health/ready")
    assert is_problem(answer, 503) and answer.headers["retry-after"] == "1"


def test_a_client_that_goes_away_ends_the_work_for_it():
    """Whatever the handler waits for is cancelled, and a body that the client still sends is dropped."""
    cancelled = asyncio.Event()
    messages = iter([{"type": "http.request", "body": b"x", "more_body": True}, {"type": "http.disconnect"}])

    async def slow(scope, receive, send):
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async def receive():
        await asyncio.sleep(0)
        return next(messages)

    async def send(message):
        raise AssertionError("nobody is there to answer")

    async def main():
        await asyncio.wait_for(Envelope(slow)({"type": "http", "method": "GET"}, receive, send), 10)

    asyncio.run(main())
    assert cancelled.is_set()
