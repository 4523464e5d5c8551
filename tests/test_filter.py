"""The grammar of filters: what is read, what is refused and with which words."""

import re
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta, timezone
from ipaddress import ip_network
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gatebook.filter import EVERYTHING, And, Expression, FilterError, Not, Or, Term, parse
from gatebook.filter.expression import At, Between, Pattern
from gatebook.filter.fields import BY_WORD, FIELDS

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
DOCUMENTED = Path(__file__).parent.parent.joinpath("docs", "filter.md").read_text()
ID = "019a3c5e-8f00-7a1b-8c2d-3e4f5a6b7c8d"


def word(*parts: str) -> Term:
    return Term("text", Pattern(parts))


def ms(text: str) -> At:
    return At(int(datetime.fromisoformat(text).timestamp() * 1000))


A, B, C, D = map(word, "abcd")
READ = [
    ("", EVERYTHING),
    (" \t\r\n", EVERYTHING),
    ("a", A),
    ("a b", And((A, B))),
    ("a AND b", And((A, B))),
    ("a OR b c", Or((A, And((B, C))))),
    ("a b OR c AND d", Or((And((A, B)), And((C, D))))),
    ("(a OR b) c", And((Or((A, B)), C))),
    ("(a)(b)", And((A, B))),
    ("-a", Not(A)),
    ("- a NOT b", And((Not(A), Not(B)))),
    ("--a", Not(Not(A))),
    ("-(a b)", Not(And((A, B)))),
    ("NOT(a)", Not(A)),
    ("or ORs AND and", And((word("or"), word("ORs"), word("and")))),
    ('"OR" "-a" a-b', And((word("OR"), word("-a"), word("a-b")))),
    ('"a b"', word("a b")),
    (r'"say \"hi\" \\ \d"', word(r"say " + '"hi"' + r" \ \d")),
    (r"a\b", word(r"a\b")),
    ("a*b*", word("a", "b", "")),
    ('"a*b"*', word("a*b", "")),
    ('x"y z"w', word("xy zw")),
    ('""', word("")),
    ("a\u00a0b", word("a\u00a0b")),
    ("method:POST", Term("method", Pattern(("POST",)))),
    ("method:OR", Term("method", Pattern(("OR",)))),
    ("method=P*", Term("method", Pattern(("P*",)), exactly=True)),
    ("(method:GET)", Term("method", Pattern(("GET",)))),
    ("path:/a/*/c", Term("path", Pattern(("/a/", "/c")))),
    ('path:"/a b/*"*', Term("path", Pattern(("/a b/*", "")))),
    ("path:-", Term("path", Pattern(("-",)))),
    ("target:?a=1&b:2<3", Term("target", Pattern(("?a=1&b:2<3",)))),
    ("header.X-A:*", Term("header", Pattern(("", "")), key=("X-A",))),
    ('header."x:y z".w=1', Term("header", Pattern(("1",)), True, ("x:y z.w",))),
    ("json.a.0.b:x", Term("json", Pattern(("x",)), key=("a", "0", "b"))),
    ('json."a.b".c"=".""=1', Term("json", Pattern(("1",)), True, ("a.b", "c=", ""))),
    ("client:10.0.0.1", Term("client", ip_network("10.0.0.1"))),
    ("client:10.1.2.3/8", Term("client", ip_network("10.0.0.0/8"))),
    ("peer=2001:db8::/32", Term("peer", ip_network("2001:db8::/32"))),
    ("status:503", Term("status", Between(503, 503))),
    ("status=5XX", Term("status", Between(500, 599))),
    ("status > 500", Term("status", Between(501, None))),
    ("size>1MB", Term("size", Between(2**20 + 1, None))),
    ("size>=10k", Term("size", Between(10 * 1024, None))),
    ("size <= 1GiB", Term("size", Between(None, 2**30))),
    ("size<512B", Term("size", Between(None, 511))),
    ("size:0", Term("size", Between(0, 0))),
    ("size:9223372036854775806", Term("size", Between(2**63 - 2, 2**63 - 2))),
    ("truncated:true -truncated=false", And((Term("truncated", True), Not(Term("truncated", False))))),
    ("since:30s", Term("since", ms("2026-11-23T11:59:30Z"))),
    ("since:15m", Term("since", ms("2026-11-23T11:45Z"))),
    ("since:1h", Term("since", ms("2026-11-23T11:00Z"))),
    ("since=7d", Term("since", ms("2026-11-16T12:00Z"))),
    ("until:2w", Term("until", ms("2026-11-09T12:00Z"))),
    ("since:999999999w", Term("since", At(0))),
    ("since:0001-01-01", Term("since", At(0))),
    ("since:2026-11-22", Term("since", ms("2026-11-22T00:00Z"))),
    ("since:2026-11-22T10:00", Term("since", ms("2026-11-22T10:00Z"))),
    ('until:"2026-11-22 10:00:30"', Term("until", ms("2026-11-22T10:00:30Z"))),
    ("until:2026-11-22T10:00:30.25Z", Term("until", ms("2026-11-22T10:00:30.250Z"))),
    ("until:2026-11-22T10:00:30.0001", Term("until", ms("2026-11-22T10:00:30.001Z"))),
    ("until:2026-11-22T10:00+01:00", Term("until", ms("2026-11-22T09:00Z"))),
    (f"id:{ID.upper()}", Term("id", UUID(ID))),
]


@pytest.mark.parametrize(("text", "expected"), READ, ids=[text for text, _ in READ])
def test_is_read_as(text: str, expected: Expression) -> None:
    assert parse(text, NOW) == expected


A_TERM = 'a term such as method:POST, a word, or "text in quotes"'
IN_QUOTES = "what holds one of : = < > is searched for in quotes"
ALL = (
    "method, path, target, header.NAME, json.A.B, body, client, peer, replica, scheme, version, status, size, truncated"
)
REFUSED = [
    ("size>1XB", 5, "size>1XB: expected a size such as 1MB, at character 6"),
    ("size:9223372036854775808", 5, "size:9223372036854775808: expected a size such as 1MB, at character 6"),
    ("size>9223372036854775807", 5, "size>9223372036854775807: expected a size such as 1MB, at character 6"),
    ("size>", 5, "expected a size such as 1MB, at the end"),
    ("a\tsize >= ", 10, "expected a size such as 1MB, at the end"),
    ("(-size<(", 7, "expected a size such as 1MB, in quotes if it has parentheses, at character 8"),
    ("header.x-y:", 11, "expected a text such as json, at the end"),
    ("metod:GET", 0, "metod is no field: expected a field (did you mean method?), at character 1"),
    ("a Header.x:y", 2, "Header.x is no field: expected a field (did you mean header?), at character 3"),
    (
        "http://h",
        0,
        f"http is no field: expected one of the fields {ALL}, since, until, id ({IN_QUOTES}), at character 1",
    ),
    ("status!=200", 0, "status! is no field: expected a - before the term to say not, as in -status:…, at character 1"),
    ("method.a:b", 0, "method.a is no field: expected a field (did you mean method?), at character 1"),
    ("method>GET", 6, "method>: expected : or = after method, at character 7"),
    ("method:", 7, "expected a method such as POST, at the end"),
    ("method: GET", 7, "expected a method such as POST, without a blank before it, at character 8"),
    ("path:(a)", 5, "expected a path such as /github/*, in quotes if it has parentheses, at character 6"),
    ("header:x", 0, "header: expected header.NAME, for example header.content-type:json, at character 1"),
    ('header."":x', 0, 'header."": expected header.NAME, for example header.content-type:json, at character 1'),
    ("json.a..b:x", 0, "json.a..b: expected json.A.B, for example json.repository.full_name:octo/*, at character 1"),
    ("json:x", 0, "json: expected json.A.B, for example json.repository.full_name:octo/*, at character 1"),
    ('a "b c', 2, '"b c: expected a closing ", at character 3'),
    ('body:"b c', 5, '"b c: expected a closing ", at character 6'),
    (f'"{"b" * 70}', 0, f'"{"b" * 59}…: expected a closing ", at character 1'),
    ("(a OR b", 7, "expected a closing ), at the end"),
    ("a)", 1, "expected an opening ( before this ), at character 2"),
    ("()", 1, f"expected {A_TERM}, at character 2"),
    ("a OR", 4, f"expected {A_TERM}, at the end"),
    ("OR a", 0, f"expected {A_TERM}, at character 1"),
    ("a AND OR b", 6, f"expected {A_TERM}, at character 7"),
    ("-", 1, f"expected {A_TERM}, at the end"),
    (":a", 0, f"expected {A_TERM}, at character 1"),
    ('"a b":c', 5, f"expected a blank here ({IN_QUOTES}), at character 6"),
    ("client:10.0.0", 7, "client:10.0.0: expected an address or a network such as 10.0.0.0/8, at character 8"),
    ("peer:fe80::1%eth0", 5, "peer:fe80::1%eth0: expected an address or a network such as 10.0.0.0/8, at character 6"),
    ("status:99", 7, "status:99: expected a status such as 413 or 5xx, at character 8"),
    ("status>5xx", 7, "status>5xx: expected a status such as 413 or 5xx, at character 8"),
    ("truncated:yes", 10, "truncated:yes: expected true or false, at character 11"),
    ("since:1y", 6, "since:1y: expected a duration such as 1h or a time such as 2026-11-22T10:00, at character 7"),
    (
        "until:2026-02-30",
        6,
        "until:2026-02-30: expected a duration such as 1h or a time such as 2026-11-22T10:00, at character 7",
    ),
    (
        "since:2026-11-22T25:00",
        6,
        "since:2026-11-22T25:00: expected a duration such as 1h or a time such as 2026-11-22T10:00, at character 7",
    ),
    ("id:1", 3, f"id:1: expected an id such as {ID}, at character 4"),
    ("a" * 4097, 4096, "expected at most 4096 characters, at character 4097"),
    ("a " * 101, 200, "expected at most 100 terms, at character 201"),
    ("(" * 51 + "a" + ")" * 51, 50, "expected at most 50 parentheses and NOTs within each other, at character 51"),
    ("-" * 51 + "a", 50, "expected at most 50 parentheses and NOTs within each other, at character 51"),
]


@pytest.mark.parametrize(("text", "position", "sentence"), REFUSED, ids=[text[:30] for text, *_ in REFUSED])
def test_is_refused_with_these_words(text: str, position: int, sentence: str) -> None:
    with pytest.raises(FilterError) as caught:
        parse(text, NOW)
    assert str(caught.value) == sentence
    assert caught.value.position == position
    assert caught.value.expected in sentence


def test_what_is_at_the_bounds_is_read() -> None:
    assert parse("a" * 4096) == word("a" * 4096)
    assert parse("a " * 100) == And((A,) * 100)
    assert parse("(" * 25 + "-" * 25 + "a" + ")" * 25)


def test_durations_count_back_from_now() -> None:
    def hour_ago(now: datetime) -> int:
        return int((now - timedelta(hours=1)).timestamp() * 1000)

    before = hour_ago(datetime.now(UTC))
    asked = parse("since:1h")
    assert isinstance(asked, Term) and isinstance(asked.value, At)
    assert before <= asked.value.ms <= hour_ago(datetime.now(UTC)) + 1
    east = datetime(2026, 11, 23, 13, 0, tzinfo=timezone(timedelta(hours=1)))
    assert parse("since:1h", east) == parse("since:1h", NOW) == parse("since:1h", NOW.replace(tzinfo=None))


TOKENS = [
    *(field.example for field in FIELDS),
    *BY_WORD,
    *'()":=<>-*\\. ',
    "AND",
    "OR",
    "NOT",
    '"a',
    "é",
    "\0",
    "\ud800",
]


@settings(deadline=None, max_examples=500)
@given(
    st.one_of(
        st.text(), st.lists(st.sampled_from(TOKENS)).map("".join), st.lists(st.sampled_from(TOKENS)).map(" ".join)
    )
)
@example("(" * 4096)
@example("-" * 4096)
@example('"' * 4095)
@example('\\"' * 2048)
@example('a"' * 2047)
@example("(a " * 1365)
@example("a" * 4095 + '"')
@example(("a" * 40 + '"b\\' + "c" * 20) * 60)
@example("json" + '."a"' * 1000 + "x")
@example("size" + " " * 4000 + "x")
@example("a " * 2000 + ")")
@example("path:" + "*" * 4000)
@example("since:" + "9" * 4000 + "d")
@example("size>" + "9" * 4000)
@example("٣٤٥ status:٣٤٥")
def test_any_text_is_read_or_refused_soon(text: str) -> None:
    began = time.process_time()
    try:
        parse(text, NOW)
    except FilterError as error:
        assert 0 <= error.position <= len(text)
        assert str(error).isprintable() or not text.isprintable()
    assert time.process_time() - began < 1


@pytest.mark.parametrize("text", ["a" * 4090 + "A:(", "size" * 1000 + "A:(", "a." * 2000 + ":("])
def test_what_is_wrong_is_said_in_linear_time(text: str) -> None:
    """The viewer reads filters in its event loop: these take it 1 ms, and a pattern tried from each character 250."""
    took_s = []
    for _ in range(3):
        began = time.process_time()
        with pytest.raises(FilterError):
            parse(text, NOW)
        took_s.append(time.process_time() - began)
    assert min(took_s) < 0.02


def _table(heading: str) -> list[str]:
    """The first cells of a section's table."""
    section = DOCUMENTED.split(f"## {heading}\n")[1].split("\n## ")[0]
    return re.findall(r"^\| `(.+?)` \|", section, flags=re.MULTILINE)


def test_every_field_is_documented_and_no_other() -> None:
    assert _table("Fields") == [field.name for field in FIELDS]
    for field in FIELDS:
        row = next(line for line in DOCUMENTED.splitlines() if line.startswith(f"| `{field.name}` |"))
        _, _, operators, _, example, _ = row.split("|")
        assert re.findall("`(.+?)`", operators) == list(field.operators)
        assert example.strip() == f"`{field.example}`"


def test_every_documented_example_is_read() -> None:
    examples = _table("Twenty examples")
    assert len(examples) == 20
    for text in [*examples, *(field.example for field in FIELDS)]:
        assert parse(text) != EVERYTHING, text


def test_the_table_of_fields_is_read_without_the_parser() -> None:
    """Completing a command line must not take longer for it."""
    loaded = "import sys, gatebook.filter.fields; sys.exit('lark' in sys.modules)"
    subprocess.run([sys.executable, "-c", loaded], check=True)
