"""Finding and counting by the API, from the real application on a real database."""

import base64
import json
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from uuid import uuid4

import pytest
from postgres import Cluster
from viewer import NOON, Viewer, has_manners, is_problem, uuid7

from gatebook.filter import FIELDS
from gatebook.viewer.api import requests as requests_api
from gatebook.viewer.api import schema, told
from gatebook.viewer.search import Search, counting, search

LIST, COUNTS = "/_/api/requests", "/_/api/counts"
BY_LINES = {"Accept": "application/x-ndjson"}
MINUTE = 60_000


@pytest.fixture(scope="module")
def shared(cluster: Cluster) -> Iterator[Viewer]:
    viewer = Viewer(cluster.new_database())
    yield viewer
    viewer.close()


@pytest.fixture
def viewer(shared: Viewer) -> Viewer:
    """Nine requests, a minute from each to the next: GET and POST in turn, of three replicas."""
    shared.sql("TRUNCATE requests")
    for number in range(9):
        shared.record(
            uuid7(NOON + number * MINUTE, number),
            method=("GET", "POST")[number % 2],
            target=f"/{number}",
            replica=f"webapp-{number % 3}",
            body_size=number,
        )
    return shared


@pytest.fixture
def slow(viewer: Viewer) -> Iterator[Viewer]:
    """Looking into JSON takes a while, as on a table of millions."""
    viewer.sql("ALTER FUNCTION body_json RENAME TO quick_body_json")
    viewer.sql(
        "CREATE FUNCTION body_json(body bytea) RETURNS jsonb LANGUAGE plpgsql AS"
        " $$ BEGIN PERFORM pg_sleep(0.1); RETURN convert_from(body, 'UTF8')::jsonb; END $$"
    )
    viewer.sql("UPDATE requests SET body = '{\"a\": 1}'")
    yield viewer
    viewer.sql("DROP FUNCTION body_json")
    viewer.sql("ALTER FUNCTION quick_body_json RENAME TO body_json")


def found(viewer: Viewer, filter: str, **query: object) -> list[int]:
    """The numbers of the requests on a page."""
    answer = viewer.get(LIST, filter=filter, **query)
    assert answer.status_code == 200, answer.text
    return [int(request["target"][1:]) for request in answer.json()["requests"]]


def count(viewer: Viewer, **query: object) -> Any:
    answer = viewer.get(COUNTS, **query)
    assert answer.status_code == 200, answer.text
    schema.Counts.model_validate_json(answer.content)
    return answer.json()


# Filters


def test_what_is_asked_for_is_found_newest_first(viewer: Viewer) -> None:
    assert found(viewer, "") == [8, 7, 6, 5, 4, 3, 2, 1, 0]
    assert found(viewer, "method:POST") == [7, 5, 3, 1]
    assert found(viewer, "method:POST replica:webapp-1 OR size>7") == [8, 7, 1]
    assert found(viewer, "target:nowhere") == []


def test_pages_of_what_is_found_go_on_by_the_cursor(viewer: Viewer) -> None:
    first = viewer.get(LIST, filter="method:GET", limit=2).json()
    assert [request["target"] for request in first["requests"]] == ["/8", "/6"] and first["complete"]
    assert found(viewer, "method:GET", limit=2, cursor=first["next"]) == [4, 2]
    assert found(viewer, "method:GET", cursor=first["requests"][-1]["id"]) == [4, 2, 0]


def test_durations_count_back_from_the_first_page_on_all_of_them(viewer: Viewer) -> None:
    """What `since:6s` means moves on while the pages are read: the oldest is older than that by then."""
    now_ms = time.time_ns() // 10**6
    for number in range(3):
        viewer.record(uuid7(now_ms - 1000 + number, 0), target=f"/{number}")
    first = viewer.get(LIST, filter="since:6s", limit=1).json()
    counted = viewer.get(COUNTS, filter="since:6s", cursor=first["next"])
    deadline = time.monotonic() + 60
    while found(viewer, "since:6s"):
        assert time.monotonic() < deadline
    assert [request["target"] for request in first["requests"]] == ["/2"]
    assert found(viewer, "since:6s", cursor=first["next"]) == [1, 0]
    assert viewer.get(COUNTS, filter="since:6s", cursor=first["next"]).json() == counted.json()
    assert counted.json()["groups"][0]["count"] == 2


def test_the_moment_of_a_cursor_is_that_of_the_one_after_it(viewer: Viewer) -> None:
    moment = NOON + 8 * MINUTE
    answer = viewer.get(LIST, filter="since:5m", limit=2, cursor=f"{uuid7(moment, 8)}@{moment}").json()
    assert [request["target"] for request in answer["requests"]] == ["/7", "/6"]
    assert answer["next"] == f"{uuid7(NOON + 6 * MINUTE, 6)}@{moment}"
    assert found(viewer, "since:5m", cursor=answer["next"]) == [5, 4, 3]
    assert found(viewer, "until:5m", cursor=f"{uuid7(moment, 8)}@{moment}") == [2, 1, 0]


@pytest.mark.parametrize("path", [LIST, COUNTS])
@pytest.mark.parametrize(
    "wrong", ["", "x", "{id}@", "@1", "{id}@-1", "{id}@1.5", "{id}@" + "9" * 15, "{id}@1\n", "{id} "]
)
def test_a_cursor_that_is_none_is_refused(viewer: Viewer, path: str, wrong: str) -> None:
    answer = viewer.get(path, cursor=wrong.format(id=uuid7(NOON, 0)))
    assert is_problem(answer, 400) and "`next`" in answer.json()["hint"]
    assert viewer.get(path, filter="since:1h", cursor=f"{uuid7(NOON, 0)}@{'9' * 14}").status_code == 200


def test_what_is_wrong_with_a_filter_is_said_with_its_place(viewer: Viewer) -> None:
    for path in (LIST, COUNTS, f"{LIST}/{uuid7(NOON, 0)}/neighbours", "/_/api/events"):
        answer = viewer.get(path, filter="method:POST size>1XB")
        assert is_problem(answer, 400)
        document = answer.json()
        assert document["position"] == len("method:POST size>") and "1MB" in document["expected"]
        assert "at character 18" in document["detail"] and "/_/api/filter" in document["hint"]


def test_a_filter_that_is_no_text_is_refused_and_never_mended(viewer: Viewer) -> None:
    for query in ("filter=%FF", "filter=caf%E9", "filter=%ED%A0%80", "%FF=x"):
        answer = viewer.request("GET", f"{LIST}?{query}")
        assert is_problem(answer, 400) and "UTF-8" in answer.json()["detail"]


@pytest.mark.parametrize("query", [{"filter": "\x1b[31m\u202e\x9b:x"}, {"\x1b[2J": "x"}, {"limit": "\x1b]0;x\x07"}])
def test_what_is_given_back_harms_no_terminal(viewer: Viewer, query: dict[str, str]) -> None:
    answer = viewer.get(LIST, **query)
    assert is_problem(answer, 400)
    assert all(str(text).isprintable() for text in answer.json().values()) and "\\x1b" in answer.json()["detail"]


def test_a_huge_filter_is_refused_in_few_words(viewer: Viewer) -> None:
    for filter in ("x" * 5000, "(" * 4000, '"' + "\\" * 4000, "a:" * 2000):
        answer = viewer.get(LIST, filter=filter)
        assert is_problem(answer, 400) and len(answer.content) < 2000


def test_the_fields_of_a_filter_are_told(viewer: Viewer) -> None:
    answer = viewer.get("/_/api/filter")
    assert answer.status_code == 200 and has_manners(answer)
    told = schema.Fields.model_validate_json(answer.content)
    assert [field.name for field in told.fields] == [field.name for field in FIELDS]
    for field in told.fields:
        assert viewer.get(LIST, filter=field.example).status_code == 200
        assert any(operator in field.example for operator in field.operators)


# What takes long


def test_by_lines_it_tells_how_far_it_is_and_then_the_page(slow: Viewer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(told, "TELL_EVERY_S", 0.1)
    answer = slow.get(LIST, headers=BY_LINES, filter="json.a:1")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/x-ndjson")
    assert answer.headers["x-accel-buffering"] == "no" and has_manners(answer)
    *progress, last = map(json.loads, answer.text.splitlines())
    assert progress and all(set(line) == {"progress", "reached", "found"} for line in progress)
    page = schema.Page.model_validate(last["page"])
    assert len(page.requests) == 9 and page.complete


def test_counts_are_told_by_lines_too(slow: Viewer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(told, "TELL_EVERY_S", 0.1)
    *progress, last = slow.get(COUNTS, headers=BY_LINES, filter="json.a:1", by="method").text.splitlines()
    assert progress and schema.Counts.model_validate(json.loads(last)["counts"]).complete


def test_at_the_deadline_it_answers_what_it_has_and_goes_on_from_there(
    slow: Viewer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the oldest matches, and there is time for one window only."""
    slow.sql("UPDATE requests SET body = '{\"a\": 2}' WHERE target = '/0'")
    monkeypatch.setattr(Search.__init__, "__defaults__", (None, True, 0.1))
    monkeypatch.setattr(search, "_FIRST_ROWS", 1)
    seen, reached, cursor = [], [], None
    while True:
        page = schema.Page.model_validate(
            slow.get(LIST, filter="json.a:2", limit=1, **({"cursor": cursor} if cursor else {})).json()
        )
        seen += [request.target for request in page.requests]
        if page.complete:
            break
        assert page.requests == [] and page.reached and page.next
        reached.append(page.reached)
        cursor = page.next
    assert seen == ["/0"]
    assert len(reached) > 1 and reached == sorted(reached, reverse=True)


# One request


def test_a_body_is_text_where_it_is_and_else_base64(viewer: Viewer) -> None:
    for kept, shown in (
        (b"", ("", "utf-8")),
        ("größe \x00 \x1b </script>".encode(), ("größe \x00 \x1b </script>", "utf-8")),
        (b"gr\xf6\xdfe", (base64.b64encode(b"gr\xf6\xdfe").decode(), "base64")),
        (b"\xed\xa0\x80", ("7aCA", "base64")),  # an unpaired surrogate
        (None, (None, None)),
        (b"x" * 1024 * 1024, ("x" * 1024 * 1024, "utf-8")),
        (b"x" * (1024 * 1024 + 1), (None, None)),
    ):
        answer = viewer.get(f"{LIST}/{viewer.record(body=kept)}")
        assert answer.status_code == 200 and has_manners(answer)
        document = answer.json()
        assert list(document) == list(schema.Whole.model_fields)
        assert (document["body"], document["body_encoding"]) == shown


def test_neighbours_are_the_nearest_that_are_found(viewer: Viewer) -> None:
    ids = [str(uuid7(NOON + number * MINUTE, number)) for number in range(9)]

    def neighbours(number: int, **query: object) -> tuple[str | None, str | None]:
        answer = viewer.get(f"{LIST}/{ids[number]}/neighbours", **query)
        assert answer.status_code == 200 and answer.json()["complete"] is True
        schema.Neighbours.model_validate_json(answer.content)
        return answer.json()["newer"], answer.json()["older"]

    assert neighbours(4) == (ids[5], ids[3])
    assert neighbours(8) == (None, ids[7]) and neighbours(0) == (ids[1], None)
    assert neighbours(4, filter="method:GET") == (ids[6], ids[2])
    assert neighbours(4, filter="replica:webapp-2") == (ids[5], ids[2])
    assert neighbours(4, filter="target:nowhere") == (None, None)
    assert is_problem(viewer.get(f"{LIST}/{uuid4()}/neighbours"), 404)


def test_neighbours_that_there_was_no_time_to_look_for_are_not_certain(
    slow: Viewer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests_api, "NEIGHBOUR_DEADLINE_S", 0.1)
    monkeypatch.setattr(search, "_FIRST_ROWS", 1)
    id = uuid7(NOON + 4 * MINUTE, 4)
    answer = slow.get(f"{LIST}/{id}/neighbours", filter="json.a:2")
    assert answer.json() == {"newer": None, "older": None, "complete": False}


# Counts


def test_counts_are_by_value_and_by_time(viewer: Viewer) -> None:
    assert count(viewer) == {
        "groups": [{"start": None, "value": None, "count": 9, "bytes": 36}],
        "others": 0, "next": None, "complete": True, "reached": None,
    }  # fmt: skip
    by_method = count(viewer, by="method")["groups"]
    assert [(group["value"], group["count"], group["bytes"]) for group in by_method] == [
        ("GET", 5, 20),
        ("POST", 4, 16),
    ]
    by_time = count(viewer, step="5m", filter="method:GET")["groups"]
    assert [(group["start"], group["count"]) for group in by_time] == [
        ("2026-11-23T12:00:00.000Z", 3),
        ("2026-11-23T12:05:00.000Z", 2),
    ]
    both = count(viewer, step="1h", by="replica")["groups"]
    assert [(group["start"][11:13], group["value"], group["count"]) for group in both] == [
        ("12", "webapp-0", 3), ("12", "webapp-1", 3), ("12", "webapp-2", 3),
    ]  # fmt: skip


@pytest.mark.parametrize("by", counting.BY)
def test_it_counts_by_everything_that_it_offers(viewer: Viewer, by: str) -> None:
    assert sum(group["count"] for group in count(viewer, by=by, step="1d")["groups"]) == 9


@pytest.mark.parametrize(
    "query", ["by=target", "by=", "by=replica&by=method", "step=0s", "step=1", "step=1w", "step=", "step=1h%0A",
              "step=100000d", "cursor=x", "limit=1", "filter=("],
)  # fmt: skip
def test_what_cannot_be_counted_is_refused(viewer: Viewer, query: str) -> None:
    assert is_problem(viewer.get(f"{COUNTS}?{query}"), 400)


def test_steps_of_every_length_are_aligned_to_the_epoch(viewer: Viewer) -> None:
    for step, length_s in (("1s", 1), ("10s", 10), ("1m", 60), ("7m", 420), ("1h", 3600), ("1d", 86400)):
        groups = count(viewer, step=step)["groups"]
        assert sum(group["count"] for group in groups) == 9
        assert all(datetime.fromisoformat(group["start"]).timestamp() % length_s == 0 for group in groups)
    assert count(viewer, step="99999d")["groups"][0]["start"] == "1970-01-01T00:00:00.000Z"


def test_head_is_get_without_the_body_everywhere(viewer: Viewer) -> None:
    id = uuid7(NOON, 0)
    for path in (COUNTS, "/_/api/filter", f"{LIST}/{id}/neighbours", f"{LIST}?filter=method:GET", f"{COUNTS}?by=x"):
        head, full = viewer.request("HEAD", path), viewer.get(path)
        assert (head.status_code, head.headers, head.content) == (full.status_code, full.headers, b"")
