"""Once, however often nginx tries, and 503 when nothing can be recorded: single parts, made to misbehave."""

import asyncio
import contextlib
import json
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from fake_replica import Fake, ok
from parts import LoadBalancer, Replica, environment, running, short_folder, status, until
from postgres import Cluster

from gatebook.settings import Settings


@pytest.fixture
def folder() -> Iterator[Path]:
    with short_folder() as path:
        yield path


class Swallower:
    """A replica that dies after the commit, before its answer: it hands each request on and keeps the first answers."""

    def __init__(self, path: Path, behind: Path, swallows: int) -> None:
        self.swallowed = 0
        self._behind = behind
        self._swallows = swallows
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        path.chmod(0o666)
        self._listener.listen()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with client, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as replica:
                replica.connect(str(self._behind))
                replica.sendall(client.recv(1 << 16))
                answer = replica.recv(1 << 16)
                assert answer.startswith(b"HTTP/1.1 200 OK")
                if self.swallowed < self._swallows:
                    self.swallowed += 1
                else:
                    client.sendall(answer)


@pytest.mark.parametrize("through", ["next upstream", "retry location"])
def test_a_replica_that_dies_after_commit_and_before_its_answer_leaves_one_row(
    folder: Path, database: Settings, cluster: Cluster, through: str
) -> None:
    """nginx repeats the POST with the same stamp; the second commit meets its own id."""
    replica = Replica(folder, "webapp-1", environment(database))
    first, second = folder / "first.sock", folder / "second.sock"
    upstream = [first, second] if through == "next upstream" else [first]
    balancer = LoadBalancer(folder, upstream)
    with running([replica]):
        swallowers = [Swallower(path, replica.socket, 1) for path in upstream[:1]]
        swallowers += [Swallower(path, replica.socket, 0) for path in upstream[1:]]
        try:
            with running([balancer]), httpx.Client() as client:
                answers = [client.post(f"{balancer.url}/hook", content=f"{number}") for number in range(2)]
        finally:
            for swallower in swallowers:
                swallower.close()
    assert [answer.status_code for answer in answers] == [200, 200]
    assert swallowers[0].swallowed == 1
    rows = cluster.psql("SELECT id, encode(body, 'escape') FROM requests", database.postgres_db).splitlines()
    assert sorted(rows) == sorted(f"{answer.json()['id']}|{number}" for number, answer in enumerate(answers))
    log = [json.loads(line) for line in balancer.access_log.read_text().splitlines()]
    assert max(len(line["upstreams"].replace(" : ", ", ").split(", ")) for line in log) == 2


def test_replicas_that_have_just_died_one_after_the_other_are_asked_again_as_soon_as_they_are_back(
    folder: Path,
) -> None:
    """nginx puts each aside for a second after a few failures; with all of them aside there would be nobody to ask."""
    paths = [folder / "first.sock", folder / "second.sock"]
    balancer = LoadBalancer(folder, paths)

    async def story() -> None:
        async def post() -> int:
            return (await client.post(balancer.url)).status_code

        async with httpx.AsyncClient() as client:
            async with Fake(ok(b"")).at(paths[1]):  # the first is dead
                assert {await post() for _ in range(20)} == {200}
            async with Fake(ok(b"")).at(paths[0]):  # it is back, and the second is dead
                paths[1].unlink()
                assert {await post() for _ in range(20)} == {200}

    with running([balancer]):
        asyncio.run(story())


def test_without_a_replica_the_refusal_is_ours(folder: Path) -> None:
    balancer = LoadBalancer(folder, [folder / "absent.sock"])
    with running([balancer]):
        answer = httpx.post(f"{balancer.url}/hook", content=b"x")
        viewer = httpx.get(f"{balancer.url}/_/api/requests")
    assert (answer.status_code, answer.headers["content-type"]) == (503, "application/json")
    assert int(answer.headers["retry-after"]) > 0
    assert answer.json()["error"] == "not recorded"
    assert (viewer.status_code, viewer.headers["content-type"]) == (503, "application/problem+json")
    assert viewer.json()["status"] == 503


def test_a_chunked_body_larger_than_is_read_is_recorded_without_it(
    folder: Path, database: Settings, cluster: Cluster
) -> None:
    replica = Replica(folder, "webapp-1", environment(database))
    balancer = LoadBalancer(folder, [replica.socket], GATEBOOK_BODY_MAX="64k")
    with running([replica, balancer]):
        answer = httpx.post(balancer.url, content=(b"x" * 1000 for _ in range(100)))
        after = httpx.post(balancer.url, content=b"fits")
        assert replica.process.poll() is None
    assert "[alert]" not in (folder / "lb.log").read_text()
    assert (answer.status_code, after.status_code) == (413, 200)
    rows = cluster.psql("SELECT body IS NULL, body_size, truncated, status FROM requests", database.postgres_db)
    assert sorted(rows.splitlines()) == ["f|4|f|200", "t||t|413"]


def test_a_replica_is_taken_over_without_dropping_anything(folder: Path, database: Settings) -> None:
    """The only replica is replaced under load: the new one renames its socket over the old one's path."""
    old, new = (Replica(folder, "webapp-1", environment(database)) for _ in range(2))
    balancer = LoadBalancer(folder, [old.socket])
    answers: list[int] = []
    stop = threading.Event()

    def load() -> None:
        with httpx.Client() as client:
            while not stop.is_set():
                answers.append(client.post(balancer.url, content=b"x").status_code)

    with running([old, balancer]):
        threads = [threading.Thread(target=load) for _ in range(4)]
        for thread in threads:
            thread.start()
        until(lambda: len(answers) > 50, "load on the old one")
        before = old.socket.stat().st_ino
        with running([new]):
            until(lambda: old.socket.stat().st_ino != before, "the new one has the path")
            assert old.stop() == 0
            so_far = len(answers)
            until(lambda: len(answers) > so_far + 50, "load on the new one")
            stop.set()
            for thread in threads:
                thread.join()
            assert status(old.socket, "/_/health/live") == 200  # who leaves does not take the path away
    assert set(answers) == {200}


def test_a_replica_answers_strangers_with_400_and_lives_on(folder: Path, database: Settings) -> None:
    replica = Replica(folder, "webapp-1", environment(database))
    with running([replica]):
        assert status(replica.socket, "/anything") == 400
        for bytes_ in (b"\r\n\r\n", b"\0" * 100 + b"\r\n\r\n", b"GET /\r\n\r\n", b"x" * (5 << 20)):
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stranger:
                stranger.connect(str(replica.socket))
                try:
                    stranger.sendall(bytes_)
                    stranger.recv(1000)
                except OSError:
                    pass  # it may well hang up on us
        assert status(replica.socket, "/_/health/ready") == 200
        assert status(replica.socket, "/", method="POST") == 400
        assert replica.stop() == 0


def test_a_load_balancer_that_hangs_up_does_not_hurt_the_replica(
    folder: Path, database: Settings, cluster: Cluster
) -> None:
    """It hangs up while the row is being written: the row is there, the answer is dropped, the replica lives on."""
    replica = Replica(folder, "webapp-1", environment(database))
    stamp = f"Gatebook Stamp: {'0123456789abcdef' * 2} {time.time():.3f} http 192.0.2.1\r\n"
    hop = f"GET / HTTP/1.1\r\n{stamp}Gatebook Request: GET / HTTP/1.1\r\n\r\n".encode()
    with running([replica]):
        impatient = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with cluster.locked("requests", database.postgres_db), impatient:
            impatient.connect(str(replica.socket))
            impatient.sendall(hop)
            waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
            until(lambda: cluster.psql(waiting, database.postgres_db) == "1", "the flush waits for the lock")
            impatient.close()
        until(lambda: cluster.psql("SELECT count(*) FROM requests", database.postgres_db) == "1", "the row is there")
        assert status(replica.socket, "/_/health/ready") == 200
        assert replica.stop() == 0
    assert "Traceback" not in replica.log.read_text()


def test_a_thousand_connections_at_once_are_not_turned_away(folder: Path, database: Settings) -> None:
    """To nginx a replica whose backlog is full has failed, and with all of them full there is nobody left to ask."""
    replica = Replica(folder, "webapp-1", environment(database))
    with running([replica]), contextlib.ExitStack() as opened:
        replica.process.send_signal(signal.SIGSTOP)
        try:
            for _ in range(1000):
                connection = opened.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
                connection.setblocking(False)
                connection.connect(str(replica.socket))  # raises BlockingIOError where the backlog is full
        finally:
            replica.process.send_signal(signal.SIGCONT)
