"""`gatebook count` as a command, asking a real viewer, as a process, over HTTP."""

import contextlib
import json
import time
from collections.abc import Iterator

import pytest
from postgres import Cluster
from reading import Viewer, on_terminal, run

MINUTE_MS = 60_000


@pytest.fixture(scope="module")
def viewer(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Viewer]:
    with contextlib.closing(Viewer(cluster, tmp_path_factory.mktemp("viewer"))) as viewer:
        now_ms = time.time_ns() // 10**6 // MINUTE_MS * MINUTE_MS - MINUTE_MS
        viewer.has(
            *({"replica": "webapp-1", "ms": now_ms - number, "body_size": 1024} for number in range(1500)),
            *({"replica": "webapp-2", "ms": now_ms + number, "target": "/\x1b"} for number in range(20)),
        )
        yield viewer


def rows(viewer: Viewer, *args: str) -> list[list[str]]:
    done = run("count", "--url", viewer.url, *args)
    assert (done.returncode, done.stderr) == (0, "")
    return [line.split() for line in done.stdout.splitlines()]


def test_without_more_it_is_the_number_alone(viewer: Viewer) -> None:
    assert rows(viewer) == [["1520"]]
    assert rows(viewer, "replica:webapp-2", "since:1h") == [["20"]]
    assert rows(viewer, "-replica:webapp-2", "-replica:webapp-1") == [["0"]]


def test_by_something_each_value_has_its_count_and_its_bytes(viewer: Viewer) -> None:
    assert rows(viewer, "--by", "replica") == [["1500", "1.5MB", "webapp-1"], ["20", "0B", "webapp-2"]]
    assert rows(viewer, "--by", "path", "replica:webapp-2") == [["20", "0B", "/\\x1b"]]
    assert rows(viewer, "--by", "status", "replica:nobody") == []


def test_in_steps_of_time_each_has_its_count(viewer: Viewer) -> None:
    found = rows(viewer, "--step", "1m", "--utc", "replica:webapp-1")
    assert sum(int(row[0]) for row in found) == 1500 and len(found) == 2
    assert all(row[3].endswith(":00+00:00") for row in found)
    both = rows(viewer, "--step", "1m", "--by", "replica")
    assert [row[-1] for row in both] == ["webapp-1", "webapp-2", "webapp-1"]


def test_as_json_it_is_what_the_viewer_answers(viewer: Viewer) -> None:
    found = json.loads(run("count", "--json", "--by", "replica", "--url", viewer.url).stdout)
    assert found["groups"] == [
        {"start": None, "value": "webapp-1", "count": 1500, "bytes": 1500 * 1024},
        {"start": None, "value": "webapp-2", "count": 20, "bytes": 0},
    ]
    assert (found["others"], found["next"], found["complete"]) == (0, None, True)


def test_on_a_terminal_numbers_have_commas(viewer: Viewer) -> None:
    shown = on_terminal("count", "--by", "replica", "--url", viewer.url)
    assert shown == "1,500   1.5MB  webapp-1\n   20      0B  webapp-2\n"


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["--by", "colour"], 2, "'colour' is not one of 'replica'"),
        (["--step", "1w"], 2, "'1w' is no duration"),
        (["colour:red"], 1, "colour"),
    ],
)
def test_what_cannot_be_counted_is_said(viewer: Viewer, args: list[str], code: int, said: str) -> None:
    done = run("count", "--url", viewer.url, *args)
    assert (done.returncode, done.stdout) == (code, "") and said in done.stderr


def test_it_counts_by_whatever_the_viewer_does(viewer: Viewer) -> None:
    from gatebook.cli.count import BY
    from gatebook.viewer.search import counting

    assert counting.BY == BY


def test_help_shows_examples() -> None:
    assert "\n  gatebook count --by replica\n" in run("count", "--help").stdout
