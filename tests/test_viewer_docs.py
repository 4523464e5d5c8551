"""The page at `/_/api/docs` and its files, as they are sent; tests/browser/ looks at it."""

import re
from collections.abc import Iterator

import pytest
from postgres import Cluster
from viewer import Viewer, has_manners, is_problem

from gatebook.viewer.api.docs import FILES, POLICY


@pytest.fixture(scope="module")
def viewer(cluster: Cluster) -> Iterator[Viewer]:
    viewer = Viewer(cluster.new_database())
    yield viewer
    viewer.close()


def test_the_page_may_load_nothing_from_elsewhere_and_run_nothing_inline(viewer: Viewer) -> None:
    answer = viewer.get("/_/api/docs")
    assert answer.status_code == 200 and has_manners(answer)
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-security-policy"] == POLICY
    assert POLICY.startswith("default-src 'none'; script-src 'self';") and "unsafe" not in POLICY
    assert not re.search(r"\bon\w+=|<style|<script>|javascript:|https?://(?!www\.w3\.org/2000/svg)", answer.text)


def test_it_names_its_files_and_no_others(viewer: Viewer) -> None:
    assert set(re.findall(r'"\.\./static/([^"]+)"', viewer.get("/_/api/docs").text)) == set(FILES)


def test_parameters_are_refused_here_too(viewer: Viewer) -> None:
    for path in ("/_/api/docs", "/_/static/docs.js"):
        assert is_problem(viewer.get(path, configUrl="https://example.org"), 400)


def test_the_index_names_everything(viewer: Viewer) -> None:
    here = viewer.get("/_/api").json()["see"]
    parts = {"requests", "counts", "events", "filter", "audit", "trail", "gate", "metrics", "docs", "openapi", "ready"}
    assert set(here) == parts | {"viewer"}
    for name in set(here) - {"events"}:
        assert viewer.request("HEAD", here[name]).status_code == (503 if name == "audit" else 200), name
