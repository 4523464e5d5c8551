"""More than can be held at once: bounded memory, clean refusals, nothing acknowledged is lost."""

import concurrent.futures
import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from parts import LoadBalancer, Replica, environment, running, short_folder, until
from postgres import Cluster

from gatebook.settings import Settings

MIB = 1024 * 1024
CLIENTS = 60
MOST_RESIDENT = 250 * MIB


@pytest.fixture
def folder() -> Iterator[Path]:
    with short_folder() as path:
        yield path


def test_many_large_bodies_at_once_do_not_fill_a_replicas_memory(
    folder: Path, database: Settings, cluster: Cluster
) -> None:
    """Bodies wait in the load balancer until a replica has room for them; who waits too long is told to come again."""
    replicas = [Replica(folder, f"webapp-{number}", environment(database)) for number in (1, 2)]
    balancer = LoadBalancer(folder, [replica.socket for replica in replicas])
    body = os.urandom(10 * MIB)

    def post(number: int) -> httpx.Response:
        return httpx.post(f"{balancer.url}/{number}", content=body, timeout=120)

    with running([*replicas, balancer]), concurrent.futures.ThreadPoolExecutor(CLIENTS) as clients:
        pending = [clients.submit(post, number) for number in range(CLIENTS)]
        watched = [psutil.Process(replica.process.pid) for replica in replicas]
        most = 0
        while concurrent.futures.wait(pending, 0.05).not_done:
            most = max(most, *(process.memory_info().rss for process in watched))
        answers = [each.result() for each in pending]
        after = httpx.post(f"{balancer.url}/after", content=b"small", timeout=30)
    recorded = [answer for answer in answers if answer.status_code == 200]
    refused = [answer for answer in answers if answer.status_code != 200]
    print(f"{len(recorded)} of {CLIENTS} recorded, at most {most / MIB:.0f} MiB a replica")
    assert most < MOST_RESIDENT
    assert {answer.status_code for answer in refused} <= {503}
    assert all(answer.headers["retry-after"] == "1" for answer in refused)
    assert len(recorded) >= 8
    assert after.status_code == 200
    ids = {answer.json()["id"] for answer in recorded if answer.json()["durability"] == "committed"}
    stored = cluster.psql("SELECT id FROM requests WHERE octet_length(body) = 10485760", database.postgres_db)
    assert ids <= set(stored.splitlines())


def test_a_body_that_finds_no_room_is_refused_by_the_first_replica_that_it_is_sent_to(
    folder: Path, database: Settings
) -> None:
    """It fits into the socket's buffers, so to nginx it has been sent: it is refused before nginx asks elsewhere."""
    replicas = [
        Replica(folder, f"webapp-{number}", {**environment(database), "GATEBOOK_BODY_LIMIT": "64MiB"})
        for number in (1, 2)
    ]
    balancer = LoadBalancer(folder, [replica.socket for replica in replicas])
    line = "POST / HTTP/1.1\r\n"
    stamp = f"Gatebook Stamp: {'0123456789abcdef' * 2} 1763858054.123 http 192.0.2.1\r\n"
    half = f"{line}{stamp}Gatebook Request: {line}Content-Length: {64 * MIB}\r\n\r\n".encode()
    with running([*replicas, balancer]), contextlib.ExitStack() as held:
        for replica in replicas:
            greedy = held.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            greedy.connect(str(replica.socket))
            greedy.sendall(half)
            until(lambda replica=replica: body_bytes(replica) == 64 * MIB, "all its room is taken")
        answer = httpx.post(balancer.url, content=b"x" * 100_000, timeout=60)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert "more bodies to write than it can hold" in answer.json()["detail"]
    assert answer.elapsed.total_seconds() < 5


def body_bytes(replica: Replica) -> float:
    """How much room its bodies take, as the replica's own metrics say."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.connect(str(replica.socket))
        connection.sendall(b"GET /_/metrics HTTP/1.1\r\nHost: h\r\n\r\n")
        text = b"".join(iter(lambda: connection.recv(65536), b"")).decode()
    [line] = [line for line in text.splitlines() if line.startswith("gatebook_body_bytes{")]
    return float(line.rpartition(" ")[2])
