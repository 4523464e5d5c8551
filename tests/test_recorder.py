"""Where a batch goes, and how long anybody waits: the breaker, the deadlines, a disk that hangs."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import cast

import pytest

from gatebook.app import recorder as recorder_module
from gatebook.app.capture import Record
from gatebook.app.journal import NotRecorded
from gatebook.app.metrics import Metrics, State
from gatebook.app.page import Seen
from gatebook.app.recorder import Recorder
from gatebook.app.writer import Unwritable, Writer
from gatebook.identity import request_uuid
from gatebook.spool import Spool

EVERYTHING = 1 << 30
NOTHING = State(0, 0, 0, 0, 0, True)


def record(number: int) -> Record:
    id = request_uuid(f"{number:019x}".ljust(32, "0"), "1763858054.123")
    return Record(id, 0, "192.0.2.1", "192.0.2.1", 200, False, "http", "1.1", "GET", f"/{number}", "[]", b"", None)


class Database:
    """A writer whose database does as the test says."""

    def __init__(self) -> None:
        self.does: Callable[[], Awaitable[None]] = self.commits
        self.asked = 0

    async def commits(self) -> None:
        pass

    async def write(self, records: Sequence[Record], wants_others: bool, deadline: float) -> list[Seen]:
        self.asked += 1
        try:
            async with asyncio.timeout_at(deadline):
                await self.does()
        except TimeoutError:
            raise NotRecorded("it was silent") from None
        return []

    def fails(self, error: Exception) -> None:
        async def do() -> None:
            raise error

        self.does = do

    def is_silent(self) -> None:
        async def do() -> None:
            await asyncio.sleep(3600)

        self.does = do


class Disk(Spool):
    """A spool whose disk can be made to hang."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, EVERYTHING)
        self.turns = threading.Event()
        self.turns.set()

    def append(self, replica: str, records: Sequence[Sequence[object]]) -> None:
        self.turns.wait()
        super().append(replica, records)


class Parts:
    def __init__(self, folder: Path) -> None:
        self.database, self.disk = Database(), Disk(folder)
        self.metrics = Metrics("webapp-1", lambda: NOTHING)
        self.recorder = Recorder("webapp-1", cast(Writer, self.database), self.disk, self.metrics)
        self.recorder.database_up = True

    async def write(self, number: int, within_s: float = 60) -> str:
        deadline = asyncio.get_running_loop().time() + within_s
        return (await self.recorder.write([record(number)], False, deadline)).durability


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    made = Parts(tmp_path)
    yield made
    made.disk.turns.set()
    made.recorder.close()


def play(story: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(story())


def test_one_batch_waits_for_a_silent_database_and_the_next_do_not(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder_module, "FLUSH_WITHIN_S", 0.05)

    async def story() -> None:
        assert await parts.write(1) == "committed"
        parts.database.is_silent()
        assert [await parts.write(number) for number in (2, 3, 4)] == ["spooled"] * 3
        assert parts.database.asked == 2
        assert parts.disk.rows == 3

    play(story)


@pytest.mark.parametrize("error", [NotRecorded("no room"), ZeroDivisionError("nobody thought of it")])
def test_whatever_the_database_says_the_spool_keeps_it(parts: Parts, error: Exception) -> None:
    async def story() -> None:
        parts.database.fails(error)
        assert await parts.write(1) == "spooled"
        assert not parts.recorder.database_up
        assert parts.recorder.ready

    play(story)


def test_a_row_that_is_never_taken_is_spooled_and_the_database_is_asked_again(parts: Parts) -> None:
    async def story() -> None:
        parts.database.fails(Unwritable("a constraint"))
        assert await parts.write(1) == "spooled"
        parts.database.does = parts.database.commits
        assert await parts.write(2) == "committed"

    play(story)


def test_a_disk_that_hangs_is_waited_for_once_and_then_refused_until_it_answers(parts: Parts) -> None:
    """What was on its way may be kept all the same: nobody was told so."""

    async def story() -> None:
        parts.recorder.database_up = False
        parts.disk.turns.clear()
        with pytest.raises(NotRecorded, match="too slow"):
            await parts.write(1, within_s=0.05)
        assert not parts.recorder.ready
        with pytest.raises(NotRecorded, match="does not answer"):
            await parts.write(2)
        parts.disk.turns.set()
        async with asyncio.timeout(30):
            while not parts.recorder.ready:
                await asyncio.sleep(0.01)
        assert await parts.write(3) == "spooled"
        assert parts.disk.rows == 2

    play(story)


def test_a_batch_whose_deadline_has_passed_is_refused_and_the_next_is_not(parts: Parts) -> None:
    """As for a process that was stopped in the middle of a flush."""

    async def story() -> None:
        parts.database.is_silent()
        with pytest.raises(NotRecorded, match="did not answer in time"):
            await parts.write(1, within_s=-1)
        assert await parts.write(2) == "spooled"

    play(story)


def test_an_append_that_is_about_to_end_is_waited_for(parts: Parts) -> None:
    async def story() -> None:
        parts.recorder.database_up = False
        parts.disk.turns.clear()
        with pytest.raises(NotRecorded, match="too slow"):
            await parts.write(1, within_s=0.05)
        asyncio.get_running_loop().call_later(0.02, parts.disk.turns.set)
        assert await parts.write(2) == "spooled"

    play(story)


def test_a_full_spool_says_so_and_a_replica_without_a_place_to_write_is_not_ready(tmp_path: Path) -> None:
    parts = Parts(tmp_path)
    parts.disk._limit = 0

    async def story() -> None:
        parts.database.fails(NotRecorded("no room"))
        with pytest.raises(NotRecorded, match=r"away, and the spool is full: .*GATEBOOK_SPOOL_LIMIT"):
            await parts.write(1)
        assert not parts.recorder.ready
        parts.recorder.database_up = True
        assert parts.recorder.ready

    play(story)
    parts.recorder.close()
