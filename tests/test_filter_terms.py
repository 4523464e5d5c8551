"""The law of terms: when a row matches a filter, its terms satisfy the filter's block condition."""

from collections import Counter
from dataclasses import replace
from ipaddress import ip_address

import pytest
from filter_asked import expressions
from filter_rows import batch
from filter_table import Table, as_read, table
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from naive_filter import NOW, matches, written

from gatebook.filter import Parameters, block_condition, parse, terms
from gatebook.filter.sql import PATH
from gatebook.filter.terms import path
from gatebook.settings import Settings

BATCHES = 4
AT_ONCE = 8

[SOME] = batch(0, 1)
ROW = replace(
    SOME,
    method="POST",
    target="/github/hooks/7?x=1",
    headers=(("X-GitHub-Event", "push"), ("Accept", "*/*")),
    peer="10.0.0.1",
    client="203.0.113.9",
    replica="webapp-2",
    scheme="https",
    status=503,
    truncated=True,
    body_size=(1 << 20) + 1,
)
EXCLUDED = [  # a block that holds ROW alone has none of these
    "method:GET",
    "path:/github/hooks/8",
    "path:/github/hook/*",
    "path:/github/hooks/7/*",
    "target=/github/hooks?x=1",
    "header.x-gitlab-event:*",
    "header.x-github-event=pull",
    "header.accept=push",
    "peer:203.0.113.9",
    "client:203.0.113.8",
    "client:204.0.0.0/8",
    "client:203.0.112.0/24",
    "client:2001:db8::/32",
    "replica:webapp-1",
    "scheme:http",
    "status:200",
    "status:4xx",
    "status<500",
    "truncated:false",
    "-truncated:true",
    "size>=2MB",
    "method:GET OR method:PUT",
    "NOT (truncated:true OR method:GET)",
    "body:x method:GET",
    '(path:/a OR path:/b) "x"',
    "replica:a\0",
]
KEPT = [  # and may have these
    "method:post path:/github/*",
    "path:/github/hooks/7 method:P*",
    "path:*7",
    "target=/github/hooks/7?x=1",
    "header.X-GITHUB-EVENT:us",
    "header.x-github-event=push header.accept:*",
    "client:203.0.113.0/25",
    "client:0.0.0.0/0",
    "client:203.0.0.0/9",
    "replica:web*",
    "status>=500",
    "status:503",
    "status:5xx",
    "truncated:true",
    "size>1MB",
    "size>512 -size>1GB",
    "method:GET OR method:POST",
]
UNTOLD = [
    "",
    "body:x",
    "body=\0",
    "-method:GET",
    "json.a:x",
    "word",
    "size<1MB",
    "path:/*",
    "method:GET OR body:x",
    "version:1.1",
    "since:1h",
]


def test_the_terms_of_what_matches_satisfy_the_block_condition(database: Settings) -> None:
    """And so do those of a block that it lies in."""
    told: Counter[str] = Counter()
    with table(database) as rows:

        @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
        @given(st.data(), st.integers(0, BATCHES - 1))
        def check(data: st.DataObject, number: int) -> None:
            batch = rows.batch(number)
            asked = data.draw(st.lists(expressions(batch), min_size=1, max_size=AT_ONCE))
            parameters = Parameters([row.id for row in batch])
            blocks = [block_condition(parse(written(each), NOW), parameters) for each in asked]
            found = rows.holding([block or "true" for block in blocks], parameters.values)
            for each, block, ids in zip(asked, blocks, found, strict=True):
                matching = {row.id for row in batch if matches(each, row)}
                assert matching <= ids, (written(each), block, [row for row in batch if row.id in matching - ids])
                told["nothing" if block is None else "less" if len(ids) < len(batch) else "all"] += 1

        check()
    assert told["less"] > told["all"], f"too few of the conditions leave something out: {told}"


def test_a_block_is_left_out_when_it_cannot_have_a_match(database: Settings) -> None:
    with table(database) as rows:
        rows.write([ROW])
        assert {filter: _may_match(rows, filter) for filter in EXCLUDED} == dict.fromkeys(EXCLUDED, False)
        assert {filter: _may_match(rows, filter) for filter in KEPT} == dict.fromkeys(KEPT, True)


@pytest.mark.parametrize("filter", UNTOLD)
def test_a_filter_of_which_terms_tell_nothing_leaves_no_parameters(filter: str) -> None:
    """PostgreSQL refuses parameters that a statement does not use."""
    parameters = Parameters("given")
    assert block_condition(parse(filter), parameters) is None
    assert parameters.values == ["given"]


def test_method_and_place_are_asked_for_together() -> None:
    """Neither a GET elsewhere nor a POST here makes a block one to look into."""
    both = replace(ROW, method="GET"), replace(ROW, target="/elsewhere")
    held = set().union(*(terms(as_read(row)) for row in both))
    parameters = Parameters()
    block_condition(parse("method:POST path:/github/*"), parameters)
    [asked] = parameters.values
    assert not set(asked) <= held


def test_terms_fit_an_integer_and_addresses_may_be_text_or_not() -> None:
    told = terms(as_read(ROW))
    assert all(-(2**31) <= term < 2**31 for term in told)
    assert told == terms({**as_read(ROW), "peer": ip_address(ROW.peer), "client": ip_address(ROW.client)})


def test_long_and_strange_rows_have_terms() -> None:
    for target in ("*", "", "/" * 9000, "/é" * 5000, "http://h"):
        headers = (("\xff" * 9000, ""), ("", "\0" * 9000))
        assert terms(as_read(replace(ROW, target=target, headers=headers, body_size=None)))


def test_a_path_is_the_same_in_python_and_in_sql(database: Settings) -> None:
    targets = sorted({row.target for number in range(20) for row in batch(number, 100)})
    with table(database) as rows:
        same = (
            f"SELECT array_agg({PATH} ORDER BY place) FROM unnest($1::text[]) WITH ORDINALITY AS given (target, place)"
        )
        assert rows.value(same, targets) == [path(target) for target in targets]


def _may_match(rows: Table, filter: str) -> bool:
    parameters = Parameters([ROW.id])
    [found] = rows.holding([block_condition(parse(filter), parameters) or "true"], parameters.values)
    return bool(found)
