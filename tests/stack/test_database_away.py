"""Capture outlives the database: single replicas through nginx, with a real PostgreSQL that is taken away."""

import contextlib
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from parts import LoadBalancer, Replica, environment, running, short_folder, status, until
from postgres import Cluster

from gatebook import spool
from gatebook.settings import Settings


@pytest.fixture
def folder() -> Iterator[Path]:
    with short_folder() as path:
        yield path


class Gate:
    """Replicas behind a load balancer, before a cluster that may go away."""

    def __init__(self, folder: Path, cluster: Cluster, replicas: int = 1, **settings: str) -> None:
        self.cluster = cluster
        self.database: Settings = cluster.new_database()
        self.replicas = [
            Replica(folder, f"webapp-{number}", {**environment(self.database), **settings})
            for number in range(1, replicas + 1)
        ]
        self.balancer = LoadBalancer(folder, [replica.socket for replica in self.replicas])
        self.folder = folder
        self.client = httpx.Client(timeout=30)

    def post(self, target: str, body: bytes = b"") -> httpx.Response:
        return self.client.post(f"{self.balancer.url}{target}", content=body)

    def durability(self, target: str) -> str:
        """What a request there is told."""
        return self.post(target).headers["gatebook-durability"]

    def stored(self, what: str = "target") -> list[str]:
        """In the order of the alphabet: that of ids is no other's within a millisecond."""
        return sorted(self.cluster.psql(f"SELECT {what} FROM requests", self.database.postgres_db).splitlines())

    def depth(self) -> int:
        return spool.depth(self.folder / "spool").rows

    def until_drained(self) -> None:
        until(lambda: self.depth() == 0, "the spool is drained")


@contextlib.contextmanager
def gate(folder: Path, cluster: Cluster, replicas: int = 1, **settings: str) -> Iterator[Gate]:
    made = Gate(folder, cluster, replicas, **settings)
    with running([*made.replicas, made.balancer]), made.client:
        yield made


def logged(folder: Path, count: int) -> list[dict[str, object]]:
    log = folder / "access.log"
    until(lambda: len(log.read_text().splitlines()) == count, f"{count} lines in the log")
    return [json.loads(line) for line in log.read_text().splitlines()]


def test_with_the_database_away_requests_are_spooled_and_drained_when_it_is_back(
    folder: Path, own_cluster: Cluster
) -> None:
    """A short absence is waited for; after one deadline nobody waits; all of it is there in the end, once."""
    with gate(folder, own_cluster) as here:
        assert here.post("/before").headers["gatebook-durability"] == "committed"
        own_cluster.stop()
        first = here.post("/first", b"\0\xff")
        assert (first.status_code, first.headers["gatebook-durability"]) == (200, "spooled")
        assert first.json()["durability"] == "spooled"
        assert "gatebook-spool" not in first.headers  # for the log alone
        many = [here.post(f"/{number}") for number in range(20)]
        assert {answer.headers["gatebook-durability"] for answer in many} == {"spooled"}
        assert sum(answer.elapsed.total_seconds() for answer in many) < 10  # a deadline each would be 40
        assert status(here.replicas[0].socket, "/_/health/ready") == 200
        assert here.depth() == 21
        own_cluster.start()
        here.until_drained()
        assert here.stored() == sorted(["/before", "/first", *(f"/{number}" for number in range(20))])
        assert "00ff" in here.stored("encode(body, 'hex')")
        after: list[str] = []
        until(lambda: after.append(here.durability("/after")) or after[-1] == "committed", "the breaker is closed")
        identity = spool.identity(folder / "spool")
    spools = [line["spool"] for line in logged(folder, 22 + len(after))]
    assert spools == ["", *[identity] * (20 + len(after)), ""]  # and all but the last of those were spooled, too


def test_the_page_says_that_the_database_is_away_and_shows_what_this_replica_has_seen(
    folder: Path, own_cluster: Cluster
) -> None:
    with gate(folder, own_cluster) as here:
        here.post("/seen")
        assert "The database is away" not in here.client.get(here.balancer.url).text
        own_cluster.stop()
        here.post("/kept")
        page = here.client.get(here.balancer.url)
        assert page.headers["gatebook-durability"] == "spooled"
        assert "<p role=alert><strong>The database is away.</strong>" in page.text
        assert "/seen" in page.text
        assert "/kept" in page.text


def test_a_silent_database_costs_one_deadline_and_what_it_wrote_all_the_same_is_there_once(
    folder: Path, own_cluster: Cluster
) -> None:
    """Nobody knows how the flush ended that was under way: it is in the spool too, under the same id."""
    with gate(folder, own_cluster) as here:
        here.post("/before")
        with own_cluster.paused():
            answers = [here.post(f"/{number}") for number in range(10)]
        assert {answer.headers["gatebook-durability"] for answer in answers} == {"spooled"}
        assert sum(answer.elapsed.total_seconds() for answer in answers) < 12  # a deadline each would be 20
        here.until_drained()
        assert here.stored() == [*(f"/{number}" for number in range(10)), "/before"]


def test_what_a_killed_replica_has_spooled_is_drained_by_another(folder: Path, own_cluster: Cluster) -> None:
    with gate(folder, own_cluster, replicas=2) as here:
        own_cluster.stop()
        answers = [here.post(f"/{number}") for number in range(10)]
        for replica in here.replicas:
            status(replica.socket, "/_/health/ready")
        here.replicas[0].kill()
        own_cluster.start()
        here.until_drained()
        assert set(here.stored("id")) == {answer.json()["id"] for answer in answers}
        assert set(here.stored("replica")) == {"webapp-1", "webapp-2"}  # who took it, not who brought it


def test_two_replicas_that_drain_at_once_bring_each_request_once(folder: Path, own_cluster: Cluster) -> None:
    """Both have spools, and one of a dead process lies there as well."""
    with gate(folder, own_cluster, replicas=3) as here:
        own_cluster.stop()
        for number in range(60):
            here.post(f"/{number}")
        here.replicas[2].kill()
        own_cluster.start()
        here.until_drained()
        assert here.stored() == sorted(f"/{number}" for number in range(60))
        ids = "SELECT count(*), count(DISTINCT id) FROM (SELECT unnest(ids) AS id FROM batches) AS noted"
        assert own_cluster.psql(ids, here.database.postgres_db) == "60|60"


def test_a_replica_that_starts_without_a_database_records_all_the_same(folder: Path, own_cluster: Cluster) -> None:
    database = own_cluster.new_database()
    own_cluster.stop()
    replica = Replica(folder, "webapp-1", environment(database))
    balancer = LoadBalancer(folder, [replica.socket])
    with running([replica, balancer]):
        answer = httpx.post(balancer.url, content=b"x")
        assert (answer.status_code, answer.headers["gatebook-durability"]) == (200, "spooled")
        own_cluster.start()
        until(lambda: spool.depth(folder / "spool").rows == 0, "the spool is drained")
    assert own_cluster.psql("SELECT id FROM requests", database.postgres_db) == answer.json()["id"]
    assert "the database is away" in replica.log.read_text()


def test_a_wrong_password_still_ends_a_replica_at_its_start(folder: Path, database: Settings) -> None:
    replica = Replica(folder, "webapp-1", {**environment(database), "POSTGRES_PASSWORD": "wrong"}).start()
    assert replica.process.wait(30) == 1
    assert "refuses the user gatebook" in replica.log.read_text()


def test_a_full_spool_refuses_and_recovers(folder: Path, own_cluster: Cluster) -> None:
    with gate(folder, own_cluster, GATEBOOK_SPOOL_LIMIT="1MiB") as here:
        own_cluster.stop()
        answers = [here.post(f"/{number}", b"x" * 100_000) for number in range(20)]
        kept = [answer.json()["id"] for answer in answers if answer.status_code == 200]
        refused = [answer for answer in answers if answer.status_code != 200]
        assert 5 <= len(kept) < 20
        assert {answer.status_code for answer in refused} == {503}
        assert {answer.headers["retry-after"] for answer in refused} == {"1"}
        assert "GATEBOOK_SPOOL_LIMIT" in refused[0].json()["detail"]
        assert status(here.replicas[0].socket, "/_/health/ready") == 503
        own_cluster.start()
        here.until_drained()
        assert here.stored("id") == sorted(kept)
        assert here.post("/after").status_code == 200


def test_a_row_that_the_database_will_never_take_does_not_stand_in_the_way(folder: Path, own_cluster: Cluster) -> None:
    with gate(folder, own_cluster) as here:
        here.post("/first")
        forbid = "ALTER TABLE requests ADD CONSTRAINT no CHECK (target <> '/never')"
        own_cluster.psql(forbid, here.database.postgres_db)
        own_cluster.stop()
        for target in ("/1", "/never", "/2"):
            assert here.post(target).status_code == 200
        own_cluster.start()
        until(lambda: here.stored() == ["/1", "/2", "/first"], "the others are drained")
        at_once = here.post("/never")
        assert at_once.headers["gatebook-durability"] == "spooled"
        until(lambda: here.durability("/more") == "committed", "the others are not held up")
        until(lambda: here.depth() == 2, "what was spooled meanwhile is drained")
        assert "stays in the spool: the database will not take it" in here.replicas[0].log.read_text()
        own_cluster.psql("ALTER TABLE requests DROP CONSTRAINT no", here.database.postgres_db)
        assert here.replicas[0].stop() == 0
        with running([here.replicas[0]]):  # whoever takes the spool over tries again
            here.until_drained()


def test_a_replica_that_stops_while_the_database_is_away_leaves_its_spool_to_the_next(
    folder: Path, own_cluster: Cluster
) -> None:
    with gate(folder, own_cluster) as here:
        own_cluster.stop()
        kept = here.post("/kept").json()["id"]
        assert here.replicas[0].stop() == 0
        own_cluster.start()
        with running([here.replicas[0]]):
            here.until_drained()
        assert here.stored("id") == [kept]


def test_a_database_that_was_emptied_is_made_anew(folder: Path, own_cluster: Cluster) -> None:
    """Its connection stands, so nothing but the refusals tells that there is something to migrate."""
    with gate(folder, own_cluster) as here:
        here.post("/gone")
        emptied = "DROP SCHEMA public CASCADE; CREATE SCHEMA public; GRANT USAGE ON SCHEMA public TO PUBLIC"
        own_cluster.psql(emptied, here.database.postgres_db)
        assert here.post("/first").headers["gatebook-durability"] == "spooled"
        here.until_drained()
        assert here.stored() == ["/first"]
        until(lambda: here.durability("/after") == "committed", "it is written to again")


def test_a_dump_restored_into_another_cluster_is_not_in_the_way(folder: Path, own_cluster: Cluster) -> None:
    """Its batches have the transaction ids of the old cluster, which the new one comes to."""
    with gate(folder, own_cluster) as here:
        here.post("/before")
        ahead = "(pg_current_xact_id()::text::bigint + ahead)::text::xid8, '{}', '[]'"
        restored = f"INSERT INTO batches (xid, ids, newest) SELECT {ahead} FROM generate_series(2, 9999) AS ahead"
        own_cluster.psql(restored, here.database.postgres_db)
        answers = [here.post(f"/{number}") for number in range(50)]
        assert {answer.headers["gatebook-durability"] for answer in answers} == {"committed"}
        assert own_cluster.psql("SELECT count(*) < 100 FROM batches", here.database.postgres_db) == "t"


def test_a_database_that_takes_connections_and_then_hangs_does_not_keep_a_replica_from_starting(
    folder: Path, own_cluster: Cluster
) -> None:
    with gate(folder, own_cluster) as here:
        here.post("/before")
        assert here.replicas[0].stop() == 0
        with own_cluster.locked("requests", here.database.postgres_db), running([here.replicas[0]]):
            assert here.post("/meanwhile").headers["gatebook-durability"] == "spooled"


def test_a_replica_that_is_stopped_while_its_drain_hangs_ends_well(folder: Path, own_cluster: Cluster) -> None:
    with gate(folder, own_cluster) as here:
        own_cluster.stop()
        here.post("/kept")
        own_cluster.start()
        lock = own_cluster.locked("requests", here.database.postgres_db)
        with lock, own_cluster.paused():
            assert here.replicas[0].stop() == 0
        assert "Traceback" not in here.replicas[0].log.read_text()
        with running([here.replicas[0]]):
            here.until_drained()
        assert here.stored() == ["/kept"]


def test_under_load_no_client_notices_that_the_database_comes_and_goes(folder: Path, own_cluster: Cluster) -> None:
    answers: dict[str, str] = {}
    failures: list[str] = []
    stop = threading.Event()

    def client(number: int, url: str) -> None:
        with httpx.Client(timeout=30) as connection:
            turn = 0
            while not stop.is_set():
                turn += 1
                answer = connection.post(f"{url}/{number}-{turn}", content=b"x" * turn)
                if answer.status_code == 200:
                    answers[answer.json()["id"]] = answer.json()["durability"]
                else:
                    failures.append(answer.text)

    with gate(folder, own_cluster, replicas=2) as here:
        threads = [threading.Thread(target=client, args=(number, here.balancer.url)) for number in range(8)]
        for thread in threads:
            thread.start()
        for _ in range(2):
            so_far = len(answers)
            until(lambda so_far=so_far: len(answers) > so_far + 100, "load")
            own_cluster.stop()
            until(lambda: list(answers.values())[-1] == "spooled", "spooled answers")
            so_far = len(answers)
            until(lambda so_far=so_far: len(answers) > so_far + 100, "load without a database")
            own_cluster.start()
            until(lambda: list(answers.values())[-1] == "committed", "committed answers")
        stop.set()
        for thread in threads:
            thread.join()
        here.until_drained()
        print(*[replica.log.read_text() for replica in here.replicas])
        assert failures == []
        stored = here.stored("id")
        assert len(stored) == len(set(stored))
        assert set(answers) <= set(stored)
