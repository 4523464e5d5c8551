"""Filters that the program writes: they mean what they were written for, and nothing else."""

import time

import pytest
from filter_asked import expressions
from filter_rows import batch
from hypothesis import example, given
from hypothesis import strategies as st
from naive_filter import NOW, written
from written_terms import BOTH, TERMS

from gatebook.filter import And, Expression, FilterError, Or, Term, parse
from gatebook.filter.expression import Pattern
from gatebook.filter.written import both, quoted, term

TEXTS = ["method", "path", "target", "replica", "scheme", "version", "body"]
_PIECES = [*'ab"\\*.:=<>()- \t', "OR", "NOT", "é", "😀", "\u202e", "\u00a0"]
ODD = st.lists(st.sampled_from(_PIECES), max_size=12).map("".join)
text = ODD | st.text(max_size=20)


@pytest.fixture(autouse=True, scope="module")
def grammar() -> None:
    """Read beforehand, as it takes longer than an example may."""
    parse("")


def wire(text: str) -> str:
    return text.encode("utf-8", "surrogatepass").decode("latin-1")


@pytest.mark.parametrize(("asked", "expected"), TERMS)
def test_a_value_is_written_as_the_table_says(asked: tuple[str, ...], expected: str | None) -> None:
    assert term(*asked) == expected


@pytest.mark.parametrize(("filter", "found", "expected"), BOTH)
def test_a_term_is_added_as_the_table_says(filter: str, found: str, expected: str) -> None:
    assert both(filter, found) == expected


@given(st.sampled_from(TEXTS), text)
def test_a_term_means_its_value_and_nothing_else(field: str, value: str) -> None:
    if found := term(field, wire(value)):
        read = parse(found)
        assert isinstance(read, Term) and (read.field, read.value) == (field, Pattern((value,)))
        assert read.exactly or field in ("path", "replica", "scheme", "version")
    else:
        assert any(one in "\0\r\n" or "\ud800" <= one <= "\udfff" for one in value)


@given(text, text)
def test_a_header_is_found_by_name_and_whole_value(name: str, value: str) -> None:
    if found := term("header", wire(value), wire(name)):
        assert parse(found) == Term("header", Pattern((value,)), True, (name,))
        assert found == term(f"header.{wire(name)}", wire(value))


@given(st.lists(text, min_size=1, max_size=5), text)
@example(["0", "", "a.b"], "")
def test_a_value_in_json_is_found_by_its_keys(keys: list[str], value: str) -> None:
    if found := term("json", value, *keys):
        assert parse(found) == Term("json", Pattern((value,)), False, tuple(keys))


@given(st.binary(max_size=8))
def test_what_is_no_text_is_not_written(value: bytes) -> None:
    """Bytes that are no UTF-8 have no term, and all that have one give their own bytes back."""
    if found := term("header.a", value.decode("latin-1")):
        read = parse(found)
        assert isinstance(read, Term) and isinstance(read.value, Pattern)
        assert read.value.parts[0].encode() == value


@given(ODD, st.sampled_from([":", "="]))
def test_a_quoted_value_is_that_text(value: str, operator: str) -> None:
    assert parse(f"path{operator}{quoted(value, operator)}") == Term("path", Pattern((value,)), operator == "=")


@given(expressions(batch(1, 5)).map(written), ODD)
def test_both_is_and(filter: str, value: str) -> None:
    found = term("header.x", wire(value))
    assert found
    combined = parse(both(filter, found), NOW)
    assert _flat(combined) in (_flat(And((parse(filter, NOW), parse(found)))), _flat(parse(filter, NOW)))
    assert both(both(filter, found), found) == both(filter, found)


@given(ODD)
@example("a OR b")
def test_both_with_any_filter_that_is_right_is_right(filter: str) -> None:
    try:
        read = parse(filter)
    except FilterError:
        return
    combined = both(filter, "method=X")
    assert _flat(parse(combined)) == _flat(And((read, Term("method", Pattern(("X",)), True))))


def _flat(expression: Expression) -> list[Expression]:
    """The parts of AND within AND."""
    if isinstance(expression, And):
        return [inner for part in expression.parts for inner in _flat(part)]
    return [Or(expression.parts)] if isinstance(expression, Or) else [expression]


def test_adding_to_a_filter_takes_time_as_its_text_grows() -> None:
    """Whoever asks for a page says which filter its links go on from."""
    for hostile in ('"' + 2000 * '\\"', 4096 * '"', 4095 * '"' + "\\", 4096 * "(", 4096 * "-", 1000 * "a OR"):
        began = time.process_time()
        both(hostile, "method=GET")
        assert time.process_time() - began < 0.1
