"""What differs between two requests: the claims of the page that compares them."""

import hashlib
import json
import time
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gatebook.viewer.shown.difference import Comparison, Pair, Sent, compare


def sent(body: bytes | None = b"", sha256: str | None = None, **told: Any) -> Sent:
    request = {
        "method": "GET", "target": "/", "http_version": "1.1", "headers": [], "body_size": len(body or b""),
        "client": "192.0.2.1", "peer": "192.0.2.1", "scheme": "http", "replica": "webapp-1", "status": 200,
    }  # fmt: skip
    return Sent({**request, **told}, body, sha256)


def bodies(a: bytes, b: bytes) -> Comparison:
    return compare(sent(a), sent(b))


def differing(pairs: list[Pair]) -> list[tuple[str, str | None, str | None]]:
    return [(pair.name, pair.a, pair.b) for pair in pairs if pair.differs]


def headers(a: str, b: str) -> list[tuple[str, str | None, str | None, bool]]:
    """Of headers such as `A=1 B=2`."""
    ours, theirs = ([pair.split("=") for pair in one.split()] for one in (a, b))
    found = compare(sent(headers=ours), sent(headers=theirs)).headers
    return [(pair.name, pair.a, pair.b, pair.moved) for pair in found]


def test_equal_requests_do_not_differ_and_all_is_told() -> None:
    one = sent(b'{"a":1}', method="POST", target="/x?y=1", headers=[["Host", "h"]])
    found = compare(one, one)
    assert found.differing == []
    assert [pair.name for pair in found.line] == ["Method", "Path", "?y", "HTTP version"]
    assert (found.headers, found.body.pairs) == ([Pair("Host", "h", "h")], [Pair("a", "1", "1")])


def test_of_the_request_line_each_part_is_compared() -> None:
    found = compare(sent(target="/a?x=1&y=2&y=3"), sent(method="PUT", target="/b?y=2&y=4&z", http_version="1.0"))
    assert differing(found.line) == [
        ("Method", "GET", "PUT"), ("Path", "/a", "/b"), ("?x", "x=1", None), ("?y", "y=3", "y=4"),
        ("?z", None, "z"), ("HTTP version", "1.1", "1.0"),
    ]  # fmt: skip
    assert found.differing == ["request line"]


@pytest.mark.parametrize(("a", "b"), [("/", "/?"), ("/?a", "/?a="), ("/?a&", "/?a"), ("/?", "/?&"), ("/%41", "/A")])
def test_targets_that_are_written_differently_differ(a: str, b: str) -> None:
    assert compare(sent(target=a), sent(target=b)).differing == ["request line"]


def test_headers_belong_together_by_name_the_second_with_the_second() -> None:
    assert headers("A=1 X=1 X=2 B=1", "A=1 X=1 X=3 X=4") == [
        ("A", "1", "1", False), ("X", "1", "1", False), ("X", "2", "3", False), ("B", "1", None, False),
        ("X", None, "4", False),
    ]  # fmt: skip


def test_a_header_at_another_place_has_moved_and_the_others_have_not() -> None:
    assert headers("A=1 B=1 C=1 D=1", "B=1 C=1 N=1 D=1 A=1") == [
        ("A", "1", "1", True), ("B", "1", "1", False), ("C", "1", "1", False), ("N", None, "1", False),
        ("D", "1", "1", False),
    ]  # fmt: skip


def test_a_name_that_is_spelled_differently_differs() -> None:
    assert headers("X-A=1", "x-a=1") == [("X-A", "X-A: 1", "x-a: 1", False)]


def test_json_is_compared_by_path() -> None:
    a = b'{"user": {"name": "x", "tags": ["a", "b"]}, "odd key": 1, "e": {}, "n": null}'
    b = b'{"user": {"name": "y", "tags": ["a"]}, "odd key": 2, "e": [], "n": null}'
    found = bodies(a, b)
    assert found.body.kind == "json"
    assert differing(found.body.pairs) == [
        ("user.name", '"x"', '"y"'), ("user.tags[1]", '"b"', None), ('"odd key"', "1", "2"), ("e", "{}", "[]"),
    ]  # fmt: skip
    assert found.body.pairs[-1] == Pair("n", "null", "null")


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (b"1.0", b"1.00"),
        (b"1e2", b"100"),
        (b"0.1", b"0.1000000000000000055511151231257827"),
        (b"12345678901234567890", b"12345678901234567891"),
        (b"1", b'"1"'),
        (b'{"a":1,"a":2}', b'{"a":2}'),
        (b'{"a":1,"a":2}', b'{"a":2,"a":1}'),
        (b'{"a":1,"b":2}', b'{"b":2,"a":1}'),
        (b'{"a.b":1}', b'{"a":{"b":1}}'),
        (b'{"0":1}', b"[1]"),
        (b"null", b'"null"'),
        (b'{"a":1}', b'{"a": 1}'),
        (b'"\\u00e9"', '"é"'.encode()),
        (b"[[]]", b"[{}]"),
    ],
)
def test_json_that_is_written_differently_differs(a: bytes, b: bytes) -> None:
    assert bodies(a, b).differing == ["body"]


def test_json_with_the_same_values_differs_in_how_it_is_written_alone() -> None:
    body = bodies(b'{"a":1}', b'{ "a": 1 }\n').body
    assert (body.exact, differing(body.pairs)) == (False, [])


def test_text_is_compared_line_by_line() -> None:
    a, b = (["same"] * 20 for _ in range(2))
    a[10:12], b[10:12] = ["old", "gone"], ["new"]
    body = bodies("\n".join(a).encode(), "\n".join(b).encode()).body
    assert body.kind == "text"
    assert differing(body.pairs) == [("11", "old", "new"), ("12 / –", "gone", None)]
    assert [pair.skipped for pair in body.pairs if pair.skipped] == [7, 5]
    assert len(body.pairs) == 1 + 3 + 2 + 3 + 1


def test_inserted_lines_move_no_others() -> None:
    assert differing(bodies(b"a\nb\nc\n", b"a\nx\ny\nb\nc\n").body.pairs) == [
        ("– / 2", None, "x"),
        ("– / 3", None, "y"),
    ]


@pytest.mark.parametrize(
    ("a", "b"), [(b"a\n", b"a"), (b"a\r\n", b"a\n"), (b"", b"\n"), (b"", b"x"), (b"a\x0cb", b"a\nb")]
)
def test_texts_that_end_differently_differ(a: bytes, b: bytes) -> None:
    assert bodies(a, b).differing == ["body"]


def test_other_bodies_are_compared_by_size_and_sum() -> None:
    body = bodies(b"\0ab", b"\0ac!").body
    assert (body.kind, body.whole) == ("binary", True)
    assert [(pair.name, pair.a) for pair in body.pairs] == [
        ("Size", "3 bytes"), ("SHA-256", hashlib.sha256(b"\0ab").hexdigest()), ("First difference", "at byte 2"),
    ]  # fmt: skip


def test_bodies_that_are_not_at_hand_are_compared_by_what_is_known_of_them() -> None:
    same = compare(sent(None, "a" * 64, body_size=2**30), sent(None, "a" * 64, body_size=2**30)).body
    assert (same.kind, same.whole, same.differs) == ("sums", True, False)
    unknown = compare(sent(None, body_size=None), sent(b"x")).body
    assert (unknown.whole, unknown.pairs[0]) == (False, Pair("Size", "not known", "1 bytes"))
    assert compare(sent(None, body_size=None), sent(None, body_size=None)).differing == ["body"]


def test_of_long_values_the_part_that_differs_is_shown() -> None:
    a, b = "x" * 5000 + "a" + "y" * 5000, "x" * 5000 + "b" + "y" * 5000
    [pair] = compare(sent(headers=[["H", a]]), sent(headers=[["H", b]])).headers
    assert pair.a and pair.b and pair.differs and len(pair.a) < 2010
    assert pair.a.startswith("…xxx") and "xay" in pair.a and "xby" in pair.b and pair.a.endswith("y…")


def test_text_is_shown_as_it_was_meant() -> None:
    wire = "é".encode().decode("latin-1")
    assert compare(sent(headers=[["H", wire]]), sent(headers=[["H", "\xe9"]])).headers == [Pair("H", "é", "é")]


wire_texts = st.text(st.characters(max_codepoint=255), max_size=8)
some_bodies = st.one_of(
    st.binary(max_size=40),
    st.text(st.sampled_from("ab\n")).map(str.encode),
    st.text(st.sampled_from('{}[]":,1a \\')).map(str.encode),
    st.recursive(st.none() | st.floats() | st.text(), lambda of: st.lists(of) | st.dictionaries(st.text(), of)).map(
        lambda value: json.dumps(value).encode()
    ),
)
requests = st.builds(
    lambda body, **told: sent(body, **told),
    some_bodies,
    method=wire_texts,
    target=wire_texts,
    headers=st.lists(st.tuples(st.sampled_from(["A", "a", "B", "C"]), st.sampled_from(["", "1", "2"])), max_size=8),
)


@given(requests, requests)
@example(sent(b"[" * 100_000), sent(b'{"a":' * 1000 + b"1" + b"}" * 1000))
@example(sent(b"\xef\xbb\xbf{}"), sent(b'"\\ud800"'))
def test_whatever_was_sent_they_differ_exactly_where_the_bytes_do(a: Sent, b: Sent) -> None:
    found = compare(a, b)
    same_line = all(a.request[name] == b.request[name] for name in ("method", "target", "http_version"))
    told = {
        "request line": same_line,
        "headers": a.request["headers"] == b.request["headers"],
        "body": a.body == b.body,
    }
    assert found.differing == [name for name, same in told.items() if not same]
    assert sum(pair.a is not None for pair in found.headers) == len(a.request["headers"])
    assert sum(pair.b is not None for pair in found.headers) == len(b.request["headers"])


HOSTILE = {
    "values": (json.dumps([0] * 300_000).encode(), json.dumps([1] * 300_000).encode()),
    "long path": (json.dumps({"k" * 500_000: list(range(20_000))}).encode(), b"{}"),
    "deep": (b"[" * 990 + b"1" + b"]" * 990, b"[" * 990 + b"2" + b"]" * 990),
    "same lines": (b"a\nb\n" * 100_000, b"b\na\n" * 99_000),
    "few lines": (b"x\n" + b"a\nb\n" * 98, b"y\n" + b"b\na\n" * 98 + b"z"),
    "other lines": ("\n".join(map(str, range(80_000))).encode(), "\n".join(map(str, range(80_000, 0, -1))).encode()),
    "bytes": (b"\0" * 2**20, b"\0" * (2**20 - 1) + b"1"),
    "long values": (
        json.dumps(["\u200ba" * 60] * 1000 + [1]).encode(),
        json.dumps(["\u200ba" * 60] * 1000 + [2]).encode(),
    ),
    "long lines": ("\n".join(["\u200ba" * 240] * 1000).encode(), "\n".join(["\u200bb" * 240] * 1000).encode()),
    "one line": (b"a" * 2**20, b"a" * (2**20 - 1) + b"b"),
}


@pytest.mark.parametrize("which", HOSTILE)
def test_the_work_is_bounded(which: str) -> None:
    a, b = HOSTILE[which]
    began = time.process_time()
    pairs = bodies(a, b).body.pairs
    assert any(pair.differs for pair in pairs)
    assert sum(len(pair.name) for pair in pairs) < 3_000_000
    assert sum(len(pair.a or "") + len(pair.b or "") for pair in pairs) <= 512 * 1024
    assert len(pairs) <= 10_010 and time.process_time() - began < 4


def test_a_target_of_very_many_parameters_is_compared_as_one_text() -> None:
    a, b = "/x?" + "a&" * 60_000 + "1", "/x?" + "a&" * 60_000 + "2"
    found = compare(sent(target=a), sent(target=b))
    [(name, ours, theirs)] = differing(found.line)
    assert name == "Path" and ours and theirs and (ours[-1], theirs[-1]) == ("1", "2") and len(found.line) == 3
    assert compare(sent(target=a), sent(target="/x?a")).differing == ["request line"]
