"""What a host keeps while the database is away: kept once synced, owned by one, taken over from the dead."""

import contextlib
import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gatebook.app.capture import Record
from gatebook.errors import UserError
from gatebook.spool import COLUMNS, File, Spool, SpoolError, adopt, contained, depth, identity, own

MANY = 10**9


def record(number: int, body: bytes | None = b"body") -> Record:
    """Every type and every awkward value that a record may have."""
    return Record(
        f"id-{number:03}", None if body is None else len(body), "192.0.2.1", "2001:db8::1", 413, body is None, "http",
        "1.1", "GET", "/\xff\x80'\"", '[["a", "\\u00ff"]]', body, b"\0" * 32,
        '{"version": "TLSv1.3"}' if number % 2 else None,
    )  # fmt: skip


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    made = Spool(tmp_path, MANY)
    made.prepare()
    yield made
    made.close()


def drained(spool: Spool) -> list[tuple[str, str]]:
    """All that is to be drained, taken out as the drain does: replicas and ids."""
    return [(replica, record.id) for replica, record in drained_records(spool)]


def drained_records(spool: Spool) -> list[tuple[str, Record]]:
    found = []
    while one := spool.next_batch(2, MANY):
        file, batch = one
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
    found = drained_records(spool)
    assert found == [("webapp-1", each) for each in (records[0], records[1], records[2], records[4])]
    assert all(type(each.truncated) is bool for _, each in found)
    assert (spool.rows, spool.next_batch(1, MANY)) == (0, None)


def test_a_spool_of_a_release_before_tls_is_drained(spool: Spool, tmp_path: Path) -> None:
    spool.append("webapp-1", [record(1)])
    [path] = tmp_path.glob("*.sqlite")
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.execute("ALTER TABLE spooled DROP COLUMN tls")
    assert drained_records(spool) == [("webapp-1", record(1)._replace(tls=None))]


def test_nothing_is_left_of_a_drained_spool_but_its_lock(spool: Spool, tmp_path: Path) -> None:
    spool.append("webapp-1", [record(1)])
    drained(spool)
    assert sorted(path.suffix for path in tmp_path.iterdir()) == ["", ".lock"]
    spool.append("webapp-1", [record(1), record(2)])  # and it is there again at need
    assert drained(spool) == [("webapp-1", "id-001"), ("webapp-1", "id-002")]


def test_a_batch_is_bounded_by_rows_and_by_bytes_but_never_empty(spool: Spool) -> None:
    spool.append("webapp-1", [record(number, b"x" * 1000) for number in range(10)])

    def count(rows: int, bytes: int) -> int:
        found = spool.next_batch(rows, bytes)
        assert found
        return len(found[1])

    assert (count(3, MANY), count(MANY, 2500), count(MANY, 1)) == (3, 3, 1)


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
    assert (drained(spool), drained(other)) == ([("webapp-1", "id-001")], [("webapp-2", "id-002")])
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
    assert spool.next_batch(1, MANY)
    assert adopt(tmp_path) is None  # it is taken
    expected = [("webapp-1", "id-001"), ("webapp-1", "id-002"), ("webapp-9", "id-009")]  # the older before our own
    assert drained(spool) == expected
    assert len(list(tmp_path.glob("*.lock"))) == 1


def test_a_lock_without_a_spool_is_cleared_away(tmp_path: Path) -> None:
    (tmp_path / "0.lock").touch()
    assert adopt(tmp_path) is None
    assert list(tmp_path.iterdir()) == []


def test_a_spool_that_cannot_be_read_keeps_no_other_from_being_drained(spool: Spool, tmp_path: Path) -> None:
    """It is said once the others are done."""
    (tmp_path / "0.lock").touch()
    (tmp_path / "0.sqlite").write_bytes(b"this is no database" * 100)
    left = Spool(tmp_path, MANY)
    left.append("webapp-1", [record(1)])
    left.close()
    spool.append("webapp-2", [record(2)])
    for id in ("id-001", "id-002"):
        found = spool.next_batch(9, MANY)
        assert found
        assert [each.record[0] for each in found[1]] == [id]
        found[0].forget(found[1])
    with pytest.raises(SpoolError, match="not a database"):
        spool.next_batch(9, MANY)
    assert len(list(tmp_path.glob("*.lock"))) == 2
    spool.append("webapp-2", [record(3)])  # and recording goes on


def test_a_record_that_the_database_will_never_take_is_set_aside_and_kept(spool: Spool, tmp_path: Path) -> None:
    spool.append("webapp-1", [record(1), record(2)])
    found = spool.next_batch(2, MANY)
    assert found
    file, batch = found
    file.refuse(batch[0].seq, "because")
    file.forget(batch)
    assert spool.next_batch(2, MANY) is None
    spool.append("webapp-1", [record(3)])
    assert drained(spool) == [("webapp-1", "id-003")]
    assert contained(tmp_path, ["id-001", "id-002"]) == {"id-001"}
    assert spool.rows == 1
    spool.close()
    again = Spool(tmp_path, MANY)  # whoever takes it over tries it again
    assert drained(again) == [("webapp-1", "id-001")]
    again.close()


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
    drained(spool)
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
    assert drained(spool) == [("webapp-1", "id-001"), ("webapp-1", "id-003")]


@pytest.mark.parametrize("suffix", ["", "-wal"])
def test_a_file_that_cannot_be_deleted_costs_nothing_that_comes_after(
    spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    """It holds what was drained: to bring that again is harmless, but nothing new may be taken for it."""
    spool.append("webapp-1", [record(1), record(2)])
    unlink = Path.unlink

    def fails(path: Path, missing_ok: bool = False) -> None:
        if path.name.endswith(f".sqlite{suffix}"):
            raise OSError(30, "Read-only file system")
        unlink(path, missing_ok)

    with monkeypatch.context() as broken:
        broken.setattr(Path, "unlink", fails)
        with pytest.raises(SpoolError, match="Read-only"):
            drained(spool)
    spool.append("webapp-1", [record(number) for number in range(3, 6)])
    assert {id for _, id in drained(spool)} >= {"id-003", "id-004", "id-005"}
    assert depth(tmp_path).rows == 0


def test_a_full_disk_keeps_no_spool_from_being_drained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To delete a record takes room, to delete a file does not; and no record is brought twice for it."""
    file = own(tmp_path)
    file.append("webapp-1", [record(number) for number in range(5)])
    with monkeypatch.context() as full:
        full.setattr(File, "_transaction", _disk_full)
        first = file.oldest(3, MANY)
        file.forget(first)
        rest = file.oldest(3, MANY)
        assert [each.record[0] for each in (*first, *rest)] == [f"id-{number:03}" for number in range(5)]
        file.forget(rest)
        assert file.clear()
    assert list(tmp_path.glob("*.sqlite*")) == []
    file.release()


@contextlib.contextmanager
def _disk_full(file: File) -> Iterator[None]:
    error = sqlite3.OperationalError("database or disk is full")
    error.sqlite_errorcode = sqlite3.SQLITE_FULL
    raise error
    yield


@pytest.mark.parametrize("owner", ["killed", "stopped"])
def test_what_is_left_on_a_full_disk_is_taken_over_and_drained_there(tmp_path: Path, owner: str) -> None:
    """A disk of our own, full to the last byte; who was stopped has taken the file away in which connections agree."""
    command = ["unshare", "--mount", *(["--user", "--map-root-user"] if os.geteuid() else [])]
    script = (
        f'mount -t tmpfs -o size=2m tmpfs "{tmp_path}" && exec "{sys.executable}" "{__file__}" "{tmp_path}" {owner}'
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run([*command, "sh", "-c", script], env=environment, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "15 drained, 1 kept\n"), done.stderr


def _on_a_full_disk(folder: Path, owner: str) -> None:
    left = own(folder)
    left.append("webapp-1", [record(number, b"x" * 1000) for number in range(16)])
    if owner == "stopped":
        left.release()
    else:
        os.close(left._lock)  # as the kernel does
    with open(folder / "ballast", "wb", buffering=0) as ballast, contextlib.suppress(OSError):
        while ballast.write(bytes(4096)) == 4096:
            pass
    spool, count = Spool(folder, MANY), 0
    while found := spool.next_batch(5, MANY):
        file, batch = found
        if not count:
            file.refuse(batch[0].seq, "because")
        count += len(batch)
        file.forget(batch)
    print(f"{count - 1} drained, {spool.rows} kept")


def test_a_folder_that_cannot_be_used_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be used") as failure:
        Spool(tmp_path / "file" / "spool", MANY).prepare()
    assert "GATEBOOK_SPOOL" in failure.value.hint


if __name__ == "__main__":
    _on_a_full_disk(Path(sys.argv[1]), sys.argv[2])
