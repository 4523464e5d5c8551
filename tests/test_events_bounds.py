"""Live events, from inside: the hub and its listeners in this process, over a real database, so bounds can be small."""

import asyncio
import contextlib
import itertools
import json
import shutil
import signal
import subprocess
import time
import tracemalloc
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import Any

import asyncpg
import httpx
import pytest
from listening import Replica, id7, postmaster, replica
from postgres import Cluster

from gatebook.db.connect import connect, login
from gatebook.filter import EVERYTHING, condition, parse
from gatebook.settings import Settings, read
from gatebook.viewer.api.application import application
from gatebook.viewer.database import Database, connected
from gatebook.viewer.events import Hub, hub, listener, matcher, portion, position, ring, start


class Local:
    """The hub and its listeners in this process, over a real database, so that their bounds can be small."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self.settings = settings
        self.database = database
        self.hub = Hub(settings)

    @contextlib.asynccontextmanager
    async def listening(
        self, filter: str = "", last: str = "", take: Callable[[bytes], Awaitable[None]] | None = None
    ) -> AsyncIterator["Told"]:
        """A listener for the block; `take` is in place of a client that takes all at once."""
        told = Told()

        async def send(data: bytes) -> None:
            if take:
                await take(data)
            told.bytes += data

        with self.hub.listening():
            at, first = await start.start(self.database.fetch, position.parse(last) if last else None)
            expression = parse(filter) if filter else EVERYTHING
            each = listener.Listener(self.hub, self.database.fetch, send, expression, at)
            told.task = asyncio.create_task(each.run(first))
            try:
                yield told
            finally:
                told.task.cancel()
                await asyncio.wait({told.task})


class Told:
    """What one listener was sent."""

    task: "asyncio.Task[None]"
    bytes = b""

    async def until(self, *ids: str) -> None:
        """These have been told, and nothing else."""
        await soon(lambda: len(self.ids) >= len(ids))
        assert self.ids == list(ids)

    @property
    def ids(self) -> list[str]:
        return [line.split("-", 2)[2] for block in self._blocks("event: request") for line in block[:1]]

    @property
    def positions(self) -> list[str]:
        return [line.removeprefix("id: ") for line in self.bytes.decode().split("\n") if line.startswith("id: ")]

    def _blocks(self, line: str) -> list[list[str]]:
        return [lines for block in self.bytes.decode().split("\n\n") if line in (lines := block.split("\n"))]


def play(settings: Settings, story: Callable[[Local, Replica], Awaitable[None]], within_s: float = 30) -> None:
    async def run() -> None:
        await (await connect(settings, "viewer", 30)).close()
        async with connected(settings) as database, replica(settings) as webapp:
            local = Local(settings, database)
            task = asyncio.create_task(local.hub.run())
            try:
                async with asyncio.timeout(within_s):
                    await story(local, webapp)
            finally:
                task.cancel()
                await asyncio.wait({task})

    asyncio.run(run())


def slowed(filter: str, seconds: int) -> Callable[[Any, Any], str]:
    """The SQL of filters, where this one takes so long for each row that it matches."""

    def slowly(expression: Any, parameters: Any) -> str:
        said = condition(expression, parameters)
        return f"({said} AND pg_sleep({seconds}) IS NOT NULL)" if expression == parse(filter) else said

    return slowly


async def soon(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


def test_a_filter_that_nothing_matches_moves_on_with_the_keep_alives(
    database: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "KEEP_ALIVE_S", 0.1)
    monkeypatch.setattr(hub, "_WAKE_EVERY_S", 0.05)

    async def story(local: Local, webapp: Replica) -> None:
        async with local.listening() as everything, local.listening("method:NONE") as told:
            await webapp.flush([id7(1)])
            await webapp.flush([id7(2)])
            await everything.until(id7(1), id7(2))
            behind = everything.positions[-1].removesuffix(id7(2))
            await soon(lambda: behind in told.positions)
            await soon(lambda: everything.bytes.endswith(b": nothing new\nid: " + behind.encode() + b"\n\n"))
            assert not told.ids

    play(database, story)


def test_what_no_longer_lies_in_memory_comes_out_of_the_database(
    database: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Portions of three rows, a ring of a few of them: each position is resumed, while others are live."""
    monkeypatch.setattr(ring, "BYTES", 12_000)
    monkeypatch.setattr(hub, "ROWS", 3)
    monkeypatch.setattr(listener, "ROWS", 4)

    async def story(local: Local, webapp: Replica) -> None:
        async with local.listening() as live, local.listening("target:7") as filtered:
            told: list[str] = []
            for batch in range(30):
                ids = [id7(1000 - batch * 20 + number) for number in range(7)]
                await webapp.flush(ids, target=f"/{batch}")
                told += sorted(ids)
                await live.until(*told)
            assert local.hub.ring and local.hub.ring.first > 20
            for last in live.positions[::13]:
                rest = [id for id, at in zip(live.ids, live.positions[1:], strict=True) if key(at) > key(last)]
                async with local.listening(last=last) as resumed:
                    await resumed.until(*rest)
            sevens = [id for id, n in zip(live.ids, range(210), strict=True) if n // 7 in (7, 17, 27)]
            await filtered.until(*sevens)
            async with local.listening("target:7", last=live.positions[60]) as resumed:
                await resumed.until(*sevens[7:])
                await webapp.flush([id7(9999)], target="/77")
                await resumed.until(*sevens[7:], id7(9999))

    def key(text: str) -> position.Key:
        return position.parse(text).key

    play(database, story)


def test_one_who_does_not_take_its_bytes_is_let_go_and_holds_up_nobody(
    database: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "TAKES_WITHIN_S", 0.3)

    async def story(local: Local, webapp: Replica) -> None:
        async def never(data: bytes) -> None:
            if b"event:" in data:
                await asyncio.Event().wait()

        async with local.listening() as live, local.listening(take=never) as stuck:
            await webapp.flush([id7(1)])
            await live.until(id7(1))
            await soon(stuck.task.done)
            with pytest.raises(listener.TooSlow):
                stuck.task.result()
            await webapp.flush([id7(2)])
            await live.until(id7(1), id7(2))
            async with local.listening(last=stuck.positions[-1]) as resumed:
                await resumed.until(id7(1), id7(2))

    play(database, story)


def test_what_was_missed_comes_without_waiting_for_news(database: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """However large it is, and however quiet it has become."""
    monkeypatch.setattr(hub, "_WAKE_EVERY_S", 3600)
    headers = json.dumps([[f"X-{number}", "v" * 1000] for number in range(60)])

    async def story(local: Local, webapp: Replica) -> None:
        begun, _ = await start.start(local.database.fetch, None)
        for number in range(30):
            await webapp.flush([id7(number)], headers=headers)
        async with local.listening(last=str(begun)) as told:
            await told.until(*map(id7, range(30)))

    play(database, story)


def test_those_who_catch_up_hold_a_portion_in_turn(database: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """One who does not take its own is let go, and the next one is served."""
    monkeypatch.setattr(listener, "_HOLDING", 1)
    monkeypatch.setattr(listener, "TAKES_WITHIN_S", 2.0)

    async def story(local: Local, webapp: Replica) -> None:
        async def never(data: bytes) -> None:
            if b"event:" in data:
                await asyncio.Event().wait()

        begun, _ = await start.start(local.database.fetch, None)
        await webapp.flush([id7(1)])
        async with local.listening(last=str(begun), take=never) as stuck:
            await soon(lambda: local.hub.holding)
            async with local.listening(last=str(begun)) as next:
                await next.until(id7(1))
                assert stuck.task.done() and not local.hub.holding

    play(database, story)


def test_the_ring_takes_as_much_memory_as_it_may_however_many_filters_it_has() -> None:
    """Each takes everything, in another way."""
    few_bytes = ring.BYTES // 4
    with contextlib.ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        patch.setattr(ring, "BYTES", few_bytes)
        full = ring.Ring(position.Position("0" * 8, 0))
        filters = [stack.enter_context(full.following(parse(f"-path:/{number}"))).filter for number in range(60)]
        tracemalloc.start()
        while full.first < 3:
            events = [((full.next + 1, id7(number)), b"%d" % number * 200) for number in range(5)]
            after = full.end
            full.append(portion.Portion(after, position.Position(after.epoch, full.next + 1), events, False))
            for filter in filters:
                assert filter
                full.take(full.next - 1, filter, 0b11111)
                assert full[full.next - 1].behind(after, filter)
        held, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert held < few_bytes * 2


def test_what_is_forgotten_is_told_to_nobody_any_more(database: Settings) -> None:
    """Out of memory, with a filter and without, and out of the database; positions at a forgotten one still count."""

    async def story(local: Local, webapp: Replica) -> None:
        async with local.listening() as live, local.listening("path:/odd") as odd:
            await webapp.flush([id7(number) for number in (1, 3, 5)], target="/odd")
            await webapp.flush([id7(number) for number in (2, 4)])
            await live.until(id7(1), id7(3), id7(5), id7(2), id7(4))
            await odd.until(id7(1), id7(3), id7(5))
            first, at_the_third = live.positions[0], live.positions[2]
            held = local.hub.ring
            assert held and sum(len(sent) for number in range(held.next) for _, sent in held[number].portion.events)
            await forget(local.settings, id7(3), id7(4))
            await webapp.flush([id7(7)], target="/odd")
            await live.until(id7(1), id7(3), id7(5), id7(2), id7(4), id7(7))
            assert local.hub.ring is held and held.first == 0  # nobody was interrupted
            assert held.ids.count(id7(3)) == 1 and id7(3).encode() not in b"".join(
                sent for number in range(held.next) for _, sent in held[number].portion.events
            )
            async with local.listening(last=first) as late, local.listening("path:/odd", last=first) as late_and_odd:
                await late.until(id7(1), id7(5), id7(2), id7(7))
                await late_and_odd.until(id7(1), id7(5), id7(7))
            async with local.listening(last=at_the_third) as resumed:
                await resumed.until(id7(5), id7(2), id7(7))
                assert b"event: gap" not in resumed.bytes
            read = await portion.read(local.database.fetch, position.parse(first), local.hub.redaction)
            assert [id for (_, id), _ in read.events] == [id7(1), id7(5), id7(2), id7(7)] and read.forgets

    play(database, story)


async def forget(settings: Settings, *ids: str) -> None:
    """As a command that forgets does it."""
    keeper = await asyncpg.connect(**login(settings, "keeper"))
    async with keeper.transaction():
        act = await keeper.fetchval("INSERT INTO trail (act, who, about) VALUES ('forgotten', '', '') RETURNING id")
        await keeper.execute("DELETE FROM requests WHERE id = ANY ($1)", ids)
        await keeper.execute("INSERT INTO forgotten SELECT unnest($1::uuid[]), $2", ids, act)
        await keeper.execute("INSERT INTO batches (ids, newest) VALUES ('{}', '[]')")
    await keeper.close()


def test_one_who_falls_out_of_the_ring_is_let_go_and_resumes(
    database: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ring, "BYTES", 4_000)

    async def story(local: Local, webapp: Replica) -> None:
        gate = asyncio.Event()

        async def late(data: bytes) -> None:
            if b"event:" in data and id7(0).encode() not in data:
                await gate.wait()

        async with local.listening() as live, local.listening(take=late) as slow:
            await soon(lambda: local.hub.ring)
            await webapp.flush([id7(0)])
            for each in (live, slow):
                await each.until(id7(0))  # from here on both have it out of the ring
            for number in range(1, 20):
                await webapp.flush([id7(number)])
                await live.until(*map(id7, range(number + 1)))
            gate.set()
            await soon(slow.task.done)
            assert slow.ids and slow.bytes.endswith(b": too slow: come back with the last position\n\n")
            async with local.listening(last=slow.positions[-1]) as resumed:
                await resumed.until(*live.ids[len(slow.ids) :])

    play(database, story)


def test_a_filter_that_takes_too_long_holds_up_no_other(database: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is served out of the database, at its own pace."""
    monkeypatch.setattr(matcher, "condition", slowed("target:/slow", 10))
    monkeypatch.setattr(hub, "STATEMENT_TIMEOUT_S", 2.0)

    async def story(local: Local, webapp: Replica) -> None:
        async with contextlib.AsyncExitStack() as stack:
            everything, quick, slow, other = [
                await stack.enter_async_context(local.listening(text))
                for text in ("", "target:/absent", "target:/slow", "method:GET")
            ]
            for number in range(3):
                await webapp.flush([id7(number)], target="/slow")
                begun = time.monotonic()
                await everything.until(*map(id7, range(number + 1)))
                assert time.monotonic() - begun < 1.8
            for each in (slow, other):
                await each.until(*everything.ids)
            assert not quick.ids
            assert local.hub.ring and [f.too_slow for f in local.hub.ring.filters.values()].count(True) == 1

    play(database, story)


def test_what_was_pruned_while_a_transaction_was_held_open_is_said(own_cluster: Cluster) -> None:
    """For more than a day: the batches behind it were pruned before they could be told."""

    async def story(local: Local, webapp: Replica) -> None:
        async with local.listening() as live, replica(local.settings) as slow:
            async with slow.held([id7(1)]):
                for number in (2, 3, 4):
                    await webapp.flush([id7(number)])
                own_cluster.psql(
                    "UPDATE batches SET written_at = now() - interval '25 hours'"
                    " WHERE xid = (SELECT min(xid) FROM batches); SELECT keep_house()",
                    local.settings.postgres_db,
                )
            await soon(live.task.done)
            assert not live.ids and live.bytes.endswith(b": interrupted: come back with the last position\n\n")
            async with local.listening(last=live.positions[-1]) as resumed:
                await resumed.until(id7(1), id7(3), id7(4))
                assert b"event: gap" in resumed.bytes.split(b"event: request")[0]

    play(own_cluster.new_database(), story)


def test_an_older_state_of_the_database_that_is_put_back_ends_the_streams(own_cluster: Cluster) -> None:
    """Nothing else tells it apart; whoever comes back with a position hears of a gap."""
    data, old = own_cluster.folder / "data", own_cluster.folder / "old"

    async def story(local: Local, webapp: Replica) -> None:
        await asyncio.to_thread(own_cluster.stop)
        await asyncio.to_thread(subprocess.run, ["cp", "-a", data, old], check=True)
        await asyncio.to_thread(own_cluster.start)
        async with local.listening() as told:
            async with replica(local.settings) as webapp:
                for number in range(50):
                    await webapp.flush([id7(number)])
            await told.until(*map(id7, range(50)))
            await asyncio.to_thread(own_cluster.stop)
            shutil.rmtree(data)
            old.rename(data)
            await asyncio.to_thread(own_cluster.start)
            await soon(told.task.done)
            assert told.bytes.endswith(b": interrupted: come back with the last position\n\n")
        async with local.listening(last=told.positions[-1]) as back, replica(local.settings) as webapp:
            assert b"event: gap" in back.bytes
            await webapp.flush([id7(100)])
            await back.until(id7(100))

    play(own_cluster.new_database(), story)


def test_it_refuses_more_listeners_than_it_can_serve(database: Settings) -> None:
    async def story(local: Local, webapp: Replica) -> None:
        local.hub.listeners = hub.MOST_LISTENERS
        app = application(database, local.database, local.hub)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gate") as client:
            answer = await client.get("/_/api/events")
        assert answer.status_code == 503 and answer.json()["title"] == "Service Unavailable"
        assert "2000 listen" in answer.json()["detail"]

    play(database, story)


def test_a_transaction_id_that_a_crash_gives_again_is_told(own_cluster: Cluster) -> None:
    """PostgreSQL forgets transaction ids that left nothing on disk: no position may have got as far as them."""

    async def given_again(local: Local, numbers: Iterator[int]) -> bool:
        """Crash, and whether the next batch had a transaction id that was gone already."""
        async with replica(local.settings) as webapp:
            await webapp.flush([id7(next(numbers))])
            with all_suspended("writer", own_cluster):  # nothing gets to the disk but by a flush
                for _ in range(100):
                    burnt = await webapp.connection.fetchval("SELECT pg_current_xact_id()")
                begun, _ = await start.start(local.database.fetch, None)
                postmaster(own_cluster).send_signal(signal.SIGQUIT)
        await asyncio.to_thread(own_cluster.stop)
        await asyncio.to_thread(own_cluster.start)
        after = id7(next(numbers))
        async with replica(local.settings) as webapp:
            await webapp.flush([after])
        async with local.listening(last=str(begun)) as told:
            await told.until(after)
            assert b"event: gap" not in told.bytes
            return position.parse(told.positions[-1]).xid <= burnt

    async def story(local: Local, webapp: Replica) -> None:
        numbers = itertools.count()
        while not await given_again(local, numbers):
            pass  # something else had flushed

    play(own_cluster.new_database(), story, within_s=300)  # each turn starts the server anew


@contextlib.contextmanager
def all_suspended(name: str, cluster: Cluster) -> Iterator[None]:
    """The server's own processes of this name do nothing for as long as the block runs."""
    processes = [child for child in postmaster(cluster).children() if name in "".join(child.cmdline())]
    for process in processes:
        process.suspend()
    try:
        yield
    finally:
        for process in processes:
            process.resume()


def test_one_whose_filter_comes_while_others_are_asked_is_served_from_then_on(
    database: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = matcher.Asking._take
    asking = asyncio.Event()

    async def slowly(self: matcher.Asking, *asked: Any) -> None:
        asking.set()
        await asyncio.sleep(0.3)
        await real(self, *asked)

    monkeypatch.setattr(matcher.Asking, "_take", slowly)

    async def story(local: Local, webapp: Replica) -> None:
        async with local.listening("method:GET") as first:
            await soon(lambda: local.hub.ring)
            await webapp.flush([id7(1)])
            await asyncio.wait_for(asking.wait(), 10)
            async with local.listening("method:GET target:/") as second:
                await webapp.flush([id7(2)])
                await first.until(id7(1), id7(2))
                await second.until(id7(2))

    play(database, story)


def test_of_many_listeners_some_are_told_at_a_time() -> None:
    """All within a tenth of a second; who is alone is told at once."""
    many = Hub(read({}))
    with contextlib.ExitStack() as listening:
        turns = []
        for _ in range(500):
            listening.enter_context(many.listening())
            turns.append(many.turn_s())
    assert turns[0] == 0 and max(turns) < 0.1
    assert set(Counter(turns).values()) == {25}


@pytest.mark.parametrize("filter", ["body:x", " OR ".join(f"path:/{number}" for number in range(20)) + " OR path:*"])
def test_heavy_filters_hold_up_no_others(database: Settings, monkeypatch: pytest.MonkeyPatch, filter: str) -> None:
    """None of them takes too long, but all of them together."""
    monkeypatch.setattr(matcher, "_HEAVY_WITHIN_S", 0.0)

    async def story(local: Local, webapp: Replica) -> None:
        async with local.listening("method:GET") as light, local.listening(filter) as heavy:
            await soon(lambda: local.hub.ring)
            for number in range(3):
                await webapp.flush([id7(number)], body=b"x")
            for each in (light, heavy):
                await each.until(*map(id7, range(3)))
            assert local.hub.ring
            slow = {filter.is_heavy: filter.too_slow for filter in local.hub.ring.filters.values()}
            assert slow == {False: False, True: True}

    play(database, story)


def test_a_comparison_that_cannot_be_cancelled_is_not_asked_again(
    database: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database is silent until it has ended: all others wait for that once, and not for ever."""
    real = matcher.Asking._take
    asked = []

    async def taken(self: matcher.Asking, filters: Sequence[ring.Filter]) -> None:
        if any(filter.is_heavy for filter in filters):
            asked.append(filters)
            raise TimeoutError
        await real(self, filters)

    monkeypatch.setattr(matcher.Asking, "_take", taken)

    async def story(local: Local, webapp: Replica) -> None:
        async with local.listening("body:x") as heavy, local.listening("method:GET") as light:
            await soon(lambda: local.hub.ring)
            for number in range(3):
                await webapp.flush([id7(number)], body=b"x")
            for each in (light, heavy):
                await each.until(*map(id7, range(3)))
        assert len(asked) == 1

    play(database, story)


def test_one_whose_filter_takes_long_to_catch_up_does_not_make_others_wait(
    database: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(portion, "condition", slowed("body:slow", 2))
    monkeypatch.setattr(ring, "BYTES", 1)

    async def story(local: Local, webapp: Replica) -> None:
        async with local.listening() as told:
            await soon(lambda: local.hub.ring)
            await webapp.flush([id7(0)])
            await told.until(id7(0))
        for number in range(1, 4):
            await webapp.flush([id7(number)], body=b"slow")
        last = told.positions[-1]
        async with contextlib.AsyncExitStack() as stack:
            slow = [await stack.enter_async_context(local.listening("body:slow", last=last)) for _ in range(6)]
            await asyncio.sleep(0)
            quick = await stack.enter_async_context(local.listening("method:GET", last=last))
            await quick.until(*map(id7, range(1, 4)))
            assert not any(each.ids for each in slow)  # which take 6 s each
            await slow[0].until(*map(id7, range(1, 4)))

    play(database, story)
