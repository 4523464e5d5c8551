"""More than can be held at once: bounded memory, clean refusals, nothing acknowledged is lost."""

import concurrent.futures
import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from parts import LoadBalancer, Replica, environment, running, short_folder
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
