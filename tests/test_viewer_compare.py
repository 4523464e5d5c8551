"""The page that compares two requests, over a real database."""

import contextlib
import json
import re
from collections.abc import Iterator
from uuid import UUID

import pytest
from postgres import Cluster
from viewer import Viewer

ABSENT = UUID("019aaf6e-3c5f-7d2a-8b1e-0242ac120002")


@pytest.fixture(scope="module")
def viewer(cluster: Cluster) -> Iterator[Viewer]:
    with contextlib.closing(Viewer(cluster.new_database())) as viewer:
        yield viewer


def page(viewer: Viewer, a: UUID, b: UUID) -> str:
    answer = viewer.get(f"/_/compare/{a}/{b}")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    return answer.text


def recorded(viewer: Viewer, body: bytes = b"", headers: list[list[str]] | None = None, **columns: object) -> UUID:
    return viewer.record(body=body, body_size=len(body), headers=json.dumps(headers or []), **columns)


def heading(html: str) -> str:
    [found] = re.findall(r'<h1 id="compare-title">(.*?)</h1>', html, re.DOTALL)
    return found.strip()


def differing(html: str) -> list[str]:
    """The names of the rows that are marked."""
    rows = re.findall(r'<tr role="row" class="differs">\s*<th[^>]*>(.*?)</th>', html, re.DOTALL)
    return [re.split(r"\s*<", row)[0] for row in rows]


def test_it_tells_what_differs_and_what_does_not(viewer: Viewer) -> None:
    a = recorded(viewer, b'{"n": 1.0, "same": 1}', [["Host", "h"], ["X", "1"]], method="POST", target="/hook?x=1")
    b = recorded(viewer, b'{"n": 1.00, "same": 1}', [["Host", "h"]], method="POST", target="/hook?x=2", replica="w-2")
    html = page(viewer, a, b)
    assert heading(html) == "They differ in request line, headers, body"
    assert differing(html) == ["?x", "X", "n", "Replica"]
    assert "<del>1.0</del>" in html and "<ins>1.00</ins>" in html and ">same" in html


def test_equal_ones_are_said_to_be(viewer: Viewer) -> None:
    a, b = (recorded(viewer, b"text\n", [["A", "b"]]) for _ in range(2))
    html = page(viewer, a, b)
    assert heading(html) == "They were sent alike" and differing(html) == []


def test_it_leads_to_both_and_the_other_way_round(viewer: Viewer) -> None:
    a, b = recorded(viewer), recorded(viewer)
    html = page(viewer, a, b)
    for url in (f"/_/compare/{b}/{a}", f"/_/requests/{a}", f"/_/requests/{b}"):
        assert f'href="{url}"' in html


def test_json_that_is_equal_but_written_otherwise_is_said_to_be_so(viewer: Viewer) -> None:
    html = page(viewer, recorded(viewer, b'{"a":1}'), recorded(viewer, b'{"a": 1}\n'))
    assert heading(html) == "They differ in body" and "not written alike" in html and differing(html) == []


@pytest.mark.parametrize("body", [b"", b"[]", b"text", b"\0", b"a\nb", b"[1,2]", b'"\\ud800"'])
def test_all_kinds_of_bodies_are_compared_with_each_other(viewer: Viewer, body: bytes) -> None:
    a = recorded(viewer, body)
    for other in (b"", b"[]", b"text", b"\0", b"a\nb", b"[1,2]", b'"\\ud800"'):
        assert ("body" in heading(page(viewer, a, recorded(viewer, other)))) == (other != body)


def test_large_bodies_are_compared_by_their_sums(viewer: Viewer) -> None:
    a, b = recorded(viewer, b"x" * 2**21), recorded(viewer, b"x" * 2**21)
    assert heading(page(viewer, a, b)) == "They were sent alike"
    html = page(viewer, a, recorded(viewer, b"x" * (2**21 - 1) + b"y"))
    assert differing(html) == ["SHA-256"] and "short and kept whole" in html


def test_bodies_that_were_not_kept_are_not_said_to_be_equal(viewer: Viewer) -> None:
    a, b = (viewer.record(body=None, body_size=None, truncated=True) for _ in range(2))
    html = page(viewer, a, b)
    assert heading(html) == "They differ in body" and "Not all of that is known" in html


def test_what_a_client_sent_is_text_and_nothing_else(viewer: Viewer) -> None:
    evil = "<script>alert(1)</script>'\"\u202e".encode().decode("latin-1")
    body = json.dumps({evil: evil}).encode()
    a = recorded(viewer, body, [[evil, evil]], method=evil, target=f"/{evil}?{evil}={evil}", replica=evil)
    for other in (recorded(viewer), recorded(viewer, evil.encode("latin-1"))):
        html = page(viewer, a, other)
        assert "<script>" not in html and "\u202e" not in html and "&lt;script&gt;" in html


@pytest.mark.parametrize(("a", "b"), [(True, False), (False, True)])
def test_one_that_is_not_recorded_is_said(viewer: Viewer, a: bool, b: bool) -> None:
    there = recorded(viewer)
    answer = viewer.get(f"/_/compare/{there if a else ABSENT}/{there if b else ABSENT}")
    assert answer.status_code == 404 and str(ABSENT) in answer.text


def test_what_is_no_id_is_refused(viewer: Viewer) -> None:
    assert viewer.get("/_/compare/x/y").status_code == 400
