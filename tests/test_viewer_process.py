"""The viewer as a process: how it starts, stops, is replaced, and lives through a restart of the database."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from postgres import PASSWORD, Cluster

from gatebook.viewer.database import WALKS

PATIENCE_S = 20


def until(claim: Callable[[], object]) -> None:
    """Wait until `claim` is true."""
    deadline = time.monotonic() + PATIENCE_S
    while not claim():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)


class Process:
    """A viewer of its own, listening on `bind`."""

    def __init__(self, environment: dict[str, str], bind: str, log: Path) -> None:
        self._log = log
        kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "HOME") if name in os.environ}
        with open(log, "wb") as stderr:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "gatebook.viewer"],
                env={**kept, **environment, "GATEBOOK_BIND": bind},
                stderr=stderr,
            )
        path = bind.removeprefix("unix:")
        transport = httpx.HTTPTransport(uds=path) if path != bind else None
        self.client = httpx.Client(
            transport=transport, base_url="http://gate" if transport else f"http://{bind}", timeout=PATIENCE_S
        )

    def get(self, path: str) -> httpx.Response:
        return self.client.get(path)

    def listens(self) -> bool:
        assert self._process.poll() is None, self.log()
        return "the viewer listens on" in self.log()

    def log(self) -> str:
        return self._log.read_text()

    def wait(self) -> int:
        return self._process.wait(PATIENCE_S)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Its exit code."""
        self._process.send_signal(number)
        return self.wait()

    def remove(self) -> None:
        self.client.close()
        self._process.kill()
        self._process.wait()


@pytest.fixture
def start(tmp_path) -> Iterator[Callable[..., Process]]:
    """Starts viewers, which end with the test: `start(environment, bind)`."""
    with contextlib.ExitStack() as stack:

        def start(environment: dict[str, str], bind: str = f"unix:{tmp_path}/viewer.sock") -> Process:
            process = Process(environment, bind, tmp_path / f"log-{time.monotonic_ns()}")
            stack.callback(process.remove)
            return process

        yield start


@pytest.fixture
def environment(cluster: Cluster) -> dict[str, str]:
    return cluster.environment(cluster.new_database().postgres_db)


def test_it_migrates_an_empty_database_answers_and_ends_at_sigterm(start, environment, tmp_path):
    viewer = start(environment)
    until(viewer.listens)
    assert viewer.get("/_/health/ready").status_code == 200
    assert viewer.get("/_/api/requests").json()["requests"] == []
    assert viewer.client.get("/_/", headers={"Long": "x" * 500_000}).status_code == 200
    begun = time.monotonic()
    assert viewer.stop() == 0
    assert time.monotonic() - begun < 3
    assert (tmp_path / "viewer.sock").is_socket()
    assert viewer.log().count("\n") == 1  # the start, and nothing for each request


def test_it_listens_on_tcp_too_and_ends_at_ctrl_c(start, environment):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    viewer = start(environment, f"127.0.0.1:{port}")
    until(viewer.listens)
    assert viewer.get("/_/health/live").status_code == 200
    assert viewer.stop(signal.SIGINT) == 0
    assert "Traceback" not in viewer.log()


def test_a_client_that_stays_connected_does_not_hold_up_the_end(start, environment, tmp_path):
    viewer = start(environment)
    until(viewer.listens)
    with socket.socket(socket.AF_UNIX) as idle, socket.socket(socket.AF_UNIX) as half:
        idle.connect(f"{tmp_path}/viewer.sock")
        half.connect(f"{tmp_path}/viewer.sock")
        half.sendall(b"GET /_/ HTTP/1.1\r\nHost: ")
        assert viewer.get("/_/").status_code == 200
        begun = time.monotonic()
        assert viewer.stop() == 0
    assert time.monotonic() - begun < 3


def test_a_client_that_does_not_read_its_answer_is_cut_at_the_end(start, environment, cluster, tmp_path):
    viewer = start(environment)
    until(viewer.listens)
    cluster.psql(
        "INSERT INTO requests"
        " (id, peer, client, status, truncated, replica, scheme, http_version, method, target, headers, body) VALUES"
        " (uuidv7(), '::1', '::1', 200, false, '', '', '', '', '', '[]', decode(repeat('00', 10485760), 'hex'))",
        environment["POSTGRES_DB"],
    )
    (item,) = viewer.get("/_/api/requests").json()["requests"]
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(f"{tmp_path}/viewer.sock")
        client.sendall(f"GET /_/api/requests/{item['id']}/body HTTP/1.1\r\nHost: gate\r\n\r\n".encode())
        assert client.recv(12) == b"HTTP/1.1 200"
        begun = time.monotonic()
        assert viewer.stop() == 0
    assert time.monotonic() - begun < 4
    assert "Traceback" not in viewer.log()


def test_a_new_process_takes_over_the_path_of_a_running_one(start, environment, tmp_path):
    old = start(environment)
    until(old.listens)
    assert old.get("/_/health/live").status_code == 200
    new = start(environment)
    until(new.listens)
    assert old.get("/_/health/live").status_code == 200  # on the connection that it has
    assert old.stop() == 0
    assert new.get("/_/health/ready").status_code == 200
    assert sorted(path.name for path in tmp_path.glob("viewer.sock*")) == ["viewer.sock"]


def test_it_says_503_while_the_database_is_away_and_goes_on_when_it_is_back(start, own_cluster):
    viewer = start(own_cluster.environment(own_cluster.new_database().postgres_db))
    until(viewer.listens)
    for _ in range(2):
        until(lambda: viewer.get("/_/health/ready").status_code == 200)
        assert viewer.get("/_/api/requests").status_code == 200
        own_cluster.stop()
        for path in ("/_/health/ready", "/_/api/requests", "/_/api/counts") * 3:
            answer = viewer.get(path)
            assert answer.status_code == 503 and answer.headers["retry-after"] == "1"
            assert answer.headers["content-type"] == "application/problem+json"
        assert viewer.get("/_/health/live").status_code == 200
        own_cluster.start()
    until(lambda: viewer.get("/_/api/requests").status_code == 200)
    assert viewer.stop() == 0
    log = viewer.log()
    assert "Traceback" not in log
    assert log.count("the database is away") == log.count("the database is back") == 2
    assert log.count("\n") == 5


def test_a_database_that_falls_silent_is_not_waited_for(start, own_cluster):
    viewer = start(own_cluster.environment(own_cluster.new_database().postgres_db))
    until(viewer.listens)
    assert viewer.get("/_/health/ready").status_code == 200
    with own_cluster.paused():
        begun = time.monotonic()
        assert viewer.get("/_/health/ready").status_code == 503
        assert time.monotonic() - begun < 5
        assert viewer.get("/_/health/live").status_code == 200
    until(lambda: viewer.get("/_/health/ready").status_code == 200)
    assert "Traceback" not in viewer.log()


SLOW = """
INSERT INTO requests (id, peer, client, status, truncated, replica, scheme, http_version, method, target, headers, body)
SELECT uuidv7(), '::1', '::1', 200, false, '', '', '', '', '/', '[]', '1' FROM generate_series(1, 1000);
CREATE OR REPLACE FUNCTION body_json(body bytea) RETURNS jsonb
LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.1); RETURN '1'; END $$;
"""
DEAF = """
CREATE OR REPLACE FUNCTION body_json(body bytea) RETURNS jsonb
LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(60); RETURN '1';
EXCEPTION WHEN query_canceled THEN PERFORM pg_sleep(60); RETURN '1'; END $$;
"""


@pytest.mark.parametrize(
    ("path", "is_told_meanwhile", "deaf"),
    [
        ("requests", False, False),
        ("requests", True, False),
        ("counts", False, False),
        ("counts", False, True),
        ("counts", True, False),
        ("requests/{id}/neighbours", False, False),
    ],
)
def test_a_client_that_goes_away_cancels_its_search(
    start, cluster, environment, tmp_path, path, is_told_meanwhile, deaf
):
    """Ten clients ask for what takes long, and leave: soon nothing is sought any more, though a cancel goes unheard."""
    database = environment["POSTGRES_DB"]
    viewer = start(environment)
    until(viewer.listens)
    cluster.psql(SLOW, database)
    if deaf:
        cluster.psql(DEAF, database)
    path = path.format(id=cluster.psql("SELECT id FROM requests LIMIT 1", database))
    accepted = "application/x-ndjson" if is_told_meanwhile else "*/*"
    asked = f"GET /_/api/{path}?filter=json.a:1 HTTP/1.1\r\nHost: gate\r\nAccept: {accepted}\r\n\r\n"
    sought = (
        f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{database}' AND usename = 'gatebook_viewer'"
        " AND state <> 'idle'"
    )
    with contextlib.ExitStack() as clients:
        for _ in range(10):
            client = clients.enter_context(socket.socket(socket.AF_UNIX))
            client.connect(f"{tmp_path}/viewer.sock")
            client.sendall(asked.encode())
        until(lambda: cluster.psql(sought) == str(WALKS))
        if is_told_meanwhile:
            assert client.recv(12) == b"HTTP/1.1 200"
    begun = time.monotonic()
    until(lambda: cluster.psql(sought) == "0")
    assert time.monotonic() - begun < 5
    assert len(viewer.get("/_/api/requests").json()["requests"]) == 50
    assert "Traceback" not in viewer.log()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"POSTGRES_PASSWORD": PASSWORD + "!"}, "refuses the user gatebook"),
        ({"POSTGRES_DB": "nowhere"}, "there is no database nowhere"),
        ({"POSTGRES_HOST": "/nowhere", "GATEBOOK_START_TIMEOUT": "1"}, "no database answered"),
        ({"GATEBOOK_BODY_LIMT": "1"}, "did you mean GATEBOOK_BODY_LIMIT?"),
        ({"GATEBOOK_BIND": "nonsense"}, "expected HOST:PORT"),
    ],
)
def test_what_stops_it_is_said_in_two_lines(start, environment, wrong, said):
    bind = wrong.get("GATEBOOK_BIND")
    viewer = start({**environment, **wrong}, *([bind] if bind else []))
    assert viewer.wait() == 1
    assert said in viewer.log()
    assert [line.split(":")[0] for line in viewer.log().splitlines()] == ["Error", "Try"]


def test_a_taken_port_is_said_in_two_lines(start, environment):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        viewer = start(environment, f"127.0.0.1:{taken.getsockname()[1]}")
        assert viewer.wait() == 1
    assert viewer.log().startswith("Error: cannot listen on 127.0.0.1:") and "Traceback" not in viewer.log()
