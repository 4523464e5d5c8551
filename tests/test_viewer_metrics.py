"""The viewer's metrics: what replicas count, whoever of them answers, and what the viewer sees itself."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from fake_replica import LONGEST_S, Fake, ok, play
from parts import LoadBalancer, Replica, environment, running, short_folder, until
from postgres import Cluster
from prometheus_client.parser import text_string_to_metric_families

from gatebook.app.capture import Record
from gatebook.app.metrics import Metrics, State
from gatebook.settings import read
from gatebook.spool import Spool
from gatebook.viewer.api.metrics import Scrape
from gatebook.viewer.database import connected

TEXT = b"# HELP gatebook_a_total Help\n# TYPE gatebook_a_total counter\ngatebook_a_total 1.0\n"
RECORD = Record("", 0, "::1", "::1", 200, False, "http", "1.1", "GET", "/", "[]", b"", None)


@pytest.fixture
def folder() -> Iterator[Path]:
    with short_folder() as path:
        yield path


class Seen(Counter[str]):
    """A text's samples: name and labels as the text has them, and the value."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.types = {}
        for family in text_string_to_metric_families(text):
            assert family.name not in self.types, "a family comes twice"
            self.types[family.name] = family.type
            for sample in family.samples:
                assert sample.name.startswith(family.name)
        lines = [line for line in text.splitlines() if not line.startswith("#")]
        self.update({series: float(value) for series, value in (line.rsplit(" ", 1) for line in lines)})
        assert len(self) == len(lines), "a series comes twice"

    @property
    def answering(self) -> tuple[float, float]:
        """How many replicas answer, and how many are silent."""
        return self['gatebook_replicas{state="answers"}'], self['gatebook_replicas{state="silent"}']

    def total(self, name: str) -> float:
        """Over all replicas."""
        return sum(value for series, value in self.items() if series.partition("{")[0] == name)


@contextlib.asynccontextmanager
async def scraping(last_audit: object = None, **environment: str) -> AsyncIterator[Scrape]:
    """A viewer's scrape; no database is there."""
    settings = read({"POSTGRES_HOST": "/nowhere", "GATEBOOK_SPOOL": "/nowhere", **environment})
    async with connected(settings) as database:
        yield Scrape(settings, database, lambda: last_audit, lambda: 0)


def scraped(last_audit: object = None, **environment: str) -> Seen:
    async def story() -> None:
        nonlocal seen
        async with scraping(last_audit, **environment) as scrape:
            seen = Seen((await scrape.text()).decode())

    seen: Seen
    play(story)
    return seen


def counted(name: str, rows: int) -> bytes:
    """What a replica that committed `rows` answers."""
    metrics = Metrics(name, lambda: State(1, 2, 3, 4, 5, True))
    metrics.flushed(rows, 0.003)
    return ok(metrics.text())


def scraped_from(folder: Path, *answers: bytes) -> Seen:
    async def story() -> None:
        nonlocal seen
        async with contextlib.AsyncExitStack() as stack:
            for number, answer in enumerate(answers):
                await stack.enter_async_context(Fake(answer).at(folder / f"{number}.sock"))
            scrape = await stack.enter_async_context(scraping(PROXY_UPSTREAM=f"unix:{folder}/*.sock"))
            seen = Seen((await scrape.text()).decode())

    seen: Seen
    play(story)
    return seen


def test_what_several_replicas_count_is_one_text(folder: Path) -> None:
    seen = scraped_from(folder, counted("webapp-1", 3), counted('a"\\,b="{}', 4))
    assert seen.answering == (2, 0)
    assert seen['gatebook_committed_total{replica="webapp-1"}'] == 3
    assert seen[r'gatebook_committed_total{replica="a\"\\,b=\"{}"}'] == 4
    assert seen['gatebook_flush_rows_bucket{into="database",le="2.0",replica="webapp-1"}'] == 0
    assert seen['gatebook_flush_rows_bucket{into="database",le="+Inf",replica="webapp-1"}'] == 1
    alone = Seen(counted("webapp-1", 3).partition(b"\r\n\r\n")[2].decode())
    assert alone.items() <= seen.items() and alone.types.items() <= seen.types.items()


def test_two_replicas_of_one_name_make_no_series_twice(folder: Path) -> None:
    seen = scraped_from(folder, counted("webapp-1", 3), counted("webapp-1", 4))
    assert seen['gatebook_committed_total{replica="webapp-1"}'] == 3
    assert seen.answering == (2, 0)


@pytest.mark.parametrize(
    "text", [b"gatebook_a{", b"gatebook_a x", b"# TYPE gatebook_a nonsense\n", b"gatebook_a " + b"9" * 400]
)
def test_a_text_that_makes_no_sense_spoils_nothing(folder: Path, text: bytes) -> None:
    seen = scraped_from(folder, ok(text), counted("webapp-1", 3))
    assert seen.answering == (1, 1) and seen.total("gatebook_committed_total") == 3


def test_nobody_can_speak_for_the_viewer(folder: Path) -> None:
    lies = b'# TYPE gatebook_replicas gauge\ngatebook_replicas{state="silent"} 9.0 123\n'
    assert scraped_from(folder, ok(lies)).answering == (1, 0)


def test_all_who_ask_at_once_get_one_scrape_and_one_who_leaves_takes_nothing_from_them(folder: Path) -> None:
    async def story() -> None:
        fake = Fake(ok(TEXT))
        async with fake.at(folder / "1.sock"), scraping(PROXY_UPSTREAM=f"unix:{folder}/1.sock") as scrape:
            asking = [asyncio.create_task(scrape.text()) for _ in range(50)]
            await asyncio.sleep(0)
            asking[0].cancel()
            first, *others = await asyncio.gather(*asking, return_exceptions=True)
            assert isinstance(first, asyncio.CancelledError) and b"gatebook_a_total 1.0" in others[0]
            assert others == [others[0]] * 49 and len(fake.asked) == 1
            await scrape.text()
            assert len(fake.asked) == 2

    play(story)


def test_what_the_spool_folder_holds_is_told(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 10**9)
    spool.prepare()
    empty = scraped(GATEBOOK_SPOOL=str(tmp_path))
    assert [empty[f"gatebook_folder_spool_{what}"] for what in ("rows", "bytes", "files")] == [0, 0, 0]
    assert empty.types["gatebook_folder_spool_rows"] == "gauge"
    spool.append("webapp-1", [RECORD._replace(id="1"), RECORD._replace(id="2")])
    full = scraped(GATEBOOK_SPOOL=str(tmp_path))
    assert (full["gatebook_folder_spool_rows"], full["gatebook_folder_spool_files"]) == (2, 1)
    assert full["gatebook_folder_spool_bytes"] > 0
    spool.close()


def test_nothing_is_said_of_a_spool_folder_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "bad.sqlite").write_text("no database" * 100)
    for folder in (tmp_path / "nowhere", tmp_path):
        assert not any("folder_spool" in name for name in scraped(GATEBOOK_SPOOL=str(folder)).types)


def test_the_last_audit_is_told_once_there_was_one() -> None:
    assert not any("audit" in name for name in scraped().types)
    audit = SimpleNamespace(finished_at=1795435200.5, counts={"recorded": 10_000_000, "missing": 1, "twice": 0})
    seen = scraped(audit)
    assert seen["gatebook_audit_timestamp_seconds"] == 1795435200.5
    for outcome, count in audit.counts.items():
        assert seen[f'gatebook_audit_requests{{outcome="{outcome}"}}'] == count


# The viewer as it runs


@contextlib.contextmanager
def viewing(folder: Path, environment: dict[str, str]) -> Iterator[httpx.Client]:
    """A viewer's process, and a client of it."""
    path = folder / "viewer.sock"
    with (folder / "viewer.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "gatebook.viewer"],
            env={"PATH": os.environ["PATH"], "GATEBOOK_BIND": f"unix:{path}", **environment},
            stderr=log,
        )
    try:
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), base_url="http://gate", timeout=20) as client:
            until(lambda: path.exists(), "the viewer listens")
            yield client
        process.terminate()
        assert process.wait(20) == 0
        assert "Traceback" not in (folder / "viewer.log").read_text()
    finally:
        process.kill()
        process.wait()


def test_the_viewer_tells_what_its_replicas_did_though_one_is_dead_and_one_hangs(
    folder: Path, own_cluster: Cluster
) -> None:
    """Through nginx to three replicas, and back by way of the viewer; then a kill, a pause, and a lost database."""
    own = environment(own_cluster.new_database())
    replicas = [Replica(folder, f"webapp-{number}", own) for number in (1, 2, 3)]
    balancer = LoadBalancer(folder, [replica.socket for replica in replicas])
    upstream = {"PROXY_UPSTREAM": f"unix:{folder}/webapp-*.sock", "GATEBOOK_SPOOL": str(folder / "spool")}
    with running([*replicas, balancer]), viewing(folder, {**own, **upstream}) as viewer:

        def now() -> Seen:
            answer = viewer.get("/_/metrics")
            assert answer.status_code == 200 and answer.elapsed.total_seconds() < LONGEST_S
            return Seen(answer.text)

        for number in range(20):
            assert httpx.post(f"{balancer.url}/{number}").status_code == 200
        seen = now()
        assert seen.answering == (3, 0) and seen["gatebook_viewer_database_up"] == 1
        assert seen.total("gatebook_committed_total") == seen.total("gatebook_flush_rows_sum") == 20
        assert seen.total("gatebook_database_up") == 3
        assert seen.total("gatebook_spooled_total") == seen["gatebook_folder_spool_rows"] == 0

        with viewer.stream("GET", "/_/api/events"):
            until(lambda: now()["gatebook_viewer_listeners"] == 1, "a listener is counted")
        until(lambda: now()["gatebook_viewer_listeners"] == 0, "it is gone")

        replicas[0].kill()
        assert now().answering == (2, 1)
        replicas[1].process.send_signal(signal.SIGSTOP)
        assert now().answering == (1, 2)
        replicas[1].process.send_signal(signal.SIGCONT)
        until(lambda: now().answering == (2, 1), "the replica goes on")

        own_cluster.stop()
        assert httpx.post(f"{balancer.url}/spooled", timeout=20).headers["gatebook-durability"] == "spooled"
        seen = now()
        assert seen["gatebook_viewer_database_up"] == 0
        assert seen.total("gatebook_spooled_total") == seen["gatebook_folder_spool_rows"] == 1
        assert seen["gatebook_folder_spool_files"] == 1 and seen["gatebook_folder_spool_bytes"] > 0
        own_cluster.start()
        until(lambda: now().total("gatebook_drained_total") == 1, "the spool is drained")


def test_without_a_word_about_replicas_it_still_answers_and_soon(folder: Path, cluster: Cluster) -> None:
    with viewing(folder, environment(cluster.new_database())) as viewer:
        answer = viewer.get("/_/metrics")
        assert answer.elapsed.total_seconds() < LONGEST_S
        assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert Seen(answer.text).answering == (0, 1)
        assert viewer.head("/_/metrics").status_code == 200
        assert viewer.post("/_/metrics").status_code == 405
        assert viewer.get("/_/metrics?name[]=gatebook_replicas").status_code == 400
