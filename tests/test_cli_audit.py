"""`gatebook audit` as a command, asking a real viewer, as a process, over HTTP."""

import contextlib
import http.server
import json
import os
import pty
import signal
import subprocess
import threading
from collections.abc import Iterator

import pytest
import reading
from postgres import Cluster
from reading import Viewer, environment, until


def command(*args: str) -> list[str]:
    return reading.command("audit", *args)


def run(*args: str) -> subprocess.CompletedProcess[str]:
    return reading.run("audit", *args)


@pytest.fixture(scope="module")
def viewer(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Viewer]:
    with contextlib.closing(Viewer(cluster, tmp_path_factory.mktemp("viewer"))) as viewer:
        yield viewer


def test_when_it_is_proven_it_says_so_and_ends_with_0(viewer: Viewer) -> None:
    viewer.happens(True, True, True)
    done = run("--url", viewer.url)
    assert (done.returncode, done.stderr) == (0, "")
    told = dict(row.split() for row in done.stdout.splitlines() if len(row.split()) == 2)
    assert told["acknowledged"] == told["recorded"] == "3"
    assert set(told.values()) == {"3", "0"}
    assert done.stdout.splitlines()[-1].startswith("Proven. Of 3 requests acknowledged from 20")


def test_when_something_is_missing_it_is_listed_and_the_end_is_1(viewer: Viewer) -> None:
    escape = "GET /\x9b31m\x7f\u0085 HTTP/1.1"  # what a terminal would obey
    [_, gone] = viewer.happens(True, False, request=escape)
    done = run("--url", viewer.url)
    assert (done.returncode, done.stderr) == (1, "")
    [row] = [row for row in done.stdout.splitlines() if row.startswith("missing:")]
    assert gone in row and "200 committed webapp-1 GET /" in row
    assert done.stdout.isascii() and not set(done.stdout) & {"\x7f", "\x1b"}
    assert done.stdout.splitlines()[-1].startswith("Not proven. Of 2 requests")


def test_as_json_it_is_what_the_viewer_answers(viewer: Viewer) -> None:
    viewer.happens(True, False)
    done = run("--url", viewer.url + "/", "--json", "--since", "1h")
    found = json.loads(done.stdout)
    assert (done.returncode, found["proven"], found["counts"]["missing"]) == (1, False, 1)


def test_only_the_span_that_was_asked_for_counts(viewer: Viewer) -> None:
    viewer.happens(False)
    assert run("--url", viewer.url, "--since", "2m").returncode == 1
    done = run("--url", viewer.url, "--since", "5s")
    assert (done.returncode, "nothing to prove" in done.stdout) == (0, True)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--since", "1 hour"], ["'1 hour'", "15m"]),
        (["--url", "127.0.0.1:8080"], ["no address of a Gatebook", "--url http://"]),
        (["--url", ""], ["no address of a Gatebook"]),
        (["--url", "http://"], ["no address of a Gatebook"]),
        (["--url", "http://127.0.0.1:99999"], ["no address of a Gatebook"]),
        (["--url", "http://127.0.0.1:1"], ["refused", "gatebook ps"]),
        (["--data", "/nowhere"], ["no stack runs on /nowhere", "gatebook up"]),
        (["--data", ""], ["--data is empty"]),
    ],
)
def test_what_cannot_be_asked_is_said_in_two_lines(viewer: Viewer, args: list[str], words: list[str]) -> None:
    viewer.happens(True)
    there = [] if {"--url", "--data"} & set(args) else ["--url", viewer.url]
    done = run(*args, *there)
    assert (done.returncode, done.stdout) == (1, "")
    assert [row.split(":")[0] for row in done.stderr.splitlines()] == ["Error", "Try"]
    assert all(word in done.stderr for word in words), done.stderr


def test_without_a_log_it_says_what_to_try(viewer: Viewer) -> None:
    viewer.log.unlink(missing_ok=True)
    done = run("--url", viewer.url)
    assert done.returncode == 1
    assert str(viewer.log) in done.stderr and "Try:   GATEBOOK_ACCESS_LOG" in done.stderr


def test_what_is_no_gatebook_is_said_so(viewer: Viewer) -> None:
    class Other(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Other) as server:
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        serving.start()
        done = run("--url", f"http://127.0.0.1:{server.server_port}")
        server.shutdown()
        serving.join()
    assert done.returncode == 1 and "seems to be no Gatebook" in done.stderr


def test_on_a_terminal_it_shows_how_far_it_is(viewer: Viewer) -> None:
    viewer.happens(True)
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        command("--url", viewer.url), env={**environment(), "TERM": "xterm"}, stdout=subprocess.PIPE, stderr=theirs
    ) as running:
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):  # EIO: nobody writes any more
            while piece := os.read(ours, 4096):
                shown += piece
        os.close(ours)
        assert running.stdout and b"Proven." in running.stdout.read()
    assert running.returncode == 0
    assert b"auditing" in shown and b"100%" in shown


def test_a_second_one_is_told_and_one_that_is_interrupted_makes_room(viewer: Viewer, cluster: Cluster) -> None:
    """What it needs to know of the days is locked, so the first one is at work for longer than anyone waits here."""
    viewer.happens(False)
    with (
        cluster.locked("days", viewer.gate.settings.postgres_db),
        subprocess.Popen(command("--url", viewer.url), env=environment(), stderr=subprocess.PIPE) as first,
    ):
        until(viewer.is_busy)
        assert "another audit is running" in run("--url", viewer.url).stderr
        first.send_signal(signal.SIGINT)
        assert first.wait(20) == 1
        assert first.stderr and b"Traceback" not in first.stderr.read()
        until(lambda: not viewer.is_busy())
    assert "1 is missing" in run("--url", viewer.url).stdout


def test_help_shows_examples(viewer: Viewer) -> None:
    assert "\n  gatebook audit --since 1h\n" in run("--help").stdout
