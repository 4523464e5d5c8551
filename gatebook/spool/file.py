"""One spool: a SQLite file and the lock that says whose it is.

Rule: what is deleted depends on what is in the file, never on what somebody has counted.
"""

import contextlib
import os
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

COLUMNS = (  # a record's, in its own order
    *("id", "body_size", "peer", "client", "status", "truncated", "scheme", "http_version", "method"),
    *("target", "headers", "body", "body_sha256", "tls"),
)
_TRUNCATED = COLUMNS.index("truncated")
_SCHEMA = """
CREATE TABLE IF NOT EXISTS spooled (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, replica TEXT NOT NULL,
    id TEXT NOT NULL UNIQUE, body_size INTEGER, peer TEXT, client TEXT, status INTEGER, truncated INTEGER, scheme TEXT,
    http_version TEXT, method TEXT, target TEXT, headers TEXT, body BLOB, body_sha256 BLOB, tls TEXT,
    refused TEXT -- why the database will never take it
)"""
_INDEX = "CREATE INDEX IF NOT EXISTS refused ON spooled (seq) WHERE refused IS NOT NULL"
_LEFT = "SELECT count(*) FROM spooled WHERE seq > ? OR refused IS NOT NULL"
# A file shrinks as it is drained; what is left of its log, too. F_FULLFSYNC is what macOS calls a sync.
_PRAGMAS = (
    *("journal_mode = WAL", "synchronous = FULL", "fullfsync = ON"),
    *("journal_size_limit = 4194304", "busy_timeout = 1000"),
)
_PRAGMA_OF_A_NEW_FILE = "auto_vacuum = FULL"  # it writes, for which a full disk has no room
_INSERT = f"INSERT OR IGNORE INTO spooled (replica, {', '.join(COLUMNS)}) VALUES (?{', ?' * len(COLUMNS)})"  # noqa: S608
_OLDEST = "SELECT seq, replica, {} FROM spooled WHERE seq > ? AND refused IS NULL ORDER BY seq LIMIT ?"
_THERE = "SELECT name FROM pragma_table_info('spooled')"


class SpoolError(Exception):
    """The spool cannot take or give anything now; says why."""


class Spooled(NamedTuple):
    """One record out of a spool."""

    seq: int
    replica: str
    record: tuple[Any, ...]  # the values of COLUMNS


class File:
    """One spool of the folder, owned by this process. Its methods raise sqlite3.Error and OSError."""

    def __init__(self, folder: Path, name: str, lock: int) -> None:
        self.path = folder / f"{name}.sqlite"
        self._lock_path = folder / f"{name}.lock"
        self._lock = lock
        self._released = False
        self._database: sqlite3.Connection | None = None
        self._drained = 0  # up to this record it has been drained, though a full disk may keep it from being deleted
        self._refused: dict[int, str] = {}  # records that the database will never take, and why
        self.rows = 0  # for whoever watches; what is deleted does not depend on it
        if self.path.exists():
            self._take_over()

    @property
    def bytes(self) -> int:
        return sum(size(path) for path in _files(self.path))

    def append(self, replica: str, records: Sequence[Sequence[Any]]) -> None:
        """Keep `records`, each once, in one transaction; returns when it is synced."""
        with self._transaction() as database:
            done = database.executemany(_INSERT, [(replica, *record) for record in records])
        self.rows += done.rowcount

    def oldest(self, most_rows: int, most_bytes: int) -> list[Spooled]:
        """The records to drain that came first, in the order they came: at least one if there is any."""
        if not self.path.exists():
            return []
        found: list[Spooled] = []
        database = self._open()
        there = {name for (name,) in database.execute(_THERE)}  # an older release's file is drained as it is
        columns = ", ".join(name if name in there else f"NULL AS {name}" for name in COLUMNS)
        for seq, replica, *record in database.execute(_OLDEST.format(columns), (self._drained, most_rows)):
            record[_TRUNCATED] = bool(record[_TRUNCATED])
            found.append(Spooled(seq, replica, tuple(record)))
            most_bytes -= sum(len(value) for value in record if isinstance(value, str | bytes))
            if most_bytes <= 0:
                break
        return found

    def refuse(self, seq: int, why: str) -> None:
        """Set a record aside, which the database will never take: `forget` of its batch keeps it."""
        self._refused[seq] = why

    def forget(self, batch: Sequence[Spooled]) -> None:
        """Delete what `oldest` gave: the database has it, but for what it refused."""
        self._drained = batch[-1].seq
        self.rows -= sum(each.seq not in self._refused for each in batch)
        try:
            with self._transaction() as database:
                mark = "UPDATE spooled SET refused = ? WHERE seq = ? AND refused IS NULL"
                database.executemany(mark, [(why, seq) for seq, why in self._refused.items()])
                database.execute("DELETE FROM spooled WHERE seq <= ? AND refused IS NULL", (self._drained,))
        except sqlite3.OperationalError as error:
            if not is_full(error):
                raise  # else the file goes as a whole, in the end: deleting that takes no room

    def clear(self) -> bool:
        """Delete the file if nothing is in it that is still to be kept; returns whether it is gone."""
        if self.path.exists():
            [(left,)] = self._open().execute(_LEFT, (self._drained,))
            self.rows = max(left, len(self._refused))
            if self.rows:
                return False
            self._close()
            for path in _files(self.path):
                path.unlink(missing_ok=True)
            self._drained = 0  # the next one counts anew
        return True

    def release(self) -> None:
        """Own it no more. What is left in it is for whoever takes the lock next."""
        try:
            self._close()
            if not self.path.exists():
                self._lock_path.unlink(missing_ok=True)
        finally:
            self._released = True
            os.close(self._lock)

    def _open(self) -> sqlite3.Connection:
        if self._released:
            raise SpoolError("the spool has another owner now")
        if not self._database:
            self._database = _connected(self.path)
        return self._database

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        database = self._open()
        database.execute("BEGIN IMMEDIATE")
        try:
            yield database
            database.execute("COMMIT")
        except BaseException:
            if database.in_transaction:
                database.execute("ROLLBACK")
            raise

    def _take_over(self) -> None:
        """What was refused is worth another try. On a full disk it has to wait for the next owner."""
        try:
            with self._transaction() as database:
                database.execute("UPDATE spooled SET refused = NULL WHERE refused IS NOT NULL")
        except sqlite3.OperationalError as error:
            if not is_full(error):
                raise
        [(self.rows,)] = self._open().execute(_LEFT, (0,))

    def _close(self) -> None:
        if self._database:
            self._database.close()
            self._database = None


def _connected(path: Path) -> sqlite3.Connection:
    """A connection to a spool, which is made if it is not there."""
    try:
        return _prepared(path, [])
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_IOERR_SHMSIZE:
            raise
        # No room for the file in which connections agree: then there is only this one, which does without.
        return _prepared(path, ["locking_mode = EXCLUSIVE"])


def _prepared(path: Path, pragmas: Sequence[str]) -> sqlite3.Connection:
    is_new = not size(path)
    database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        for pragma in (*pragmas, *([_PRAGMA_OF_A_NEW_FILE] if is_new else []), *_PRAGMAS):
            database.execute(f"PRAGMA {pragma}")
        database.execute(_SCHEMA)
        database.execute(_INDEX)
        if is_new:
            _sync(path.parent)
    except BaseException:
        database.close()
        raise
    return database


def is_full(error: Exception) -> bool:
    """Whether the disk has no room."""
    return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL


def _files(path: Path) -> tuple[Path, ...]:
    """A database's own file last: whoever dies in between leaves no file without it, which nobody would delete."""
    return (path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm"), path)


def size(path: Path) -> int:
    """In bytes; what is not there has none."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
