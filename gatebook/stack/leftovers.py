"""What a runner that was killed left running, found by process id and time of creation, and ended.

Rule: a process is ours only if its id *and* its time of creation are those written down; ids are used again.
"""

import contextlib
import json
import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TypedDict

import psutil

from gatebook.stack.folder import Folder, write_atomically
from gatebook.stack.parts import DATABASE
from gatebook.stack.spawn import kill_group

_CLOCK_SLACK_S = 2.0  # the kernel's boot time, which creation times are counted from, is corrected now and then
_PATIENCE_S = 3.0
_DATABASE_PATIENCE_S = 20.0
_POLL_S = 0.02
_NOBODY = 2**31 - 1  # no system gives out such a process id


class Record(TypedDict):
    """One process that the runner started."""

    name: str
    pid: int
    created: float
    signal: int


def write(folder: Folder, records: Iterable[Record]) -> None:
    """Write down what runs now."""
    write_atomically(folder.processes, json.dumps(list(records)))


def end(folder: Folder) -> list[str]:
    """End everything that the last runner left, the database as gently as it allows; returns their names."""
    records = [record for record in _read(folder.processes) if _group(record)]
    for record in records:
        for process in _leader(record):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(record["signal"])
    names = [record["name"] for record in records]
    now = time.monotonic()
    for record in records:
        deadline = now + (_DATABASE_PATIENCE_S if record["name"] == DATABASE else _PATIENCE_S)
        while _leader(record) and time.monotonic() < deadline:
            time.sleep(_POLL_S)
        if _group(record):
            kill_group(record["pid"])
    if _end_server(folder.pgdata, now + _DATABASE_PATIENCE_S) and DATABASE not in names:
        names.append(DATABASE)
    _unname_stranger(folder.pgdata / "postmaster.pid")
    folder.processes.unlink(missing_ok=True)
    return names


def _read(path: Path) -> list[Record]:
    try:
        found: list[Record] = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return []
    return found


def _leader(record: Record) -> list[psutil.Process]:
    """The process itself, if it still runs."""
    try:
        process = psutil.Process(record["pid"])
        same = abs(process.create_time() - record["created"]) < _CLOCK_SLACK_S
        return [process] if same and process.status() != psutil.STATUS_ZOMBIE else []
    except psutil.Error:
        return []


def _group(record: Record) -> bool:
    """Whether it or a member of its group still runs. A group's id is not given out again while it has a member."""
    if _leader(record):
        return True
    with contextlib.suppress(psutil.NoSuchProcess):
        if psutil.Process(record["pid"]).status() != psutil.STATUS_ZOMBIE:
            return False  # someone else's by now
    return any(_is_member(pid, record) for pid in psutil.pids())


def _is_member(pid: int, record: Record) -> bool:
    try:
        created = psutil.Process(pid).create_time()
        return os.getpgid(pid) == os.getsid(pid) == record["pid"] and created > record["created"] - _CLOCK_SLACK_S
    except (ProcessLookupError, psutil.Error, PermissionError):
        return False


def _end_server(pgdata: Path, deadline: float) -> bool:
    """Have a PostgreSQL that still holds the data end; its own pid file tells of it."""
    found = False
    asked: set[signal.Signals] = set()
    while pid := _server(pgdata):
        late = time.monotonic() - deadline
        wish = signal.SIGINT if late < 0 else signal.SIGQUIT if late < 5 else signal.SIGKILL
        if wish not in asked:
            asked.add(wish)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, wish)
        found = True
        time.sleep(_POLL_S)
    return found


def _server(pgdata: Path) -> int | None:
    try:
        first = (pgdata / "postmaster.pid").read_text().splitlines()[0]
        process = psutil.Process(int(first))
        is_ours = process.name() == "postgres" and str(pgdata) in process.cmdline()
        return process.pid if is_ours and process.status() != psutil.STATUS_ZOMBIE else None
    except (OSError, IndexError, ValueError, psutil.Error):
        return None


def _unname_stranger(pid_file: Path) -> None:
    """PostgreSQL does not start while any process has the id in its pid file: a dead one that nobody has reaped yet, or
    another that has been given the id since. The other lines, by which it finds what still uses its memory, stay.
    """
    with contextlib.suppress(OSError, ValueError, psutil.NoSuchProcess):
        first, _, rest = pid_file.read_text().partition("\n")
        process = psutil.Process(int(first))
        if process.name() != "postgres" or process.status() == psutil.STATUS_ZOMBIE:
            owner, new = pid_file.stat(), pid_file.with_suffix(".new")
            write_atomically(new, f"{_NOBODY}\n{rest}")
            os.chown(new, owner.st_uid, owner.st_gid, follow_symlinks=False)  # the folder is that user's
            new.rename(pid_file)
