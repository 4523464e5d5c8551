"""Each listener is told of each request once, in order, whatever happens meanwhile.

Plot: 10,000 requests are written by transactions that are held open and committed in any order, some of them rolled
back, some of requests that were received hours ago. Two viewers tell of them to listeners that break off and come back
with Last-Event-ID at either of them, in the middle of batches; some have a filter, and one does not read for so long
that it is cut. The database restarts, and then crashes; one viewer is stopped, the other one killed, and both are
started again. In the end `batches` has the truth.
"""

import asyncio
import contextlib
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import pytest
from listening import NOW, Listener, id7, listen, postmaster, replica
from postgres import Cluster
from test_viewer_process import Process, until

from gatebook.settings import Settings

EVENTS = 10_000
WRITERS = 8
HELD_S = 0.15  # at most
CUT_AFTER_S = 10  # without taking a byte
_LOST = (OSError, EOFError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)


@dataclass
class Writers:
    """Write until enough is committed."""

    database: Settings
    chance: random.Random
    committed: int = 0
    _made: int = 0

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for number in range(WRITERS):
                tasks.create_task(self._write(f"webapp-{number}"))

    async def _write(self, name: str) -> None:
        while self.committed < EVENTS:
            with contextlib.suppress(*_LOST):
                async with replica(self.database, name) as webapp:
                    while self.committed < EVENTS:
                        ids = self._ids()
                        with contextlib.suppress(_RolledBack):
                            async with webapp.held(ids, method=self.chance.choice(["GET", "GET", "POST"])):
                                await asyncio.sleep(self.chance.random() ** 2 * HELD_S)
                                if self.chance.random() < 0.05:
                                    raise _RolledBack
                            self.committed += len(ids)
            await asyncio.sleep(0.05)  # the database is away

    def _ids(self) -> list[str]:
        hours = self.chance.choice([0, 0, 0, 1, 7, 30])
        count = self.chance.choice([1, 1, 3, 10, 40])
        self._made += count
        ids = [id7(self._made - number, NOW - hours * 3_600_000) for number in range(count)]
        self.chance.shuffle(ids)
        return ids


class _RolledBack(Exception):
    pass


@dataclass
class Follower:
    """Listens, and comes back whenever it was cut, or breaks off itself after at most `patience` events."""

    addresses: list[str]
    chance: random.Random
    patience: int
    filter: str = ""
    told: list[tuple[int, str]] = field(default_factory=list)
    times: int = 0
    last: str = ""

    async def run(self) -> None:
        while True:
            with contextlib.suppress(*_LOST, TimeoutError):
                async with await self._listen() as listener:
                    self.times += 1
                    for _ in range(self.chance.randint(1, self.patience)):
                        self.note(await self._next(listener))
            await asyncio.sleep(self.chance.random() * 0.03)

    async def begin(self) -> None:
        """From before the first event."""
        async with await self._listen() as listener:
            self.last = listener.last

    def note(self, event: "tuple[str, str]") -> None:
        id, name = event
        assert name == "request", event
        _, xid, uuid = id.split("-", 2)
        self.told.append((int(xid), uuid))
        self.last = id

    async def _next(self, listener: Listener) -> tuple[str, str]:
        try:
            event = await listener.event()
        finally:
            self.last = listener.last or self.last  # a position may have come after the last event
        return event.id, event.name

    async def _listen(self) -> Listener:
        query = {"filter": self.filter} if self.filter else {}
        return await listen(self.chance.choice(self.addresses), self.last, **query)


@dataclass
class Sleeper(Follower):
    """Does not read for so long, once, that it is cut."""

    was_cut: bool = False

    async def run(self) -> None:
        async with await self._listen() as listener:
            self.note(await self._next(listener))
            await asyncio.sleep(CUT_AFTER_S + 3)
            with contextlib.suppress(*_LOST):
                while True:
                    self.note(await self._next(listener))
            self.was_cut = True
        await super().run()


@pytest.mark.parametrize("seed", [random.randrange(2**32)])
def test_each_listener_is_told_of_each_request_once_in_order(own_cluster: Cluster, tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    database = own_cluster.new_database()
    environment = own_cluster.environment(database.postgres_db)
    viewers: dict[str, Process] = {}

    def start(address: str) -> None:
        viewers[address] = Process(environment, address, tmp_path / f"log-{len(viewers)}-{random.random()}")
        until(viewers[address].listens)

    def crash() -> None:
        postmaster(own_cluster).send_signal(signal.SIGQUIT)
        own_cluster.stop()
        own_cluster.start()

    def restart() -> None:
        own_cluster.stop()
        own_cluster.start()

    def replace(address: str, number: signal.Signals) -> None:
        viewers[address].stop(number)
        start(address)

    addresses = [f"unix:{tmp_path}/{name}.sock" for name in ("one", "two")]
    for address in addresses:
        start(address)
    followers = [
        *(Follower(addresses, random.Random(chance.random()), patience) for patience in (100, 200, 300, 1000, 3000)),
        Follower(addresses, random.Random(chance.random()), 10**6),
        Follower(addresses, random.Random(chance.random()), 200, "method:POST"),
        Follower(addresses, random.Random(chance.random()), 200, "-method:POST OR path:/x"),
        Follower(addresses, random.Random(chance.random()), 10**6, "method:NONE"),
        Sleeper(addresses, random.Random(chance.random()), 10**6),
    ]

    async def story() -> None:
        for follower in followers:
            await follower.begin()
        writers = Writers(database, chance)
        tasks = [asyncio.create_task(follower.run()) for follower in followers]
        writing = asyncio.create_task(writers.run())
        faults: list[tuple[float, Callable[[], None]]] = [
            (0.2, restart),
            (0.4, lambda: replace(addresses[0], signal.SIGKILL)),
            (0.6, crash),
            (0.8, lambda: replace(addresses[1], signal.SIGTERM)),
        ]
        for part, fault in faults:
            while writers.committed < part * EVENTS:
                await asyncio.sleep(0.01)
            await asyncio.to_thread(fault)
        await writing
        truths = {each.filter: await asyncio.to_thread(told, own_cluster, database, each.filter) for each in followers}
        assert len(truths[""]) >= EVENTS
        for follower in followers:
            truth, deadline = truths[follower.filter], time.monotonic() + 30
            while follower.told != truth and follower.told == truth[: len(follower.told)]:
                assert time.monotonic() < deadline, f"seed {seed}: {first_difference(follower.told, truth)}"
                await asyncio.sleep(0.05)
            assert follower.told == truth, f"seed {seed}: {first_difference(follower.told, truth)}"
        for task in tasks:
            assert not task.done(), task.result()
            task.cancel()
        await asyncio.wait(tasks)

    try:
        asyncio.run(story())
    finally:
        for viewer in viewers.values():
            viewer.remove()
    assert followers[0].times > 100
    assert all(follower.was_cut for follower in followers if isinstance(follower, Sleeper))
    assert not any("Traceback" in viewer.log() for viewer in viewers.values())


def told(cluster: Cluster, database: Settings, filter: str = "") -> list[tuple[int, str]]:
    """What there is to tell."""
    condition = {"": "true", "method:POST": "method = 'POST'", "method:NONE": "false"}.get(filter, "method <> 'POST'")
    rows = cluster.psql(
        "SELECT xid, id FROM batches, unnest(ids) AS id JOIN requests USING (id)"
        f" WHERE {condition} ORDER BY batches.xid::text::bigint, id",
        database.postgres_db,
    )
    return [(int(xid), id) for xid, id in (row.split("|") for row in rows.splitlines())]


def first_difference(told: list[tuple[int, str]], truth: list[tuple[int, str]]) -> str:
    for place, (one, other) in enumerate(zip(told, truth, strict=False)):
        if one != other:
            return f"event {place} of {len(truth)} is {told[place - 2 : place + 3]}, not {truth[place - 2 : place + 3]}"
    return f"{len(told)} events instead of {len(truth)}"
