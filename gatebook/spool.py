"""What a host keeps while the database is away: one SQLite file per process, in one folder for all.

Rules: `append` returns only once SQLite has synced the commit (WAL, synchronous=FULL). NAME.sqlite is written only by
who holds the lock (flock(2)) of NAME.lock, its owner, for life; the lock of a process that has died is free, and
whoever takes it owns the file and may drain it. A file is there only while there is something in it. Readers look on
beside them.

Blocking: the callers are threads. Knows nothing of PostgreSQL.
"""

import contextlib
import fcntl
import json
import os
import sqlite3
import time
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from gatebook.errors import UserError

COLUMNS = (  # a record's, in its own order
    *("id", "body_size", "peer", "client", "status", "truncated", "scheme", "http_version", "method"),
    *("target", "headers", "body", "body_sha256"),
)
_SCHEMA = """
CREATE TABLE IF NOT EXISTS spooled (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, replica TEXT NOT NULL,
    id TEXT NOT NULL UNIQUE, body_size INTEGER, peer TEXT, client TEXT, status INTEGER, truncated INTEGER, scheme TEXT,
    http_version TEXT, method TEXT, target TEXT, headers TEXT, body BLOB, body_sha256 BLOB,
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
_OLDEST = (
    f"SELECT seq, replica, {', '.join(COLUMNS)} FROM spooled WHERE seq > ? AND refused IS NULL ORDER BY seq LIMIT ?"  # noqa: S608
)
_IDENTITY = "id"


class SpoolError(Exception):
    """The spool cannot take or give anything now; says why."""


class Spooled(NamedTuple):
    """One record out of a spool."""

    seq: int
    replica: str
    record: tuple[Any, ...]  # the values of COLUMNS


class Depth(NamedTuple):
    """What lies in a folder's spools."""

    rows: int
    bytes: int
    files: int
    oldest: str | None  # the lowest id


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
        return sum(_size(path) for path in _files(self.path))

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
        for seq, replica, *record in self._open().execute(_OLDEST, (self._drained, most_rows)):
            record[COLUMNS.index("truncated")] = bool(record[COLUMNS.index("truncated")])
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
            if not _is_full(error):
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
            if not _is_full(error):
                raise
        [(self.rows,)] = self._open().execute(_LEFT, (0,))

    def _close(self) -> None:
        if self._database:
            self._database.close()
            self._database = None


class Spool:
    """This process's place in the folder: one file of its own, made at need, and those that it has taken over."""

    def __init__(self, folder: Path, limit: int) -> None:
        self._folder = folder
        self._limit = limit
        self._own: File | None = None
        self._adopted: list[File] = []
        self.identity = ""  # the folder's, from the first `append` on

    @property
    def rows(self) -> int:
        """How many records this process holds."""
        return sum(file.rows for file in self._held())

    @property
    def bytes(self) -> int:
        return sum(file.bytes for file in self._held())

    def prepare(self) -> None:
        """See that the folder can be used; raises UserError."""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise self._unusable(error.strerror) from None
        if not os.access(self._folder, os.R_OK | os.W_OK | os.X_OK):
            raise self._unusable("this user may not write in it")

    def append(self, replica: str, records: Sequence[Sequence[Any]]) -> None:
        """Keep `records` until they are drained; returns when they are synced to disk. Raises SpoolError."""
        try:
            if (size := folder_bytes(self._folder)) >= self._limit:
                raise SpoolError(f"the spool is full: {size} bytes, GATEBOOK_SPOOL_LIMIT is {self._limit}")
            self.identity = self.identity or _identify(self._folder)
            self._own = self._own or own(self._folder)
            self._own.append(replica, records)
        except (sqlite3.Error, OSError) as error:
            self._distrust(error)
            raise SpoolError(f"the spool cannot be written: {error}") from None

    def next_batch(self, most_rows: int, most_bytes: int) -> tuple[File, list[Spooled]] | None:
        """What to drain next, and out of which file: what others have left comes first. Raises SpoolError."""
        trouble: Exception | None = None
        try:
            if left := adopt(self._folder):
                self._adopted.append(left)
        except (sqlite3.Error, OSError) as error:
            trouble = error
        for file in self._held():
            try:
                if batch := file.oldest(most_rows, most_bytes):
                    return file, batch
                if file.clear() and file is not self._own:
                    self._drop(file)
            except (sqlite3.Error, OSError, SpoolError) as error:
                self._drop(file)  # whoever takes it over next counts anew
                trouble = error
        if trouble:
            raise SpoolError(f"a spool in {self._folder} cannot be read: {trouble}")
        return None

    def close(self) -> None:
        """Leave what is there to whoever comes next."""
        for file in self._held():
            _let_go(file)
        self._own, self._adopted = None, []

    def _distrust(self, error: Exception) -> None:
        """After anything but a full disk nothing more goes into this file. What is in it will be taken over."""
        if self._own and not _is_full(error):
            self._drop(self._own)

    def _drop(self, file: File) -> None:
        _let_go(file)
        self._adopted = [each for each in self._adopted if each is not file]
        self._own = None if file is self._own else self._own

    def _held(self) -> list[File]:
        return [*self._adopted, *([self._own] if self._own else [])]

    def _unusable(self, why: str | None) -> UserError:
        return UserError(
            f"the spool folder {self._folder} cannot be used: {why}",
            "set GATEBOOK_SPOOL to a folder that this user can write in",
        )


def own(folder: Path) -> File:
    """A new spool in `folder`, with nothing in it. Raises OSError."""
    while True:
        name = f"{time.time_ns():016x}-{os.urandom(4).hex()}"
        lock = _lock(folder / f"{name}.lock", os.O_CREAT)
        if lock is not None:
            return File(folder, name, lock)


def adopt(folder: Path) -> File | None:
    """Take over the oldest spool that has lost its owner and has something in it.

    Raises sqlite3.Error or OSError when there is none but one that cannot be read.
    """
    unreadable: Exception | None = None
    for path in sorted(folder.glob("*.lock")):
        file = None
        try:
            file = _taken(folder, path)
            if file and not file.clear():
                return file
        except (sqlite3.Error, OSError) as error:
            unreadable = error
        if file:
            _let_go(file)
    if unreadable:
        raise unreadable
    return None


def _taken(folder: Path, path: Path) -> File | None:
    """The spool of a lock, if that was free."""
    lock = _lock(path)
    if lock is None:
        return None
    try:
        return File(folder, path.stem, lock)
    except BaseException:
        os.close(lock)
        raise


def identity(folder: Path) -> str | None:
    """The folder's id, by which it is told from another host's; None when it has none yet. Raises OSError."""
    try:
        return (folder / _IDENTITY).read_text().strip() or None
    except FileNotFoundError:
        return None


def contained(folder: Path, ids: Collection[str]) -> set[str]:
    """Which of `ids` lie in any spool of `folder`. Raises sqlite3.Error, OSError."""
    asked = json.dumps(list(ids))
    found: set[str] = set()
    for database in _read(folder):
        found.update(
            id
            for (id,) in database.execute(
                "SELECT id FROM spooled WHERE id IN (SELECT value FROM json_each(?))", [asked]
            )
        )
    return found


def depth(folder: Path) -> Depth:
    """How much lies in the spools of `folder`. Raises sqlite3.Error, OSError."""
    counted = [next(database.execute("SELECT count(*), min(id) FROM spooled")) for database in _read(folder)]
    filled = [(rows, oldest) for rows, oldest in counted if rows]
    oldest = min((oldest for _, oldest in filled), default=None)
    return Depth(sum(rows for rows, _ in filled), folder_bytes(folder), len(filled), oldest)


def folder_bytes(folder: Path) -> int:
    """What the folder's files take, in bytes; what vanishes meanwhile takes nothing."""
    return sum(_size(path) for path in folder.glob("*.sqlite*"))


def _read(folder: Path) -> Iterator[sqlite3.Connection]:
    """Each spool, opened for reading; one that is drained and gone meanwhile is left out."""
    for path in sorted(folder.glob("*.sqlite")):
        try:
            with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=1)) as database:
                if next(database.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'spooled'"))[0]:
                    yield database
        except sqlite3.Error:
            if path.exists():
                raise


def _lock(path: Path, flags: int = 0) -> int | None:
    """Take the lock of a spool for this process until it ends; None when another has it, or it has just gone."""
    try:
        descriptor = os.open(path, os.O_RDWR | flags, 0o600)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(descriptor), os.stat(path)):
            return descriptor
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(descriptor)
    return None


def _identify(folder: Path) -> str:
    """The folder's id, made if it has none, by whoever is first."""
    found = identity(folder)
    if found:
        return found
    beside = folder / f".{_IDENTITY}.{os.urandom(4).hex()}"
    try:
        with open(beside, "w") as file:
            file.write(os.urandom(8).hex() + "\n")
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(beside, folder / _IDENTITY)
    finally:
        beside.unlink(missing_ok=True)
    return identity(folder) or ""


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
    is_new = not _size(path)
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


def _is_full(error: Exception) -> bool:
    return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL


def _let_go(file: File) -> None:
    """Its lock is free afterwards, whatever the disk says to the rest."""
    with contextlib.suppress(sqlite3.Error, OSError):
        file.release()


def _files(path: Path) -> tuple[Path, ...]:
    """A database's own file last: whoever dies in between leaves no file without it, which nobody would delete."""
    return (path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm"), path)


def _size(path: Path) -> int:
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
