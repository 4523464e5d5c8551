"""`gatebook tail` as a command, asking a real viewer, as a process, over HTTP."""

import contextlib
import re
import time
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from postgres import Cluster
from reading import Viewer, objects, on_terminal, run, running

ESCAPES = re.compile(r"\x1b\[[0-9;]*m")
LONG = "/" + "long/" * 60


@pytest.fixture(scope="module")
def viewer(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Viewer]:
    with contextlib.closing(Viewer(cluster, tmp_path_factory.mktemp("viewer"))) as viewer:
        yield viewer


def targets(viewer: Viewer, *args: str) -> list[str]:
    """The targets of what `gatebook tail ARGS` shows."""
    done = run("tail", "--json", "--url", viewer.url, *args)
    assert done.returncode == 0, done.stderr
    return [request["target"] for request in objects(done.stdout)]


def test_the_newest_are_shown_oldest_first(viewer: Viewer) -> None:
    viewer.has(*({"target": f"/{number}"} for number in range(30)))
    assert targets(viewer) == [f"/{number}" for number in range(5, 30)]
    assert targets(viewer, "-n", "2") == ["/28", "/29"]
    assert targets(viewer, "-n", "0") == []
    assert len(targets(viewer, "-n", "1000")) == 30


def test_json_is_what_the_viewer_answers_an_object_a_line(viewer: Viewer) -> None:
    target = "/\x1b\xe9\u0085"
    [id] = viewer.has({"target": target, "method": "PUT", "body": b"12345", "body_size": 5})
    done = run("tail", "--json", "--url", viewer.url)
    [request] = objects(done.stdout)
    assert (request["id"], request["target"], request["method"], request["body_size"]) == (id, target, "PUT", 5)
    assert done.stdout.isascii() and done.stdout.count("\n") == 1 and done.stderr == ""


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["method:POST"], ["/github/1", "/other"]),
        (["method:POST", "path:/github/*"], ["/github/1"]),
        (["method:POST path:/github/*"], ["/github/1"]),
        (["-status:200"], ["/other"]),
        (["-n", "1", "-status:413"], ["/github/2"]),
        (["path:/github/*", "-method:POST"], ["/github/2"]),
        (["-(status:200)"], ["/other"]),
        (['-"github"'], ["/other"]),
        (["-header.x-y:*", "-client:10.0.0.0/8"], ["/other"]),
        (["--", "-github"], ["/other"]),
        (["size>1kB", "OR", "target:2"], ["/github/2", "/other"]),
        (['header.host:"h"'], ["/github/1", "/github/2", "/other"]),
        (["since:1h"], ["/github/1", "/github/2", "/other"]),
        (["until:1h"], []),
    ],
)
def test_a_filter_may_be_several_words_and_begin_with_a_minus(
    viewer: Viewer, words: list[str], found: list[str]
) -> None:
    viewer.has(
        {"method": "POST", "target": "/github/1", "client": "10.1.2.3"},
        {"target": "/github/2", "client": "10.1.2.3"},
        {"method": "POST", "target": "/other", "status": 413, "body_size": 2048},
    )
    assert targets(viewer, *words) == found


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-sideways"], "No such option '-s'. (a word of the filter that begins with - goes behind --)"),
        (["-n", "x"], "'x' is not a valid integer"),
        (["--lost"], "No such option '--lost'"),
    ],
)
def test_what_is_neither_option_nor_filter_is_a_mistake_of_usage(words: list[str], said: str) -> None:
    done = run("tail", *words)
    assert done.returncode == 2 and said in done.stderr


@pytest.mark.parametrize(
    ("words", "under"),
    [
        (["method:POST", "size>1XB"], "1XB"),
        (["(status:200"], ""),
        (["a" * 100, "colour:red"], "colour"),
        (["päth:x"], "päth"),
        (["\x1b:x", "size>x"], "\\x1b"),
    ],
)
def test_a_mistake_in_a_filter_is_pointed_at(viewer: Viewer, words: list[str], under: str) -> None:
    done = run("tail", "--url", viewer.url, *words)
    assert (done.returncode, done.stdout) == (1, "")
    what, shown, mark, hint = done.stderr.splitlines()
    assert what.startswith("Error: ") and hint == "Try:   gatebook tail --help lists the fields"
    assert mark.strip() == "^" and shown[mark.index("^") :].startswith(under)
    assert under or len(shown) == mark.index("^")
    assert "\x1b" not in done.stderr


def test_in_a_pipe_each_is_a_whole_line_with_date_and_offset(viewer: Viewer) -> None:
    ids = viewer.has({"target": LONG}, {"method": "DELETE", "target": "/x", "replica": "webapp-12", "body_size": None})
    shown = run("tail", "--url", viewer.url, TZ="Asia/Kolkata").stdout
    first, second = [line.split() for line in shown.splitlines()]
    assert first[1:] == ["200", "0B", "192.0.2.1", "webapp-1", ids[0], "GET", LONG]
    assert second[1:] == ["200", "?", "192.0.2.1", "webapp-12", ids[1], "DELETE", "/x"]
    assert datetime.fromisoformat(first[0]).utcoffset() == timedelta(hours=5, minutes=30)
    assert shown.isascii() and "\x1b" not in shown
    columns = [[line.index(word) for word in ("192.", "webapp", "/")] for line in shown.splitlines()]
    assert columns[0] == columns[1]  # aligned


def test_times_can_be_had_in_utc(viewer: Viewer) -> None:
    viewer.has({})
    there = run("tail", "--url", viewer.url, TZ="Asia/Kolkata").stdout.split()[0]
    here = run("tail", "--url", viewer.url, "--utc", TZ="Asia/Kolkata").stdout.split()[0]
    assert here.endswith("+00:00") and datetime.fromisoformat(here) == datetime.fromisoformat(there)


def test_on_a_terminal_it_is_coloured_and_what_is_too_long_is_cut(viewer: Viewer) -> None:
    ids = viewer.has({"target": LONG}, {"target": "/日本" * 60})
    shown = on_terminal("tail", "--url", viewer.url, columns=160)
    assert "\x1b[" in shown
    lines = ESCAPES.sub("", shown).splitlines()
    assert [line.split()[5] for line in lines] == ids
    assert len(lines[0]) == 160 and all(line.endswith("…") for line in lines)
    assert re.match(r"\d\d:\d\d:\d\d\.\d{3}  200 ", lines[0])
    wide = sum(2 if char in "日本" else 1 for char in lines[1])
    assert wide in (159, 160)


def test_on_a_narrow_terminal_ids_stand_on_lines_of_their_own(viewer: Viewer) -> None:
    ids = viewer.has({"target": LONG}, {"target": "/short"})
    lines = ESCAPES.sub("", on_terminal("tail", "--url", viewer.url, columns=80)).splitlines()
    assert max(map(len, lines)) <= 80
    assert [line.strip() for line in lines[1::2]] == ids
    assert lines[2].endswith("GET   /short") and lines[0].endswith("…")


@pytest.mark.parametrize("variables", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_without_colour_where_none_is_wanted(viewer: Viewer, variables: dict[str, str]) -> None:
    viewer.has({})
    assert "\x1b" not in on_terminal("tail", "--url", viewer.url, **variables)


def test_on_a_terminal_another_day_is_a_line_of_its_own(viewer: Viewer) -> None:
    now_ms = time.time_ns() // 10**6
    then = datetime.fromtimestamp(now_ms / 1000 - 3 * 86400)
    viewer.has({"ms": now_ms - 3 * 86400 * 1000}, {"ms": now_ms})
    lines = ESCAPES.sub("", on_terminal("tail", "--url", viewer.url)).splitlines()
    assert len(lines) == 4 and lines[0].endswith(f"{then:%d %B %Y}") and lines[2].endswith(f"{datetime.now():%Y}")


def test_no_byte_that_a_terminal_would_obey_is_shown_as_it_is(viewer: Viewer) -> None:
    every = "".join(map(chr, range(1, 256))).replace(" ", "")
    turned = "\u202e\u2066\ufeff\u2028".encode().decode("latin-1")  # as wire text: one character per byte
    viewer.has({"target": f"/{every}"}, {"target": f"/{turned}"}, {"target": "/日本".encode().decode("latin-1")})
    shown = run("tail", "--url", viewer.url).stdout
    assert len(shown.splitlines()) == 3 and all(char.isprintable() or char == "\n" for char in shown)
    assert "\\x1b" in shown and "\\u202e" in shown and "/日本\n" in shown
    assert "\x1b[3" not in ESCAPES.sub("", on_terminal("tail", "--url", viewer.url))


def test_where_characters_cannot_be_shown_they_are_escaped(viewer: Viewer) -> None:
    viewer.has({"target": "/日本".encode().decode("latin-1")})
    done = run("tail", "--url", viewer.url, PYTHONIOENCODING="iso-8859-1")
    assert (done.returncode, done.stdout.split()[-1]) == (0, "/\\u65e5\\u672c")


def test_a_pipe_that_closes_ends_it_quietly(viewer: Viewer) -> None:
    viewer.has(*({"target": LONG} for _ in range(300)))
    with running("tail", "-n", "300", "--json", "--url", viewer.url) as tail:
        assert tail.stdout and tail.stderr
        tail.stdout.readline()
        tail.stdout.close()
        assert (tail.wait(30), tail.stderr.read()) == (141, "")


def test_help_shows_examples_and_the_fields(viewer: Viewer) -> None:
    page = run("tail", "--help").stdout
    assert "\n  gatebook tail -f -status:200\n" in page
    assert re.search(r"\n  path:/github/\*  +the target", page)
