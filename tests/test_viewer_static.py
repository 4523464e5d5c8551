"""The files that pages load, as they are sent."""

import gzip
import re
from collections.abc import Iterator

import pytest
from postgres import Cluster
from viewer import Viewer, is_problem

from gatebook.viewer import static


@pytest.fixture(scope="module")
def viewer(cluster: Cluster) -> Iterator[Viewer]:
    viewer = Viewer(cluster.new_database())
    yield viewer
    viewer.close()


@pytest.mark.parametrize("name", static.FILES)
def test_files_have_exact_types_and_are_asked_for_again_only_when_they_changed(viewer: Viewer, name: str) -> None:
    path = f"/_/static/{name}"
    answer = viewer.get(path, {"Accept-Encoding": "identity"})
    assert answer.status_code == 200 and answer.content
    kind = "text/css" if name.endswith(".css") else "text/javascript"
    assert answer.headers["content-type"] == f"{kind}; charset=utf-8"
    assert answer.headers["x-content-type-options"] == "nosniff" and answer.headers["cache-control"] == "no-cache"
    again = viewer.get(path, {"If-None-Match": answer.headers["etag"], "Accept-Encoding": "identity"})
    assert again.status_code == 304 and again.content == b"" and again.headers["etag"] == answer.headers["etag"]
    assert viewer.get(path, {"If-None-Match": '"other"'}).status_code == 200
    head = viewer.request("HEAD", path, headers={"Accept-Encoding": "identity"})
    assert (head.status_code, head.headers, head.content) == (200, answer.headers, b"")


def test_they_are_packed_for_whoever_can_unpack_them(viewer: Viewer) -> None:
    packed = viewer.get("/_/static/style.css", {"Accept-Encoding": "gzip"})
    assert packed.headers["content-encoding"] == "gzip" and packed.headers["vary"] == "Accept-Encoding"
    known = {"Accept-Encoding": "gzip", "If-None-Match": packed.headers["etag"]}
    assert viewer.get("/_/static/style.css", known).status_code == 304
    plain = viewer.get("/_/static/style.css", {"Accept-Encoding": "identity"})
    assert packed.headers["etag"] != plain.headers["etag"]
    assert packed.text == plain.text and len(gzip.compress(plain.content)) < len(plain.content) / 2
    assert int(packed.headers["content-length"]) < len(plain.content) / 2


def test_what_a_page_names_is_there_and_is_kept_for_good(viewer: Viewer) -> None:
    named = re.findall(r'(?:src|href)="(/_/static/[^"]+)"', viewer.get("/_/").text)
    assert {path.rpartition("/")[2] for path in named} == {"style.css", "theme.js", *static.MODULES}
    for path in named:
        answer = viewer.get(path)
        assert answer.status_code == 200 and "immutable" in answer.headers["cache-control"]


def test_every_module_imports_only_what_is_there(viewer: Viewer) -> None:
    for name in static.MODULES:
        text = viewer.get(f"/_/static/{name}").text
        imported = re.findall(r'^(?:import|export) [^"]*from "([^"]+)"', text, re.MULTILINE)
        assert {path.removeprefix("./") for path in imported} <= set(static.MODULES), name


def test_a_page_of_another_release_gets_the_file_of_today_and_may_not_keep_it(viewer: Viewer) -> None:
    answer = viewer.get("/_/static/0123456789abcdef/main.js")
    assert answer.status_code == 200 and answer.headers["cache-control"] == "no-cache"


@pytest.mark.parametrize(
    "path",
    ["docs.html", "__init__.py", "..%2fstatic.py", "favicon-32x32.png", "", "%2e%2e/one.py", "a/b", "a/b/main.js"],
)
def test_nothing_else_is_served(viewer: Viewer, path: str) -> None:
    assert is_problem(viewer.get(f"/_/static/{path}"), 404)
