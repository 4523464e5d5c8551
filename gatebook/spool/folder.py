"""The folder of a host's spools: who owns which, and what lies in them."""

import contextlib
import fcntl
import json
import os
import sqlite3
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

from gatebook.spool.file import File, size

_IDENTITY = "id"


class Depth(NamedTuple):
    """What lies in a folder's spools."""

    rows: int
    bytes: int
    files: int
    oldest: str | None  # the lowest id


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
            let_go(file)
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
    return sum(size(path) for path in folder.glob("*.sqlite*"))


def identify(folder: Path) -> str:
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


def let_go(file: File) -> None:
    """Its lock is free afterwards, whatever the disk says to the rest."""
    with contextlib.suppress(sqlite3.Error, OSError):
        file.release()


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
