"""What the API tells of a filter, before anybody finds anything with it."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from viewer import Viewer, has_manners, is_problem

from gatebook.filter import FIELDS
from gatebook.viewer.api.filter import Checked

ID = "019aaf6e-3c5f-7d2a-8b1e-0242ac120002"
DAY = {"since": "2026-11-22T00:00:00.000Z", "until": "2026-11-23T00:00:00.000Z"}


@pytest.fixture(scope="module")
def viewer(cluster) -> Iterator[Viewer]:
    viewer = Viewer(cluster.new_database())
    yield viewer
    viewer.close()


def checked(viewer: Viewer, filter: str) -> dict:
    answer = viewer.get("/_/api/filter/check", filter=filter)
    assert answer.status_code == 200 and has_manners(answer), answer.text
    assert Checked.model_validate(answer.json(), strict=False)
    return answer.json()


@pytest.mark.parametrize(
    ("filter", "since", "until"),
    [
        ("", None, None),
        ("method:GET since:2026-11-22 until:2026-11-23", *DAY.values()),
        ("since:2026-11-22T08:00:00.5+01:00", "2026-11-22T07:00:00.500Z", None),
        ("-since:2026-11-23", None, DAY["until"]),
        ("until:2026-11-23 since:2026-11-20 since:2026-11-22", *DAY.values()),
        ("since:2026-11-23 OR (since:2026-11-22 until:2026-11-22T01:00)", DAY["since"], None),
        ("since:2026-11-23 OR method:GET", None, None),
        (f"id:{ID}", "2025-11-23T06:37:08.575Z", "2025-11-23T06:37:08.576Z"),
        ("since:9999-12-31", "9999-12-31T00:00:00.000Z", None),
        ("id:ffffffff-ffff-ffff-ffff-fffffffffffe", "9999-12-31T23:59:59.999Z", None),
    ],
)
def test_a_filter_that_is_right_tells_its_span(viewer, filter, since, until):
    found = checked(viewer, filter)
    assert (found["since"], found["until"]) == (since, until)


def test_a_span_that_nothing_lies_in_does_not_end_after_it_begins(viewer):
    found = checked(viewer, "since:2026-11-23 until:2026-11-22")
    assert found["since"] >= found["until"]
    found = checked(viewer, "(since:2026-11-23 until:2026-11-22) OR (since:2025-11-23 until:2025-11-22)")
    assert found["until"] == "1970-01-01T00:00:00.000Z"


def test_durations_count_back_from_now(viewer):
    since = datetime.fromisoformat(checked(viewer, "since:1h")["since"])
    assert abs(datetime.now(UTC) - timedelta(hours=1) - since) < timedelta(minutes=1)


def test_the_fields_that_it_has_are_told_once(viewer):
    filter = "method:GET (header.a:b OR -header.c:d) word method:POST json.a.b:c"
    assert checked(viewer, filter)["fields"] == ["method", "header", "text", "json"]
    assert checked(viewer, "")["fields"] == []
    for field in FIELDS:
        assert checked(viewer, field.example)["fields"] == [field.word]


def test_a_filter_that_is_wrong_is_told_where(viewer):
    answer = viewer.get("/_/api/filter/check", filter="-size>1XB \u202e")
    assert is_problem(answer, 400)
    assert answer.json()["position"] == 6 and answer.json()["expected"] == "a size such as 1MB"
    assert is_problem(viewer.get("/_/api/filter/check", filter="x" * 4097), 400)
    assert is_problem(viewer.get("/_/api/filter/check", filters=""), 400)
