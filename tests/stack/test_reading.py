"""The commands that read, on a real stack: each request is shown once, whatever dies meanwhile; it can be found, waited
for, counted, and sent again as it was.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, example, given, note, settings
from hypothesis import strategies as st
from load import load
from local_stack import Stack, until
from wire import ask

PATIENCE_S = 30.0


class Tail:
    """`gatebook tail ARGS` while it runs: what it has shown so far, as objects."""

    def __init__(self, stack: Stack, *args: str) -> None:
        self._process = start(stack, "tail", "--json", *args)
        self.shown: list[dict[str, Any]] = []
        self.said = ""
        self._readers = [threading.Thread(target=self._read), threading.Thread(target=self._listen)]

    def __enter__(self) -> "Tail":
        for reader in self._readers:
            reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGINT)
        code = self._process.wait(PATIENCE_S)
        for reader in self._readers:
            reader.join()
        self._process.__exit__(None, None, None)
        assert code == 130 and "Traceback" not in self.said, self.said

    @property
    def targets(self) -> list[str]:
        return [request["target"] for request in self.shown]

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            self.shown.append(json.loads(line))

    def _listen(self) -> None:
        assert self._process.stderr
        for line in self._process.stderr:
            self.said += line


def start(stack: Stack, *args: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "gatebook", *args],
        env=stack.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1,
    )  # fmt: skip


def test_tail_shows_every_request_once_in_order_though_replica_viewer_and_database_die(own_stack: Stack) -> None:
    """Requests go on through three deaths, and each is answered; tail shows each, in the order of their commits."""
    own_stack.up("--scale", 3)
    with Tail(own_stack, "-f") as tail:
        until(lambda: tail.targets == ["/"], "tail shows the stack's own request")
        with load(own_stack.url, 4) as sent:
            for break_it in (
                lambda: own_stack.kill("webapp-2"),
                lambda: own_stack.kill("viewer"),
                lambda: own_stack.gatebook("restart", "db"),
                lambda: own_stack.kill("viewer"),
            ):
                break_it()
                own_stack.until_healthy()
                answered = sent.answered
                until(lambda least=answered + 100: sent.answered >= least, "requests go on")
        assert not sent.errors
        until(lambda: own_stack.spooled() == 0, "nothing waits in a spool")
        until(lambda: len(tail.shown) > len(sent.acknowledged), "tail has shown all", longest_s=120)
        in_order = own_stack.sql("SELECT unnest(ids) FROM batches ORDER BY xid, 1").splitlines()
        until(lambda: len(tail.shown) >= len(in_order), "tail has shown all that is recorded", longest_s=120)
    assert [request["id"] for request in tail.shown] == in_order
    assert sent.acknowledged <= set(in_order) and len(set(in_order)) == len(in_order)
    said = tail.said.splitlines()
    assert said[::2] and all(line.startswith("not live: ") for line in said[::2])
    assert all(line == "live again, where it stopped" for line in said[1::2])
    counted = own_stack.gatebook("count", "--by", "replica").stdout.splitlines()
    by_replica = {row.split()[2]: int(row.split()[0]) for row in counted}
    assert set(by_replica) == {"webapp-1", "webapp-2", "webapp-3"} and sum(by_replica.values()) == len(in_order)
    assert own_stack.gatebook("count").stdout == f"{len(in_order)}\n"


def test_what_arrives_while_tail_begins_is_shown_once(stack: Stack) -> None:
    """It listens before it looks: requests of that moment are in both."""
    for _ in range(3):
        with contextlib.ExitStack() as until_all_is_shown:
            with load(stack.url, 2) as sent:
                tail = until_all_is_shown.enter_context(Tail(stack, "-f", "-n", "100000", f"target:{sent.token}"))
                listed = sent.answered
                until(lambda tail=tail, least=listed + 100: len(tail.shown) > least, "tail follows")
            until(lambda tail=tail, sent=sent: len(tail.shown) >= sent.answered, "tail has shown all")
        assert not sent.errors and not tail.said
        assert sorted(request["id"] for request in tail.shown) == sorted(sent.acknowledged)


def test_tail_shows_what_it_is_asked_for_and_follows_that_alone(stack: Stack) -> None:
    name = os.urandom(4).hex()
    stack.send("POST", f"/{name}/before", b"x" * 2048)
    stack.send("GET", f"/{name}/other")
    with Tail(stack, "-f", f"path:/{name}/*", "-method:GET", "size>1kB") as tail:
        until(lambda: tail.targets == [f"/{name}/before"], "what was there")
        stack.send("POST", f"/{name}/small", b"x")
        stack.send("PUT", f"/{name}/after", b"x" * 2048)
        until(lambda: tail.targets == [f"/{name}/before", f"/{name}/after"], "what came, and no other")


def test_each_kind_of_term_finds_what_was_sent(stack: Stack) -> None:
    name = os.urandom(4).hex()
    body = json.dumps({"repository": {"full_name": f"octo/{name}"}, "n": 1}).encode()
    headers = {"X-GitHub-Event": "push", "Content-Type": "application/json", "X-Name": name}
    answer = httpx.post(f"{stack.url}/github/{name}?a=1&b={name}", content=body, headers=headers)
    id, replica = answer.headers["Gatebook-Id"], answer.headers["Gatebook-Replica"]
    stack.send("GET", f"/other/{name}")
    for term in (
        f"id:{id}", f"method:post {name}", f"path:/github/{name}", f"target:b={name}", f"header.x-name={name}",
        f"header.x-github-event:push {name}", f"body:octo/{name}", f"json.repository.full_name:*/{name}",
        f"client:127.0.0.0/8 path:/github/{name}", f"replica:{replica} path:/github/*{name}", f"-method:GET {name}",
        f"size>=20 {name} since:1h", f"{name} status:200 scheme:http version:1.1 truncated:false (body:octo OR never)",
    ):  # fmt: skip
        found = stack.gatebook("tail", "--json", term).stdout.splitlines()
        assert [json.loads(line)["id"] for line in found] == [id], term


def test_wait_returns_when_the_webhook_comes_and_prints_it(stack: Stack) -> None:
    name = os.urandom(4).hex()
    stack.send("POST", f"/hook/{name}", b"too early")
    with start(stack, "wait", f"path:/hook/{name}", "method:POST", "--timeout", "60s") as waiting:
        assert (
            waiting.stderr and waiting.stderr.readline() == f"waiting for path:/hook/{name} method:POST, 60 s at most\n"
        )
        stack.send("POST", f"/hook/other-{name}", b"another")
        answer = stack.send("POST", f"/hook/{name}", b"paid\n")
        assert waiting.wait(PATIENCE_S) == 0 and waiting.stdout
        shown = waiting.stdout.read()
        assert shown.startswith(f"POST /hook/{name} HTTP/1.1\nHost: ") and shown.endswith("\n\npaid\n")
        assert waiting.stderr.read().startswith(answer.headers["Gatebook-Id"])


def test_wait_looks_back_when_it_is_told_to(stack: Stack) -> None:
    name = os.urandom(4).hex()
    id = stack.send("POST", f"/hook/{name}", b"\xff").headers["Gatebook-Id"]
    done = stack.gatebook("wait", "method:PUT", "OR", f"path:/hook/{name}", "--since", "5m", "--json")
    found = json.loads(done.stdout)
    assert (found["id"], found["body"], found["body_encoding"]) == (id, "/w==", "base64")
    later = ("wait", f"path:/hook/{name}", "OR", "method:PUT", "--since", "2100-01-01", "--timeout", "3s")
    assert stack.gatebook(*later, check=False).returncode == 1


def test_wait_ends_with_1_when_nothing_comes_in_time(stack: Stack) -> None:
    name = os.urandom(4).hex()
    stack.send("POST", f"/hook/{name}")
    began = time.monotonic()
    done = stack.gatebook("wait", f"path:/hook/{name}", "--timeout", "3s", check=False)
    assert time.monotonic() - began > 3
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[1] == f"Error: nothing that path:/hook/{name} finds came within 3 s"
    assert stack.gatebook("wait", "", "--timeout", "3s", check=False).returncode == 1
    for wrong in (["--timeout", "30"], ["--timeout", "0s"], ["--since", "1h )"], [], ["size>x"], ["--since", "1y"]):
        assert stack.gatebook("wait", *(["a", *wrong] if wrong else []), check=False).returncode == 2
    assert "size>x" in stack.gatebook("wait", "size>x", check=False).stderr


# Sending again. A request is made of every byte that nginx takes, as tests/stack/test_exact.py does it.

MOVED = {
    "connection",
    "content-length",
    "transfer-encoding",
    "te",
    "keep-alive",
    "proxy-connection",
    "expect",
    "upgrade",
}
names = st.text(st.characters(max_codepoint=255, min_codepoint=33, exclude_characters=":\x7f"), min_size=1, max_size=20)
values = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n\0"), max_size=40)
lines = st.tuples(
    names.filter(lambda name: name.lower() not in {*MOVED, "host"} and name[0] != "@" and ";" not in name),
    values.map(lambda value: value.strip(" ")).filter(lambda value: not value or value.strip(" \t\v\f")),
)
target_chars = st.characters(max_codepoint=255, min_codepoint=33, exclude_characters="\x7f%")
targets = st.text(target_chars, max_size=40).map(lambda rest: "/" + rest).filter(lambda target: target[:3] != "/_/")
bodies = st.one_of(st.none(), st.binary(max_size=300), st.text(max_size=100).map(str.encode))
NASTY = [("X", "a \"quoted\" 'value' %s \\ $HOME `id` !! \xe9\x01\x1b"), ("X", "again"), ("Empty", "")]


@pytest.fixture(scope="session")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a command `gatebook`, for PATH."""
    folder = tmp_path_factory.mktemp("bin")
    script = folder / "gatebook"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} -P -m gatebook "$@"\n')
    script.chmod(0o755)
    return folder


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(["GET", "POST", "PUT", "HEAD", "DELETE", "FOO_-"]), targets, st.lists(lines, max_size=5), bodies)
@example("POST", "/q?'a'=\"b\"&$(id)`id`!!%41#f?", NASTY, bytes(range(256)))
@example("POST", "/q?", NASTY, b"@file\n'quoted' \"text\" %s \\n !!\n\n")
@example("PUT", "//a/../b", [("User-Agent", "x"), ("Accept", "y"), ("Content-Type", "z")], b"\r\n\r\n")
@example("GET", "/large", [], bytes(range(256)) * 5000)
@example("POST", "/text", [], b"line\n" * 20_000)
@example("POST", "http://example.com/absolute?x", [], b"")
def test_show_curl_piped_to_a_shell_sends_the_same_again(
    stack: Stack, shell: Path, method: str, target: str, lines: list[tuple[str, str]], body: bytes | None
) -> None:
    sent = _request(method, target, lines, None if method == "HEAD" else body)
    answer = ask(stack.url, sent)
    if answer.status in (400, 405):
        return  # nginx refused it
    with httpx.Client(base_url=f"{stack.url}/_/api/requests/") as api:
        id = answer.headers["gatebook-id"]
        command = subprocess.run(
            [str(shell / "gatebook"), "show", id, "--curl", "--reveal"],
            env=stack.environment,
            capture_output=True,
            timeout=60,
        )
        assert (command.returncode, command.stderr) == (0, b"")
        note(command.stdout.decode())
        again = _run(command.stdout, stack, shell)
        first, second = (_recorded(api, which) for which in (id, again))
    assert first == second


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /old HTTP/1.0\r\n\r\n",
        b"POST /chunked HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        b"POST /empty HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n",
        b"POST /without HTTP/1.1\r\nHost: h\r\n\r\n",
        b"GET /with HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\nabc",
        b"GET /hops HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nTE: trailers\r\n\r\n",
    ],
)
def test_how_it_was_framed_is_the_same_again(stack: Stack, shell: Path, sent: bytes) -> None:
    id = ask(stack.url, sent).headers["gatebook-id"]
    again = _run(stack.gatebook("show", id, "--curl").stdout.encode(), stack, shell)
    with httpx.Client(base_url=f"{stack.url}/_/api/requests/") as api:
        first, second = (_recorded(api, which) for which in (id, again))
    assert first == second


def _request(method: str, target: str, lines: list[tuple[str, str]], body: bytes | None) -> bytes:
    framing = [] if body is None else [("Content-Length", str(len(body)))]
    told = [("Host", "gate.example:81"), *lines, *framing]
    head = "".join(f"{name}: {value}\r\n" for name, value in told)
    return f"{method} {target} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + (body or b"")


def _run(command: bytes, stack: Stack, shell: Path) -> str:
    """Have sh run it; the id of what it sent."""
    environment = {**stack.environment, "PATH": f"{shell}:{os.environ['PATH']}", "HOME": str(shell)}
    done = subprocess.run(["sh"], input=command.replace(b"curl ", b"curl -sS -D - -o /dev/null ", 1), env=environment,
                          capture_output=True, timeout=60)  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b""), done.stderr
    [id] = [line.split(b": ")[1] for line in done.stdout.splitlines() if line.lower().startswith(b"gatebook-id")]
    return id.decode()


def _recorded(api: httpx.Client, id: str) -> tuple[Any, ...]:
    found = api.get(f"{id}?reveal=1").raise_for_status().json()
    told = tuple(found[name] for name in ("method", "target", "http_version", "headers", "body_size"))
    return *told, api.get(f"{id}/body?reveal=1").raise_for_status().content
