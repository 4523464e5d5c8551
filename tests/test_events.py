"""Live events: what is told, in what order, and what happens to those who listen."""

import asyncio
import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from listening import NOW, id7, listen, postmaster, replica
from local_stack import Stack
from postgres import Cluster, binaries
from test_viewer_process import Process, until

from gatebook.db.connect import login
from gatebook.settings import Settings
from gatebook.viewer.events import position


class Viewers:
    """Real viewer processes over one database, as `addresses`; `play` runs a story against them."""

    def __init__(self, settings: Settings, environment: dict[str, str], folder: Path) -> None:
        self.settings = settings
        self._environment = environment
        self._folder = folder
        self.processes: list[Process] = []
        self.addresses: list[str] = []

    def start(self) -> str:
        """One more; its address."""
        number = len(self.processes)
        bind = f"unix:{self._folder}/{number}.sock"
        self.processes.append(Process(self._environment, bind, self._folder / f"log-{number}"))
        self.addresses.append(bind)
        until(self.processes[-1].listens)
        return bind

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.processes[0].client.get(path, **options)

    def remove(self) -> None:
        for process in self.processes:
            process.remove()
            assert "Traceback" not in process.log(), process.log()


@contextlib.contextmanager
def over(cluster: Cluster, folder: Path) -> Iterator[Viewers]:
    settings = cluster.new_database()
    viewers = Viewers(settings, cluster.environment(settings.postgres_db), folder)
    viewers.start()
    try:
        yield viewers
    finally:
        viewers.remove()


@pytest.fixture
def viewers(cluster: Cluster, tmp_path: Path) -> Iterator[Viewers]:
    """One viewer, over a database of its own."""
    with over(cluster, tmp_path) as viewers:
        yield viewers


@pytest.fixture
def restarted(own_cluster: Cluster, tmp_path: Path) -> Iterator[Viewers]:
    """One viewer, over a cluster of its own."""
    with over(own_cluster, tmp_path) as viewers:
        yield viewers


def test_a_stream_begins_with_its_position_and_tells_what_comes_from_then_on(viewers: Viewers) -> None:
    async def story() -> None:
        async with replica(viewers.settings) as webapp:
            await webapp.flush([id7(1)])
            async with await listen(viewers.addresses[0]) as listener:
                assert "text/event-stream" in listener.head and "x-accel-buffering: no" in listener.head.lower()
                assert "no-store" in listener.head
                assert position.parse(listener.last).id == ""
                await webapp.flush([id7(2)], target="/\u00e9\n", headers='[["A",\n"b"]]', method="POST")
                event = await listener.event()
                assert event.name == "request" and event.id.endswith(f"-{id7(2)}")
                assert event.data == viewers.get("/_/api/requests").json()["requests"][0]

    asyncio.run(story())


def test_what_is_masked_is_told_to_those_alone_who_reveal_it_and_that_is_noted_once(viewers: Viewers) -> None:
    """Live and from before, with a filter and without; those who do not reveal it are told masks meanwhile."""
    secret = {"headers": '[["Authorization", "Bearer hunter2"]]', "target": "/?token=hunter2"}

    async def story() -> None:
        async with replica(viewers.settings) as webapp, await listen(viewers.addresses[0]) as masked:
            begun = masked.last
            await webapp.flush([id7(1)], **secret)
            async with (
                await listen(viewers.addresses[0], reveal="1") as live,
                await listen(viewers.addresses[0], begun, reveal="1", filter="method:GET") as resumed,
            ):
                await webapp.flush([id7(2), id7(3)], **secret)
                assert (await resumed.event()).data["id"] == id7(1)
                for number in (2, 3):
                    for listener in (live, resumed):
                        event = await listener.event()
                        assert event.data["id"] == id7(number) and event.data["redacted"] is False
                        assert event.data["target"] == "/?token=hunter2"
                        assert event.data["headers"] == [["Authorization", "Bearer hunter2"]]
            for number in (1, 2, 3):
                event = await masked.event()
                assert event.data["id"] == id7(number) and event.data["redacted"] is True
                assert "hunter2" not in str(event.data)
        connection = await asyncpg.connect(**login(viewers.settings, "viewer"))
        rows = await connection.fetch("SELECT act, about FROM trail")
        await connection.close()
        assert [tuple(row) for row in rows] == [("revealed", "/_/api/events")] * 2

    asyncio.run(story())


def test_events_come_in_the_order_of_commits_and_within_one_by_id(viewers: Viewers) -> None:
    """Rows of long ago that are written late, such as spooled ones, are told when they come."""

    async def story() -> None:
        async with replica(viewers.settings) as webapp, await listen(viewers.addresses[0]) as listener:
            await webapp.flush([id7(9), id7(5), id7(7)])
            await webapp.flush([id7(3, NOW - 86_400_000 * 40), id7(2)])
            await webapp.flush([id7(1)])
            assert await listener.ids(6) == [
                id7(5), id7(7), id7(9), id7(3, NOW - 86_400_000 * 40), id7(2), id7(1),
            ]  # fmt: skip

    asyncio.run(story())


def test_what_is_committed_out_of_order_waits_for_what_began_before_it(viewers: Viewers) -> None:
    async def story() -> None:
        async with (
            replica(viewers.settings) as slow,
            replica(viewers.settings) as quick,
            await listen(viewers.addresses[0]) as early,
        ):
            async with slow.held([id7(1)]):
                await quick.flush([id7(2)])
                async with await listen(viewers.addresses[0]) as late:
                    await quick.flush([id7(3)])
                    with pytest.raises(TimeoutError):  # nothing is told meanwhile
                        async with asyncio.timeout(0.5):
                            await early.event()
                    late_last = late.last
            assert await early.ids(3) == [id7(1), id7(2), id7(3)]
            async with await listen(viewers.addresses[0], late_last) as late:
                assert await late.ids(3) == [id7(1), id7(2), id7(3)]

    asyncio.run(story())


def test_it_resumes_behind_any_event_at_any_viewer(viewers: Viewers) -> None:
    other = viewers.start()

    async def story() -> None:
        async with replica(viewers.settings) as webapp, await listen(viewers.addresses[0]) as listener:
            begun = listener.last
            for batch in range(5):
                await webapp.flush([id7(100 * (5 - batch) + number) for number in range(4)])
            events = [await listener.event() for _ in range(20)]
            ids = [event.data["id"] for event in events]
            for place, last in enumerate([begun, *(event.id for event in events)]):
                for address in (viewers.addresses[0], other):
                    async with await listen(address, last, after="00000000-1-") as resumed:
                        assert await resumed.ids(len(ids) - place) == ids[place:]
                    async with await listen(address, after=last) as resumed:
                        ids.append(id7(1000 + len(ids)))
                        await webapp.flush(ids[-1:])
                        assert await resumed.ids(len(ids) - place) == ids[place:]

    asyncio.run(story())


def test_a_filter_is_told_what_matches_live_and_resumed(viewers: Viewers) -> None:
    async def story() -> None:
        async with replica(viewers.settings) as webapp, contextlib.AsyncExitStack() as stack:
            begun = (await stack.enter_async_context(await listen(viewers.addresses[0]))).last
            live = {
                text: await stack.enter_async_context(await listen(viewers.addresses[0], filter=text))
                for text in ("path:/n/1*", "path:/n/2*", "method:POST", "-method:POST path:/n/*")
            }
            for number in range(30):
                await webapp.flush([id7(number)], target=f"/n/{number}", method="POST" if number % 7 == 0 else "GET")
            wanted = {
                "path:/n/1*": [n for n in range(30) if str(n).startswith("1")],
                "path:/n/2*": [n for n in range(30) if str(n).startswith("2")],
                "method:POST": [n for n in range(30) if n % 7 == 0],
                "-method:POST path:/n/*": [n for n in range(30) if n % 7],
            }
            for text, numbers in wanted.items():
                assert await live[text].ids(len(numbers)) == list(map(id7, numbers))
                async with await listen(viewers.addresses[0], begun, filter=text) as resumed:
                    assert await resumed.ids(len(numbers)) == list(map(id7, numbers))

    asyncio.run(story())


def test_what_it_cannot_do_is_refused_before_the_stream_begins(viewers: Viewers) -> None:
    for query in (
        {"after": "x"},
        {"after": ""},
        {"after": "0123456z-1-"},
        {"after": f"01234567-{2**64}-"},
        {"after": "01234567-1-7"},
        {"filter": "size>1XB"},
        {"unknown": "1"},
    ):
        answer = viewers.get("/_/api/events", params=query)
        assert answer.status_code == 400 and answer.headers["content-type"] == "application/problem+json", query
    answer = viewers.get("/_/api/events", headers={"Last-Event-ID": "nonsense"})
    assert answer.status_code == 400 and "nonsense" in answer.json()["detail"]
    head = viewers.processes[0].client.head("/_/api/events")
    assert head.status_code == 200 and head.headers["content-type"].startswith("text/event-stream")


def test_a_position_that_means_nothing_here_begins_with_a_gap(viewers: Viewers) -> None:
    async def gap(last: str) -> tuple[Any, list[str]]:
        """What the gap says, and the next two events."""
        async with await listen(viewers.addresses[0], last) as listener, replica(viewers.settings) as webapp:
            event = await listener.event()
            assert event.name == "gap" and event.id != last
            await webapp.flush([id7(next(tails))])
            return event.data, await listener.ids(1)

    tails = iter(range(100, 200))

    async def story() -> None:
        async with replica(viewers.settings) as webapp, await listen(viewers.addresses[0]) as listener:
            await webapp.flush([id7(1), id7(2)])
            await webapp.flush([id7(3)])
            event = await listener.event()
        epoch, xid, _ = event.id.split("-", 2)
        said, told = await gap(f"0000beef-{xid}-{id7(1)}")
        assert "restored" in said["detail"] and said["since"] == f"{event.data['received_at']}"
        assert told == [id7(100)]  # from now on
        said, told = await gap(f"{epoch}-{2**63}-")
        assert "future" in said["detail"] and said["since"] is None
        assert told == [id7(101)]
        said, told = await gap(f"{epoch}-{xid}-{id7(99)}")
        assert told == [id7(1)]  # with the oldest that may not have been told

    asyncio.run(story())


def test_what_was_pruned_is_said(viewers: Viewers, cluster: Cluster) -> None:
    """By a viewer that does not have it in memory."""
    other = viewers.start()

    async def story() -> None:
        async with replica(viewers.settings) as webapp, await listen(viewers.addresses[0]) as listener:
            for number in range(1, 7):
                await webapp.flush([id7(number * 10), id7(number * 10 + 1)])
            events = [await listener.event() for _ in range(12)]
            old = sorted({int(event.id.split("-")[1]) for event in events})[:3]
            cluster.psql(
                f"UPDATE batches SET written_at = now() - interval '25 hours' WHERE xid::text::bigint <= {old[-1]};"
                "SELECT keep_house()",
                viewers.settings.postgres_db,
            )
            epoch = events[0].id.split("-")[0]
            gone = [events[1].id, events[3].id, events[4].id, f"{epoch}-{old[0]}-", f"{epoch}-{old[1]}-"]
            for last, is_gap in (*((last, True) for last in gone), (events[6].id, False)):
                async with await listen(other, last) as resumed:
                    first = await resumed.event()
                    assert (first.name == "gap") == is_gap, last
                    if is_gap:
                        assert "pruned" in first.data["detail"] or "not there" in first.data["detail"]
                        assert await resumed.ids(6) == [event.data["id"] for event in events[6:]]
            whole = f"{epoch}-{old[-1]}-"
            async with await listen(other, whole) as resumed:
                assert await resumed.ids(6) == [event.data["id"] for event in events[6:]]
            await webapp.flush([id7(99)])
            assert await listener.ids(1) == [id7(99)]

    asyncio.run(story())


def test_transaction_ids_beyond_32_bits(restarted: Viewers, own_cluster: Cluster) -> None:
    own_cluster.stop()
    owner = os.stat(own_cluster.folder / "data")
    subprocess.run(
        [binaries() / "pg_resetwal", "--epoch=7", "-D", own_cluster.folder / "data"],
        check=True, cwd="/", capture_output=True,
        **({"user": owner.st_uid, "group": owner.st_gid, "extra_groups": ()} if os.geteuid() == 0 else {}),
    )  # fmt: skip
    own_cluster.start()

    async def story() -> None:
        async with replica(restarted.settings) as webapp, await listen(restarted.addresses[0]) as listener:
            await webapp.flush([id7(1), id7(2)])
            first, second = await listener.event(), await listener.event()
            assert int(first.id.split("-")[1]) > 7 * 2**32
            async with await listen(restarted.addresses[0], first.id) as resumed:
                assert await resumed.ids(1) == [second.data["id"]]

    asyncio.run(story())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT], ids=["fast", "crash"])
def test_listeners_stay_while_the_database_restarts(
    restarted: Viewers, own_cluster: Cluster, number: signal.Signals
) -> None:
    def stop() -> None:
        postmaster(own_cluster).send_signal(number)
        own_cluster.stop()

    async def story() -> None:
        async with (
            await listen(restarted.addresses[0]) as listener,
            await listen(restarted.addresses[0], filter="method:GET") as filtered,
        ):
            for number in (1, 3):
                async with replica(restarted.settings) as webapp:
                    await webapp.flush([id7(number), id7(number + 1)])
                    await asyncio.to_thread(stop)
                with pytest.raises(ConnectionError, match="503"):
                    await listen(restarted.addresses[0])
                await asyncio.to_thread(own_cluster.start)
            async with replica(restarted.settings) as webapp:
                await webapp.flush([id7(5)])
            for each in (listener, filtered):
                assert await each.ids(5) == [id7(number) for number in range(1, 6)]
                assert each.comments[0] == "the database is away"

    asyncio.run(story())


def test_streams_end_at_once_when_the_viewer_stops(viewers: Viewers) -> None:
    async def story() -> None:
        listeners = [await listen(viewers.addresses[0], filter=text) for text in ("", "", "method:GET")]
        code = await asyncio.to_thread(viewers.processes[0].stop)
        assert code == 0
        for each in listeners:
            with pytest.raises(EOFError, match="ended"):
                await each.event()
            assert each.comments == ["the viewer stops"]
            await each.__aexit__()

    asyncio.run(story())
    assert viewers.processes[0].log().count("\n") == 1  # its start, and no word of any that were cut after 2 s


def test_without_listeners_it_asks_nothing_of_the_database(viewers: Viewers, cluster: Cluster) -> None:
    count = f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{viewers.settings.postgres_db}'"
    count += " AND application_name LIKE '%events%'"
    assert cluster.psql(count) == "0"

    async def story() -> None:
        async with replica(viewers.settings) as webapp, await listen(viewers.addresses[0]) as listener:
            await webapp.flush([id7(1)])
            assert await listener.ids(1) == [id7(1)]
            assert await asyncio.to_thread(cluster.psql, count) == "1"

    asyncio.run(story())


def test_through_the_load_balancer_each_request_comes_once_whatever_dies(own_stack: Stack) -> None:
    """A listener sees every answered request within half a second, and after each fault exactly what came meanwhile."""
    own_stack.up("--scale", 2)
    address = f"127.0.0.1:{own_stack.port}"
    answered: list[str] = []
    told: list[str] = []
    taken_s: list[float] = []

    def send(target: str) -> str:
        answer = own_stack.send("POST", target, b"x")
        assert answer.status == 200
        return answer.headers["Gatebook-Id"]

    async def follow(last: str) -> str:
        """Listen until all that was answered was told, and be told of ten more; the last position."""
        async with asyncio.timeout(60):
            while True:
                with contextlib.suppress(ConnectionError):  # the viewer, or its database, is not there yet
                    async with await listen(address, last) as listener:
                        while not set(answered) <= set(told):
                            told.extend(await listener.ids(1))
                        for number in range(10):
                            begun = time.monotonic()
                            answered.append(await asyncio.to_thread(send, f"/live/{number}"))
                            told.extend(await listener.ids(1))
                            taken_s.append(time.monotonic() - begun)
                        return listener.last
                await asyncio.sleep(0.1)

    async def story() -> None:
        last = await follow("")
        for name in ("webapp-1", "viewer", "db"):
            own_stack.kill(name)
            answered.extend(send(f"/after/{name}/{number}") for number in range(5))
            last = await follow(last)

    asyncio.run(story())
    assert sorted(told) == sorted(answered)
    taken_s.sort()
    assert taken_s[len(taken_s) // 2] < 0.5, taken_s
