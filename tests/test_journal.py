"""Group commit: who is told what, and when."""

import asyncio
import math
from collections.abc import Sequence
from typing import NamedTuple

import pytest

from gatebook.app import journal
from gatebook.app.journal import Journal, NotRecorded


class FakeRecord(NamedTuple):
    body: bytes | None
    target: str = ""
    headers: str = ""


class FakeEntry(NamedTuple):
    number: int
    record: FakeRecord
    arrived: float = math.inf


def entry(number: int, size: int = 0) -> FakeEntry:
    return FakeEntry(number, FakeRecord(b"x" * size))


class Table:
    """A database that commits when it is let, and notes what it was given and whom the journal told."""

    def __init__(self) -> None:
        self.flushes: list[list[int]] = []
        self.told: list[tuple[str, list[int]]] = []
        self.may_commit = asyncio.Event()
        self.fails: set[int] = set()
        self.failure: Exception = NotRecorded("as the test asked")
        self.journal = Journal(self.write, self.recorded, self.refused)

    async def write(self, batch: Sequence[FakeEntry]) -> str:
        self.flushes.append([entry.number for entry in batch])
        await self.may_commit.wait()
        if any(entry.number in self.fails for entry in batch):
            raise self.failure
        return "written"

    def recorded(self, batch: Sequence[FakeEntry], written: str) -> None:
        assert written == "written"
        self.told.append(("recorded", [entry.number for entry in batch]))

    def refused(self, batch: Sequence[FakeEntry], error: NotRecorded) -> None:
        self.told.append(("refused", [entry.number for entry in batch]))


async def turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def test_what_arrives_during_a_flush_is_the_next_batch() -> None:
    async def story() -> None:
        table = Table()
        running = asyncio.create_task(table.journal.run())
        table.journal.submit(entry(1))
        await turns()
        for number in (2, 3, 4):
            table.journal.submit(entry(number))
        await turns()
        assert table.flushes == [[1]]  # one flush in flight
        table.may_commit.set()
        table.journal.close()
        await running
        assert table.flushes == [[1], [2, 3, 4]]
        assert table.told == [("recorded", [1]), ("recorded", [2, 3, 4])]

    asyncio.run(story())


def test_nobody_is_told_before_the_commit() -> None:
    async def story() -> None:
        table = Table()
        running = asyncio.create_task(table.journal.run())
        table.journal.submit(entry(1))
        await turns()
        assert table.told == []
        table.may_commit.set()
        await turns()
        assert table.told == [("recorded", [1])]
        table.journal.close()
        await running

    asyncio.run(story())


def test_a_mistake_of_ours_is_refused_and_does_not_end_the_replica() -> None:
    async def story() -> None:
        table = Table()
        table.fails = {1}
        table.failure = ZeroDivisionError("nobody thought of it")
        table.may_commit.set()
        running = asyncio.create_task(table.journal.run())
        table.journal.submit(entry(1))
        await turns()
        table.journal.submit(entry(2))
        table.journal.close()
        await running
        assert table.told == [("refused", [1]), ("recorded", [2])]

    asyncio.run(story())


def test_who_has_waited_too_long_is_refused_and_not_written() -> None:
    """As after this process was stopped for a while: those who came since are written, nobody waits for the others."""

    async def story() -> None:
        table = Table()
        table.may_commit.set()
        now = asyncio.get_running_loop().time()
        for number, arrived in enumerate([now - 60, now - journal.QUEUE_S - 1, now - 1, now]):
            table.journal.submit(FakeEntry(number, FakeRecord(b"x"), arrived))
        table.journal.close()
        await table.journal.run()
        assert table.told == [("refused", [0, 1]), ("recorded", [2, 3])]
        assert (table.journal.rows, table.journal.bytes) == (0, 0)

    asyncio.run(story())


def test_long_headers_count_as_bodies_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "QUEUE_BYTES", 40)

    async def story() -> None:
        table = Table()
        table.journal.submit(FakeEntry(1, FakeRecord(None, target="/" * 10, headers="x" * 25)))
        with pytest.raises(NotRecorded, match="more to write"):
            table.journal.submit(entry(2, 10))

    asyncio.run(story())


def test_only_a_crowd_waits_and_never_long() -> None:
    assert [journal.pause_s(rows) for rows in (4, 15, 16, 63, 64, 500)] == [0.001, 0.001, 0.002, 0.004, 0.005, 0.005]
    assert journal.CROWD_ROWS > 1


def test_a_failed_batch_is_refused_whole_and_the_next_one_is_written() -> None:
    async def story() -> None:
        table = Table()
        table.fails = {2}
        table.may_commit.set()
        running = asyncio.create_task(table.journal.run())
        for number in (1, 2, 3):
            table.journal.submit(entry(number))
        await turns()
        table.journal.submit(entry(4))
        table.journal.close()
        await running
        assert table.told == [("refused", [1, 2, 3]), ("recorded", [4])]

    asyncio.run(story())


def test_batches_and_queue_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "BATCH_ROWS", 2)
    monkeypatch.setattr(journal, "BATCH_BYTES", 10)
    monkeypatch.setattr(journal, "QUEUE_ROWS", 5)
    monkeypatch.setattr(journal, "QUEUE_BYTES", 40)

    async def story() -> None:
        table = Table()
        table.may_commit.set()
        for number, size in enumerate([1, 1, 9, 2, 20]):
            table.journal.submit(entry(number, size))
        with pytest.raises(NotRecorded, match="more to write"):
            table.journal.submit(entry(5))  # by rows
        running = asyncio.create_task(table.journal.run())
        await turns()
        assert table.flushes == [[0, 1], [2], [3], [4]]  # a large one goes alone
        table.journal.submit(entry(6, 100))  # larger than all the room, but it is alone
        with pytest.raises(NotRecorded, match="more to write"):
            table.journal.submit(entry(7, 1))  # by bytes
        table.journal.close()
        await running
        assert table.told[-1] == ("recorded", [6])

    asyncio.run(story())


def test_a_closed_journal_takes_no_more() -> None:
    async def story() -> None:
        table = Table()
        table.journal.close()
        with pytest.raises(NotRecorded, match="stopping"):
            table.journal.submit(entry(1))
        await table.journal.run()
        assert table.flushes == []

    asyncio.run(story())
