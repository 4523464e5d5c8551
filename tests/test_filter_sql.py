"""What a filter matches, on a real PostgreSQL: always what a naive evaluator in Python says."""

import contextlib
import time
from collections import Counter
from dataclasses import replace
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from filter_asked import expressions
from filter_rows import Row, batch
from filter_table import Table, table
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from naive_filter import NOW, matches, written

from gatebook.filter import EVERYTHING, Expression, Parameters, condition, parse, span, text
from gatebook.filter.span import HIGHEST, LOWEST
from gatebook.settings import Settings

BATCHES = 8
AT_ONCE = 8  # expressions in a statement


@pytest.fixture(params=["short", "long"])
def sought(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is sought counts as long, and is sought part by part, or as what it is."""
    if request.param == "long":
        monkeypatch.setattr(text, "LONGEST_LIKE", 0)
        monkeypatch.setattr(text, "LONGEST_POSITION", 0)


@pytest.mark.usefixtures("sought")
def test_a_filter_matches_what_it_says(database: Settings) -> None:
    """Random filters made of what random rows hold, several in a statement, as live events ask."""
    selective: Counter[bool] = Counter()
    with table(database) as rows:

        @settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
        @given(st.data(), st.integers(0, BATCHES - 1))
        def check(data: st.DataObject, number: int) -> None:
            batch = rows.batch(number)
            asked = data.draw(st.lists(expressions(batch), min_size=1, max_size=AT_ONCE))
            found = _found(rows, batch, [parse(written(each), NOW) for each in asked])
            for each, ids in zip(asked, found, strict=True):
                expected = {row.id for row in batch if matches(each, row)}
                assert ids == expected, (written(each), [row for row in batch if row.id in ids ^ expected])
                selective[0 < len(ids) < len(batch)] += 1

        check()
    assert selective[True] > selective[False], f"too few of the filters tell rows apart: {selective}"


FIRST_OF_A_DAY = UUID("019a9e8f-9000-7000-8000-000000000000")  # id_floor('2025-11-20Z')
NASTY = [
    ("header.x-a:*", {"headers": [("X-a", "")]}),
    ('header.x-a=""', {"headers": [("X-A", "")]}),
    ("header.x-a:a*c", {"headers": [("b", "c"), ("X-A", "a\0c")]}),
    ("header.x-a:é", {"headers": [("X-A", "\xc3\xa9")]}),
    ("-header.x-a:*", {"headers": [("X-B", "X-A")]}),
    ('header.x-a="a\n" header.x-a:"\n"*x', {"headers": [("X-A", "a\n"), ("X-A", "\nax")]}),
    (r'header.x-a:"\"\\" "\"\\"', {"headers": [("X-A", '"\\')]}),
    (r"x\y", {"headers": [("X-A", r"x\y")]}),
    (r'header.x-a:"\\u0000"', {"headers": [("X-A", "\\u0000\0")]}),
    ("header.X-A:* header.É:* -header.é:*", {"headers": [("x-a", ""), ("\xc3\x89", "")]}),
    ("truncated:true", {"truncated": True}),
    ('""', {"body": None}),
    ("somewhere", {"target": "/somewhere", "headers": [], "body": None}),
    ("somewhere", {"target": "/", "headers": [("not-Xsomewhere", "")], "body": None}),
    ("some*where", {"target": "/", "headers": [("X", "some"), ("where", "some where")], "body": None}),
    ("-some*where", {"target": "/", "headers": [("some", "where")], "body": None}),
    ("somewhere", {"target": "/", "headers": [], "body": b"somewhere"}),
    (r"-target:a*\b -target:a*_b -target:a*%b target:a*x*b", {"target": "/axb"}),
    (r"-body:a*\b -body:a*_b -body:a*%b body:a*x*b", {"body": b"axb"}),
    ('-"a\0"', {"headers": [("X-A", "a\0")]}),
    ('body:"a\0"', {"body": b"ba\0b"}),
    ("body:\ud800", {"body": b"\xed\xa0\x80"}),
    ("header.\ud800:*", {"headers": [("\xed\xa0\x80", "")]}),
    ('-header."\0":*', {"headers": [("\0", "")]}),
    ('-json."\0":*', {"body": b'{"a": 1}'}),
    ("-json.a:\ud800", {"body": rb'{"a": "\ud800"}'}),
    ("-target:\0*", {}),
    ('body:"" body="" -body:* -body:**', {"body": b""}),
    ("body:*", {"body": b"\0"}),
    ('-body:* -body:""', {"body": None}),
    ("path:*b/c*c -path:/a/b*b/c -path:*bb*b*c -path:/a/b/c*c", {"target": "/a/b/b/c/c"}),
    ("body:é*é -body:é*é*é -body:é*b*é", {"body": "béxéb".encode()}),
    ("json.a:x*é*x -json.a:x*x*x -json.a:*éx*x", {"body": '{"a": "xéx"}'.encode()}),
    ("-body=x", {"body": None}),
    ("-size>=0", {"body_size": None}),
    ("size=0", {"body_size": 0}),
    ("size<9223372036854775806", {"body_size": 1 << 40}),
    ("-json.a:*", {"body": b'{"a": null}'}),
    ("-json.a.b:*", {"body": b'{"a": {"b": [1]}}'}),
    ("-json.a:*", {"body": b"[" * 100_000}),
    ("json.a.1.b=2.50", {"body": b'{"a": [0, {"b": 2.50}]}'}),
    ('json."a.b":é', {"body": '{"a.b": "é"}'.encode()}),
    ("path=/a target=http://h/a?b#c", {"target": "http://h/a?b#c"}),
    ('path=""', {"target": "http://h?a"}),
    ("method:po*t -method=POST", {"method": "Post"}),
    ("client:::ffff:0:0/96 -client:10.0.0.0/8", {"client": "::ffff:10.0.0.1"}),
    ("since:2025-11-20 -until:2025-11-20", {"id": FIRST_OF_A_DAY}),
    ("since:9999d until:9999-12-31", {}),
]


@pytest.mark.usefixtures("sought")
def test_what_is_not_there_matches_nothing_and_what_is_nasty_is_found(database: Settings) -> None:
    rows = batch(0, len(NASTY))
    changed = [replace(row, **difference) for row, (_, difference) in zip(rows, NASTY, strict=True)]
    with table(database) as stored:
        stored.write(changed)
        for (filter, _), row in zip(NASTY, changed, strict=True):
            [found] = _found(stored, [row], [parse(filter)])
            assert found == {row.id}, (filter, row)


A, LATE = "a" * 4000, [f"{'a' * 25}{number}" for number in range(10, 99)]
WORST = [
    (f"body:{A}b", {}),
    (f"body:{A}b*x", {}),
    (f"body:{'a*' * 1000}b*{A[:1900]}b*x", {}),
    (f"{A}*b*a", {}),
    (f"{A}b*a", {}),
    (" OR ".join(f"body:{part}" for part in LATE), {}),
    (" OR ".join(f"body:{part}*x" for part in LATE), {}),
    (f"json.a:*{A}b*x", {"body": b'{"a": "%s"}' % (b"a" * (10 * 2**20 - 9))}),
    (" OR ".join(f"json.a:*{part}*" for part in LATE), {"body": b'{"a": "%s"}' % (b"a" * (10 * 2**20 - 9))}),
    (f"target:b{A}", {"target": "a" * 2**20}),
    (f"path:*{A}b*x", {"target": "a" * 2**20}),
    (" OR ".join(f"target:{part}*x" for part in LATE), {"target": "a" * 2**20}),
    (f"header.x:b{A}", {"headers": [("X", "a" * 2**20)]}),
    (f"header.x:*{A}b*x", {"headers": [("X", "a" * 2**20)]}),
    ("header.x:b" + "\1" * 4000, {"headers": [("X", "\1" * 2**20)]}),  # six times as long in JSON
]


@pytest.mark.parametrize(("filter", "difference"), WORST, ids=[filter[:20] for filter, _ in WORST])
def test_no_filter_is_beyond_stopping(database: Settings, filter: str, difference: dict[str, Any]) -> None:
    """The worst that can be asked of the largest there is ends soon after it is told to; most need half a second."""
    with table(database) as rows:
        row = replace(batch(0, 1)[0], **{"target": "/", "headers": [], "body": b"a" * 10 * 2**20, **difference})
        rows.write([row])
        rows.value("SELECT set_config('statement_timeout', '100ms', false)")
        began = time.monotonic()
        with contextlib.suppress(asyncpg.QueryCanceledError):
            assert _found(rows, [row], [parse(filter)]) == [set()]
        assert time.monotonic() - began < 10  # those that go on until they are told take longer than 12 s else


def test_everything_is_true_and_conditions_stand_beside_anything(database: Settings) -> None:
    assert condition(EVERYTHING, Parameters()) == "true"
    with table(database) as rows:
        [row] = batch(0, 1)
        rows.write([row])
        parameters = Parameters([row.id])
        either = condition(parse("method:A OR method:B"), parameters)
        [found] = rows.holding([f"NOT {either} AND {either}"], parameters.values)
        assert found == set()


def test_parameters_come_after_those_given() -> None:
    parameters = Parameters("first", "second")
    assert "$3::text" in condition(parse("replica:a"), parameters)
    assert parameters.values == ["first", "second", "a"]


def test_the_span_is_what_time_and_id_say() -> None:
    day = FIRST_OF_A_DAY
    assert span(parse("since:2025-11-20")) == (day, HIGHEST)
    assert span(parse("method:GET (until:2025-11-20 path:/a)")) == (LOWEST, day)
    assert span(parse("-since:2025-11-20")) == (LOWEST, day)
    assert span(parse("NOT (until:2025-11-20 OR method:GET)")) == (day, HIGHEST)
    assert span(parse(f"id:{day}")) == (day, UUID(int=day.int + 1))
    assert span(parse("since:2025-11-20 OR method:GET")) == (LOWEST, HIGHEST) == span(EVERYTHING)
    low, high = span(parse("since:2025-11-21 until:2025-11-20"))
    assert low >= high


def test_a_time_begins_with_the_id_that_its_partition_begins_with(database: Settings) -> None:
    with table(database) as rows:
        assert rows.value("SELECT id_floor('2025-11-20Z')") == span(parse("since:2025-11-20"))[0]


def _found(stored: Table, rows: list[Row], expressions: list[Expression]) -> list[set[UUID]]:
    parameters = Parameters([row.id for row in rows])
    found = stored.holding([condition(expression, parameters) for expression in expressions], parameters.values)
    for expression, ids in zip(expressions, found, strict=True):
        low, high = span(expression)
        assert all(low <= id < high for id in ids), "what matches lies in the span"
    return found
