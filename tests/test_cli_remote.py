"""What the commands that read do when a viewer breaks off, has a gap, is away, or is none: with one that does so."""

import asyncio
import contextlib
import json
import shutil
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from fake_viewer import OPEN, FakeViewer, Step, answer, chunk, event, ndjson, page, position, problem, request, stream
from reading import PATIENCE_S, objects, on_terminal, run, running

from gatebook.access import token
from gatebook.cli.reading.own_viewer import OwnViewer
from gatebook.errors import UserError
from gatebook.stack import control
from gatebook.stack.folder import Folder

EVENTS, REQUESTS = "/_/api/events", "/_/api/requests"
Answers = Mapping[str, Sequence[Sequence[Step]]]


def test_a_stream_that_breaks_in_the_middle_of_a_line_goes_on_after_the_last_whole_event() -> None:
    """Half an event counts for nothing, though its id was there already: it is asked for again."""
    half = event("p2", "request", request(2))[:60]
    answers = {
        EVENTS: [
            [stream(position("p0"), event("p1", "request", request(1)), half)],
            [stream(position("p1"), event("p2", "request", request(2)), event("p3", "request", request(3)))],
            [stream(position("p3"), event("p4", "request", request(4))), OPEN],
        ],
        REQUESTS: [[page()]],
    }
    with FakeViewer(answers) as viewer, running("tail", "-f", "--json", "--url", viewer.url) as tail:
        assert tail.stdout and tail.stderr
        seen = [tail.stdout.readline() for _ in range(4)]
        tail.send_signal(signal.SIGINT)
        assert tail.wait(PATIENCE_S) == 130
        said = tail.stderr.read().splitlines()
    assert objects("".join(seen)) == [request(number) for number in (1, 2, 3, 4)]
    assert [asked.headers.get("last-event-id") for asked in viewer.asked_at(EVENTS)] == [None, "p1", "p3"]
    assert [words.split(":")[0] for words in said] == ["not live", "live again, where it stopped"] * 2


def test_while_the_viewer_is_away_it_tries_again_and_says_so_once() -> None:
    answers = {
        EVENTS: [
            [stream(position("p0"), event("p1", "request", request(1)))],
            [problem(503, title="the viewer does not answer", detail="try again")],
            [problem(503, detail="the database is away", hint="try again soon")],
            [answer(502, "text/html", b"<html>")],
            [stream(position("p1"), event("p2", "request", request(2))), OPEN],
        ],
        REQUESTS: [[page()]],
    }
    with FakeViewer(answers) as viewer, running("tail", "-f", "--json", "--url", viewer.url) as tail:
        assert tail.stdout and tail.stderr
        assert objects(tail.stdout.readline() + tail.stdout.readline()) == [request(1), request(2)]
        tail.send_signal(signal.SIGINT)
        said = tail.stderr.read().splitlines()
    assert len(said) == 2, said
    assert said[0].startswith("not live: ") and said[1].startswith("live again")


def test_a_gap_is_said_and_what_follows_is_shown() -> None:
    gap = event("p5", "gap", {"detail": "the database was \x1b[31mrestored", "since": None})
    answers = {
        EVENTS: [[stream(position("p0"), gap, event("p6", "request", request(6))), OPEN]],
        REQUESTS: [[page()]],
    }
    with FakeViewer(answers) as viewer, running("tail", "-f", "--json", "--url", viewer.url) as tail:
        assert tail.stdout and tail.stderr
        assert tail.stderr.readline() == "there is a gap: the database was \\x1b[31mrestored\n"
        assert objects(tail.stdout.readline()) == [request(6)]


def test_what_the_list_and_the_events_both_have_is_shown_once() -> None:
    answers = {
        EVENTS: [
            [stream(position("p0"), *(event(f"p{n}", "request", request(n)) for n in (1, 2, 3))), OPEN],
        ],
        REQUESTS: [[page(request(2), request(1))]],
    }
    with FakeViewer(answers) as viewer, running("tail", "-f", "--json", "--url", viewer.url) as tail:
        assert tail.stdout
        assert objects("".join(tail.stdout.readline() for _ in range(3))) == [request(1), request(2), request(3)]


def test_a_search_that_meets_its_deadline_is_gone_on_with_until_there_are_enough() -> None:
    answers = {
        REQUESTS: [
            [page(request(9), next="c1", complete=False)],
            [page(next="c2", complete=False)],
            [page(request(5), request(4), next="c3")],
        ]
    }
    with FakeViewer(answers) as viewer:
        done = run("tail", "-n", "3", "--json", "--url", viewer.url)
    assert objects(done.stdout) == [request(4), request(5), request(9)]
    assert [asked.query.get("cursor") for asked in viewer.asked] == [None, "c1", "c2"]


def test_following_does_not_wait_for_a_long_search() -> None:
    answers = {
        EVENTS: [[stream(position("p0"), event("p1", "request", request(1))), OPEN]],
        REQUESTS: [[page(request(0), next="c1", complete=False)]],
    }
    with FakeViewer(answers) as viewer, running("tail", "-f", "--json", "--url", viewer.url) as tail:
        assert tail.stdout
        assert objects(tail.stdout.readline() + tail.stdout.readline()) == [request(0), request(1)]
        assert tail.stderr and "what came before None is not searched" in tail.stderr.readline()
    assert len(viewer.asked_at(REQUESTS)) == 1


def test_an_interrupted_search_shows_what_it_has_found() -> None:
    searching = threading.Event()
    answers = {REQUESTS: [[page(request(9), next="c1", complete=False)], [searching.set, OPEN]]}
    with FakeViewer(answers) as viewer, running("tail", "--json", "--url", viewer.url) as tail:
        assert searching.wait(PATIENCE_S)
        tail.send_signal(signal.SIGINT)
        assert tail.stdout and tail.stderr
        assert objects(tail.stdout.read()) == [request(9)]
        assert (tail.wait(PATIENCE_S), tail.stderr.read()) == (130, "")


def test_counts_are_summed_over_as_many_answers_as_it_takes() -> None:
    def group(value: str, count: int) -> dict[str, object]:
        return {"start": None, "value": value, "count": count, "bytes": count * 1000}

    rest = {"complete": False, "reached": None}
    first = {"groups": [group("a", 2), group("b", 1)], "others": 3, "next": "c1", **rest}
    last = {"groups": [group("b", 9)], "others": 1, "next": None, **rest, "complete": True}
    with FakeViewer({"/_/api/counts": [[ndjson({"page": first})], [ndjson({"page": last})]]}) as viewer:
        done = run("count", "--by", "replica", "--url", viewer.url)
    assert [line.split() for line in done.stdout.splitlines()] == [
        ["10", "9.8kB", "b"],
        ["2", "2.0kB", "a"],
        ["4", "others"],
    ]


def test_on_a_terminal_a_long_search_shows_how_far_it_is() -> None:
    words = ndjson(
        {"progress": 0.31, "reached": None, "found": 0}, {"page": {"requests": [], "next": None, "complete": True}}
    )
    with FakeViewer({REQUESTS: [[words]]}) as viewer:
        shown = on_terminal("tail", "--url", viewer.url, stderr=True)
    assert "searching" in shown and "31%" in shown


def test_text_with_line_ends_of_unicode_is_one_object() -> None:
    """U+0085, U+2028 and the like may stand in JSON as they are; they end no line of it."""
    odd = request(1, target="/\u0085\u2028\x1c")
    line = (
        b'{"page": {"requests": [%s], "next": null, "complete": true}}\n' % json.dumps(odd, ensure_ascii=False).encode()
    )
    answers = {
        REQUESTS: [[answer(200, "application/x-ndjson", line)]],
        EVENTS: [[stream(position("p0"), event("p1", "request", {**odd, "id": "other"})), OPEN]],
    }
    with FakeViewer(answers) as viewer, running("tail", "-f", "--json", "--url", viewer.url) as tail:
        assert tail.stdout
        assert [found["target"] for found in objects(tail.stdout.readline() + tail.stdout.readline())] == [
            odd["target"]
        ] * 2


def test_a_reader_that_has_gone_ends_it_though_nothing_more_comes() -> None:
    answers = {EVENTS: [[stream(position("p0")), OPEN]], REQUESTS: [[page(request(1))]]}
    with FakeViewer(answers) as viewer, running("tail", "-f", "--url", viewer.url) as tail:
        assert tail.stdout and tail.stderr
        assert "/1" in tail.stdout.readline()
        tail.stdout.close()
        assert (tail.wait(PATIENCE_S), tail.stderr.read()) == (141, "")


def test_what_wait_has_found_it_shows_though_the_viewer_restarts_just_then() -> None:
    whole = request(1, body="paid", body_encoding="utf-8", body_size=4)
    answers = {
        EVENTS: [[stream(position("p0"), event("p1", "request", request(1))), OPEN]],
        f"{REQUESTS}/{whole['id']}": [[b""], [problem(503, title="away", detail="try again")], [_json(whole)]],
    }
    with FakeViewer(answers) as viewer:
        done = run("wait", "a", "--json", "--url", viewer.url)
    assert (done.returncode, json.loads(done.stdout)) == (0, whole)


def _json(found: object) -> bytes:
    return answer(200, "application/json", json.dumps(found).encode())


def test_wait_ends_in_time_however_often_the_viewer_says_that_it_is_there() -> None:
    keep_alive = chunk(b": still here\nid: p0\n\n")
    answers = {EVENTS: [[stream(position("p0")), *[lambda: time.sleep(0.2), keep_alive] * 6]]}
    with FakeViewer(answers) as viewer:
        began = time.monotonic()
        done = run("wait", "path:/never", "--timeout", "700ms", "--url", viewer.url)
    assert time.monotonic() - began < PATIENCE_S
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[1] == "Error: nothing that path:/never finds came within 0.7 s"


@pytest.mark.parametrize(
    ("answers", "more"),
    [
        ({EVENTS: [[problem(503, detail="the database is away", hint="h")]]}, []),
        ({EVENTS: [[stream(position("p0"))], [b""]]}, []),
        ({EVENTS: [[stream(position("p0")), OPEN]], REQUESTS: [[OPEN]]}, ["--since", "1m"]),
        ({EVENTS: [[stream(position("p0"), event("p1", "request", request(1))), OPEN]],
          f"{REQUESTS}/{request(1)['id']}": [[problem(404, detail="no such request", hint="h")]]}, []),
        ({EVENTS: [[problem(400, detail="what a filter", hint="h")]]}, []),
    ],
    ids=["it was never there", "it went away", "it looks back too long", "it came and went", "no filter"],
)  # fmt: skip
def test_wait_ends_with_2_when_nobody_can_say_whether_it_came(answers: Answers, more: list[str]) -> None:
    with FakeViewer(answers) as viewer:
        done = run("wait", "a", *more, "--timeout", "700ms", "--url", viewer.url)
    assert (done.returncode, done.stdout) == (2, "")
    assert [line.split(":")[0] for line in done.stderr.splitlines()][-2:] == ["Error", "Try"]


def test_wait_says_of_a_wrong_since_that_it_is_one() -> None:
    for wrong in ("bla", "1y", "1m)", ""):
        done = run("wait", "a", "--since", wrong, "--url", "http://127.0.0.1:1")
        assert done.returncode == 2 and "neither a duration such as 1m nor a time" in done.stderr, done.stderr


def test_wait_is_interrupted_with_130() -> None:
    with (
        FakeViewer({EVENTS: [[stream(position("p0")), OPEN]]}) as viewer,
        running("wait", "a", "--url", viewer.url) as waiting,
    ):
        assert waiting.stderr and "waiting for a" in waiting.stderr.readline()
        waiting.send_signal(signal.SIGINT)
        assert (waiting.wait(PATIENCE_S), waiting.stderr.read()) == (130, "")


def test_wait_says_that_it_did_not_look_into_a_gap() -> None:
    gap = event("p5", "gap", {"detail": "the database was restored", "since": None})
    answers = {EVENTS: [[stream(position("p0"), gap), OPEN]]}
    with FakeViewer(answers) as viewer, running("wait", "a", "--url", viewer.url) as waiting:
        assert waiting.stderr and "waiting for a" in waiting.stderr.readline()
        said = waiting.stderr.readline()
    assert said == "there is a gap, and what came in it is not looked at: the database was restored\n"


@pytest.mark.parametrize(("more", "asked"), [([], None), (["--since", "1m"], "since:1m")])
def test_wait_for_anything_waits_for_the_next_request(more: list[str], asked: str | None) -> None:
    answers = {
        EVENTS: [[stream(position("p0"), event("p1", "request", request(1))), OPEN]],
        REQUESTS: [[page()]],
        f"{REQUESTS}/{request(1)['id']}": [[_json(request(1, body="", body_encoding="utf-8"))]],
    }
    with FakeViewer(answers) as viewer:
        done = run("wait", "", *more, "--json", "--url", viewer.url)
        assert [asked.query.get("filter") for asked in viewer.asked_at(REQUESTS)] == [asked] * len(more[:1])
    assert (done.returncode, done.stderr) == (0, "waiting for any request, 30 s at most\n")


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (problem(503, title="the viewer does not answer", detail="requests are recorded; try again"), "try again"),
        (problem(503, detail="the database is away", hint="try again soon"), "Try:   try again soon"),
        (problem(400, detail="no \x1b[2J", hint="h"), "Error: no \\x1b[2J"),
        (answer(200, "text/html", b"<html>"), "seems to be no Gatebook"),
        (answer(404, "text/plain", b""), "answers 404 to this, and seems to be no Gatebook"),
        (answer(302, "text/html", b""), "seems to be no Gatebook"),
        (ndjson({"progress": 0.1}), "ended before its answer did"),
        (
            ndjson({"progress": 0.1}, {"error": {"detail": "too slow", "hint": "ask for less"}}),
            "Error: too slow\nTry:   ask",
        ),
        (answer(200, "application/x-ndjson", b'{"page": {"requ'), "ended before its answer did"),
        (b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nContent-Length: 100\r\n\r\n{", "no answer from"),
        (b"nonsense", "no answer from"),
        (b"", "no answer from"),
    ],
)
def test_trouble_is_said_in_two_lines(step: bytes, words: str) -> None:
    with FakeViewer({REQUESTS: [[step]]}) as viewer:
        done = run("tail", "--url", viewer.url)
    assert (done.returncode, done.stdout) == (1, "")
    assert [line.split(":")[0] for line in done.stderr.splitlines()] == ["Error", "Try"]
    assert words in done.stderr, done.stderr


@pytest.mark.parametrize("command", [["tail", "-f"], ["wait", "a"]])
def test_where_nobody_listens_from_the_beginning_is_no_restart(command: list[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    done = run(*command, "--url", url)
    assert done.returncode == (2 if command[0] == "wait" else 1)
    assert "refused" in done.stderr and "gatebook ps" in done.stderr


def test_an_address_may_have_a_path() -> None:
    with FakeViewer({f"/gate/way{REQUESTS}": [[page(request(1))]]}) as viewer:
        assert "/1" in run("tail", "--url", f"{viewer.url}/gate/way/").stdout


@pytest.mark.parametrize(
    "url",
    [
        "127.0.0.1:8080",
        "",
        "http://",
        "http://127.0.0.1:99999",
        "ftp://h",
        "http://h/?a",
        "http://h/#a",
        "http://[",
    ],
)
def test_what_is_no_address_is_said_so(url: str) -> None:
    done = run("tail", "--url", url)
    assert done.returncode == 1 and "no address of a Gatebook" in done.stderr, done.stderr


@pytest.mark.parametrize("command", [["tail", "-f"], ["wait", "a", "--since", "1m"]])
def test_the_look_back_of_those_who_follow_goes_on_though_the_viewer_restarts(command: list[str]) -> None:
    answers = {
        EVENTS: [[stream(position("p0")), OPEN]],
        REQUESTS: [[b""], [problem(503, title="away", detail="try again")], [page(request(1))]],
        f"{REQUESTS}/{request(1)['id']}": [[_json(request(1))]],
    }
    with FakeViewer(answers) as viewer, running(*command, "--json", "--url", viewer.url) as following:
        assert following.stdout
        assert following.stdout.readline()


# What lets a command in


_PATHS = [EVENTS, REQUESTS, "/_/api/counts", "/_/api/audit", f"{REQUESTS}/019aaf6e-3c5f-7d2a-8b1e-000000000001"]
DENIED = problem(401, detail="this Gatebook asks for a password", hint="sign in")
TOKEN = "gatebook_0123456789ab_" + "s" * 43


def test_a_token_is_shown_to_the_gatebook_that_was_named(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN + "\n")
    for environment in ({"GATEBOOK_TOKEN": TOKEN}, {"GATEBOOK_TOKEN_FILE": str(tmp_path / "token")}):
        with FakeViewer({REQUESTS: [[page(request(1))]]}) as viewer:
            assert run("tail", "--url", viewer.url, **environment).returncode == 0
        assert [asked.headers["authorization"] for asked in viewer.asked] == [f"Bearer {TOKEN}"]


def test_a_token_is_not_taken_along_to_another_host() -> None:
    with FakeViewer({REQUESTS: [[page()]]}) as other:
        away = f"HTTP/1.1 307 Elsewhere\r\nLocation: {other.url}{REQUESTS}\r\nConnection: close\r\n"
        with FakeViewer({REQUESTS: [[f"{away}Content-Length: 0\r\n\r\n".encode()]]}) as viewer:
            run("tail", "--url", viewer.url, GATEBOOK_TOKEN=TOKEN)
    assert [asked.headers.get("authorization") for asked in viewer.asked + other.asked] == [f"Bearer {TOKEN}", None]


@pytest.mark.parametrize(
    ("token", "what", "hint"),
    [
        ("", "asks for a password", "GATEBOOK_TOKEN to a token made there: gatebook token create"),
        (TOKEN, "does not know the token in GATEBOOK_TOKEN", "make one there: gatebook token create"),
    ],
)
def test_who_is_not_let_in_is_told_what_to_try(token: str, what: str, hint: str) -> None:
    for words in (["tail"], ["tail", "-f"], ["count"], ["show", "019aaf6e-3c5f-7d2a-8b1e-000000000001"], ["audit"]):
        with FakeViewer({path: [[DENIED]] for path in _PATHS}) as viewer:
            done = run(*words, "--url", viewer.url, GATEBOOK_TOKEN=token)
        assert (
            done.returncode and done.stderr.startswith(f"Error: {viewer.url} {what}\nTry:   ") and hint in done.stderr
        )
        assert "s" * 43 not in done.stdout + done.stderr


def test_what_is_no_token_is_told_without_showing_it() -> None:
    done = run("tail", "--url", "http://127.0.0.1:9", GATEBOOK_TOKEN="secret words")
    assert done.returncode == 1 and "GATEBOOK_TOKEN" in done.stderr and "secret" not in done.stderr


def test_a_password_in_a_url_is_shown_to_nobody() -> None:
    with FakeViewer({REQUESTS: [[answer(502, "text/html", b"")]]}) as viewer:
        done = run("tail", "--url", viewer.url.replace("://", "://me:hidden@"))
    assert done.returncode == 1 and viewer.url in done.stderr and "hidden" not in done.stderr


# The local stack


@pytest.fixture
def folder() -> Iterator[Folder]:
    """A stack's folder with a runner that says what runs, though nothing does."""
    made = Folder(Path(tempfile.mkdtemp(dir="/tmp")))
    made.claim()
    made.make(None)
    made.password.write_text("p" * 32 + "\n")
    with _runner(made):
        yield made
    shutil.rmtree(made.root)


@contextlib.contextmanager
def _runner(folder: Folder) -> Iterator[None]:
    async def answer(request: dict[str, Any], say: object) -> list[dict[str, str]]:
        viewer = {"role": "viewer", "address": f"unix:{folder.socket('viewer')}"}
        return [{"role": "lb", "address": "https://127.0.0.1:1"}, viewer]

    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(control.serve(folder, answer))
    serving = threading.Thread(target=loop.run_forever)
    serving.start()
    yield
    loop.call_soon_threadsafe(loop.stop)
    serving.join()
    server.close()
    loop.close()


def test_the_local_stack_is_asked_at_its_viewers_socket(folder: Folder) -> None:
    with FakeViewer({REQUESTS: [[page(request(1))]]}, folder.socket("viewer")) as viewer:
        done = run("tail", "--data", str(folder))
    assert done.returncode == 0 and "/1" in done.stdout, done.stderr
    [asked] = viewer.asked
    assert asked.headers["authorization"] == f"Bearer {token.operator('p' * 32)}"
    assert asked.headers["host"] == "localhost", "a name that is right whatever GATEBOOK_VIEW_HOSTS says"


def test_what_is_printed_names_the_address_that_others_know(folder: Folder) -> None:
    whole = request(1, body="", body_encoding="utf-8", body_size=0)
    path = f"{REQUESTS}/{whole['id']}"
    with FakeViewer({path: [[_json(whole)], [DENIED]]}, folder.socket("viewer")):
        assert "https://127.0.0.1:1/1" in run("show", whole["id"], "--curl", "--data", str(folder)).stdout
        denied = run("show", whole["id"], "--data", str(folder)).stderr
    assert denied.startswith("Error: https://127.0.0.1:1 was started with another password file\n")


def test_a_viewer_of_the_local_stack_that_does_not_answer_is_said_so_and_waited_for(folder: Folder) -> None:
    done = run("tail", "--data", str(folder))
    assert done.stderr.splitlines()[0] == "Error: the viewer does not answer" and "gatebook logs viewer" in done.stderr
    answers = {
        EVENTS: [[stream(position("p0"), event("p1", "request", request(1))), OPEN]],
        REQUESTS: [[page()]],
    }
    with running("tail", "-f", "--json", "--data", str(folder)) as tail:
        assert tail.stdout and tail.stderr
        assert tail.stderr.readline() == "not live: the viewer does not answer; trying again\n"
        with FakeViewer(answers, folder.socket("viewer")):
            assert objects(tail.stdout.readline()) == [request(1)]


def test_who_takes_the_place_of_the_folder_for_sockets_is_asked_nothing(folder: Folder, tmp_path: Path) -> None:
    """Where it is in /tmp and has gone, as after `down --volumes`, anybody may make it anew: here as a link."""
    client = httpx.Client(transport=OwnViewer(folder, str(folder.socket("viewer"))))
    with client, FakeViewer({"/": [[answer(200, "text/plain", b"")]]}, folder.socket("viewer")) as viewer:
        assert client.get("http://localhost/").status_code == 200
        elsewhere = folder.run.rename(folder.root / "elsewhere")
        folder.run.symlink_to(elsewhere)
        with pytest.raises(httpx.ConnectError):
            client.get("http://localhost/")
        with pytest.raises(UserError, match="no stack runs"):
            control.connect(folder)
    assert len(viewer.asked) == 1
