"""What a host keeps while the database is away: kept once synced, owned by one, taken over from the dead."""

import contextlib
import multiprocessing
import os
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from gatebook import spool as spool_module
from gatebook.app.capture import Record
from gatebook.errors import UserError
from gatebook.spool import COLUMNS, File, Spool, Spooled, SpoolError, adopt, contained, depth, identity, own

MANY = 10**9


def record(number: int, body: bytes | None = b"body") -> Record:
    """Every type and every awkward value that a record may have."""
    return Record(
        f"id-{number:03}", None if body is None else len(body), "192.0.2.1", "2001:db8::1", 413, body is None, "http",
        "1.1", "GET", "/\xff\x80'\"", '[["a", "\\u00ff"]]', body, b"\0" * 32,
    )  # fmt: skip


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    made = Spool(tmp_path, MANY)
    made.prepare()
    yield made
    made.close()


def drained(file: File) -> list[tuple[str, Record]]:
    """All that is in it, taken out as the drain does."""
    found = []
    while file.to_drain:
        batch = file.oldest(2, MANY)
        found += [(each.replica, Record(*each.record)) for each in batch]
        file.forget(batch)
    return found


def test_the_columns_are_a_records_fields() -> None:
    assert Record._fields == COLUMNS


def test_what_is_appended_comes_out_as_it_was_oldest_first_and_once(spool: Spool, tmp_path: Path) -> None:
    records = [record(3), record(1), record(2, None), record(3), record(4, b"")]
    spool.append("webapp-1", records[:2])
    spool.append("webapp-1", records[2:])
    assert (spool.rows, depth(tmp_path).rows) == (4, 4)
    file = spool.next_file()
    assert file
    assert drained(file) == [("webapp-1", each) for each in (records[0], records[1], records[2], records[4])]
    assert all(type(each.truncated) is bool for _, each in drained(file))
    assert (spool.rows, spool.next_file()) == (0, None)


def test_nothing_is_left_of_a_drained_spool_but_its_lock(spool: Spool, tmp_path: Path) -> None:
    spool.append("webapp-1", [record(1)])
    file = spool.next_file()
    assert file
    drained(file)
    assert sorted(path.suffix for path in tmp_path.iterdir()) == ["", ".lock"]
    spool.append("webapp-1", [record(1), record(2)])  # and it is there again at need
    assert spool.next_file() is file
    file.forget(file.oldest(1, MANY))
    assert depth(tmp_path).rows == 1
    spool.close()
    assert depth(tmp_path) == (1, depth(tmp_path).bytes, 1, "id-002")


def test_a_batch_is_bounded_by_rows_and_by_bytes_but_never_empty(spool: Spool) -> None:
    spool.append("webapp-1", [record(number, b"x" * 1000) for number in range(10)])
    file = spool.next_file()
    assert file
    assert len(file.oldest(3, MANY)) == 3
    assert len(file.oldest(MANY, 2500)) == 3
    assert len(file.oldest(MANY, 1)) == 1


def test_readers_find_what_is_there_beside_its_owner(spool: Spool, tmp_path: Path) -> None:
    assert identity(tmp_path) is None
    assert depth(tmp_path) == (0, 0, 0, None)
    spool.append("webapp-1", [record(number) for number in range(1000)])
    assert contained(tmp_path, ["id-001", "id-999", "absent"]) == {"id-001", "id-999"}
    assert depth(tmp_path).oldest == "id-000"
    assert identity(tmp_path) == spool.identity
    assert len(spool.identity) == 16


def test_two_processes_have_a_file_each_and_one_identity(tmp_path: Path, spool: Spool) -> None:
    other = Spool(tmp_path, MANY)
    spool.append("webapp-1", [record(1)])
    other.append("webapp-2", [record(2)])
    assert depth(tmp_path)[::2] == (2, 2)
    assert spool.identity == other.identity
    assert spool.next_file() is not other.next_file()
    assert (spool.rows, other.rows) == (1, 1)  # neither takes the other's
    other.close()


def _spool_and_wait(folder: Path, ready: "multiprocessing.synchronize.Event") -> None:
    Spool(folder, MANY).append("webapp-1", [record(1), record(2)])
    ready.set()
    signal.pause()


def test_what_a_killed_process_leaves_is_taken_over_by_one(tmp_path: Path, spool: Spool) -> None:
    """SIGKILL, with its log not yet written back into the file."""
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    process = context.Process(target=_spool_and_wait, args=(tmp_path, ready))
    process.start()
    assert ready.wait(30)
    assert adopt(tmp_path) is None  # it lives
    os.kill(process.pid or 0, signal.SIGKILL)
    process.join()
    assert contained(tmp_path, ["id-001", "id-002"]) == {"id-001", "id-002"}
    spool.append("webapp-9", [record(9)])
    file = spool.next_file()
    assert file
    assert adopt(tmp_path) is None  # it is taken
    assert [replica for replica, _ in drained(file)] == ["webapp-1", "webapp-1"]  # the older before our own
    file = spool.next_file()
    assert file
    assert [replica for replica, _ in drained(file)] == ["webapp-9"]
    assert len(list(tmp_path.glob("*.lock"))) == 1


def test_a_lock_without_a_spool_is_cleared_away(tmp_path: Path) -> None:
    (tmp_path / "0.lock").touch()
    assert adopt(tmp_path) is None
    assert list(tmp_path.iterdir()) == []


def test_a_spool_that_cannot_be_read_does_not_hide_the_others(tmp_path: Path) -> None:
    (tmp_path / "0.lock").touch()
    (tmp_path / "0.sqlite").write_bytes(b"this is no database" * 100)
    with pytest.raises(sqlite3.DatabaseError):
        adopt(tmp_path)
    left = Spool(tmp_path, MANY)
    left.append("webapp-1", [record(1)])
    left.close()
    file = adopt(tmp_path)
    assert file
    assert file.rows == 1
    file.release()


def test_a_record_that_the_database_will_never_take_is_set_aside_and_kept(spool: Spool, tmp_path: Path) -> None:
    spool.append("webapp-1", [record(1), record(2)])
    file = spool.next_file()
    assert file
    file.refuse(file.oldest(1, MANY)[0].seq, "because")
    batch = file.oldest(2, MANY)
    assert [each.seq for each in batch] == [2]
    file.forget([Spooled(1, "webapp-1", ()), *batch])  # as the drain has them, which met the first among others
    assert spool.next_file() is None
    spool.append("webapp-1", [record(3)])
    assert [each.id for _, each in drained(file)] == ["id-003"]
    assert contained(tmp_path, ["id-001"]) == {"id-001"}
    spool.close()
    again = adopt(tmp_path)  # whoever takes it over tries it again
    assert again
    assert [each.id for _, each in drained(again)] == ["id-001"]
    again.release()


def test_a_released_file_is_touched_no_more(tmp_path: Path) -> None:
    file = own(tmp_path)
    file.append("webapp-1", [record(1)])
    file.release()
    with pytest.raises(SpoolError, match="another owner"):
        file.oldest(1, MANY)


def test_beyond_its_limit_it_takes_nothing_and_below_again(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 400_000)
    with pytest.raises(SpoolError, match=r"the spool is full: .* GATEBOOK_SPOOL_LIMIT is 400000"):
        for number in range(20):
            spool.append("webapp-1", [record(number, b"x" * 60_000)])
    assert 3 <= spool.rows < 10
    assert 400_000 <= depth(tmp_path).bytes < 600_000
    file = spool.next_file()
    assert file
    drained(file)
    spool.append("webapp-1", [record(99)])
    spool.close()


def test_after_a_failed_disk_the_next_file_is_a_new_one_and_the_old_is_drained(
    spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody knows what a disk has kept that once failed to sync (the kernel may say so only once)."""
    spool.append("webapp-1", [record(1)])

    def fails(*arguments: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    with monkeypatch.context() as broken:
        broken.setattr(File, "append", fails)
        with pytest.raises(SpoolError, match="disk I/O error"):
            spool.append("webapp-1", [record(2)])
    spool.append("webapp-1", [record(3)])
    assert len(list(tmp_path.glob("*.sqlite"))) == 2
    assert spool_module.depth(tmp_path).rows == 2
    for id in ("id-001", "id-003"):
        file = spool.next_file()
        assert file
        assert [each.id for _, each in drained(file)] == [id]


def test_a_full_disk_does_not_keep_a_spool_from_being_drained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To delete a record takes room, to delete a file does not; and no record is brought twice for it."""
    file = own(tmp_path)
    file.append("webapp-1", [record(number) for number in range(5)])
    with sqlite3.connect(file.path) as pages:
        (count,) = pages.execute("PRAGMA page_count").fetchone()
    pages.close()

    def full(self: File) -> sqlite3.Connection:
        database = opened(self)
        database.execute(f"PRAGMA max_page_count = {count}")
        return database

    opened = File._open
    monkeypatch.setattr(File, "_open", full)
    with pytest.raises(sqlite3.OperationalError, match="full"):
        file.append("webapp-1", [record(9, b"x" * 100_000)])
    with monkeypatch.context() as stuck:
        stuck.setattr(File, "_transaction", _disk_full)
        first = file.oldest(3, MANY)
        file.forget(first)
        rest = file.oldest(3, MANY)
        assert [each.record[0] for each in (*first, *rest)] == [f"id-{number:03}" for number in range(5)]
        file.forget(rest)
    assert list(tmp_path.glob("*.sqlite*")) == []
    file.release()


@contextlib.contextmanager
def _disk_full(file: File) -> Iterator[None]:
    error = sqlite3.OperationalError("database or disk is full")
    error.sqlite_errorcode = sqlite3.SQLITE_FULL
    raise error
    yield


def test_a_folder_that_cannot_be_used_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be used") as failure:
        Spool(tmp_path / "file" / "spool", MANY).prepare()
    assert "GATEBOOK_SPOOL" in failure.value.hint
