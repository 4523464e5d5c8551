"""The state of the gate: whether requests are recorded, and whether anything is wrong with that.

Rule: it is always told, and soon. What cannot be asked is null or said to be silent, and is no error. However many
people look, everybody is asked once a second at most.
"""

import asyncio
import contextlib
import os
import sqlite3
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from pathlib import Path
from typing import Any, Generic, Literal, NamedTuple, Protocol, TypeVar

from gatebook import spool
from gatebook.identity import rfc3339, utc
from gatebook.settings import Settings
from gatebook.viewer.database import Database, Unavailable
from gatebook.viewer.replicas import Replicas

Status = Literal["ok", "warning", "trouble"]
STATUSES: tuple[Status, ...] = ("ok", "warning", "trouble")  # from good to bad

DATABASE_WITHIN_S = 1.0  # twice that when it is silent, since its connection is given up first
SPOOL_WITHIN_S = 2.0
LASTS_S = 1.0
_OLDEST_WITHIN_S = 0.4  # then what was known before is told, and the question goes on
_OLDEST_ANSWERS_WITHIN_S = 5.0
_OLDEST_LASTS_S = 60.0  # it opens every day's partition
_NAMED = 5  # replicas
_ALMOST_FULL = 0.8  # of the spool's limit

T = TypeVar("T")


class Shared(Generic[T]):
    """Some work's result, for everybody who wants it while that runs, and for `lasts_s` afterwards."""

    def __init__(self, work: Callable[[], Coroutine[Any, Any, T]], lasts_s: float = 0.0) -> None:
        self._work = work
        self._lasts_s = lasts_s
        self._until = 0.0
        self._running: asyncio.Task[T] | None = None

    async def result(self) -> T:
        """Who stops waiting takes nothing from the others."""
        if self._running is None or (self._running.done() and time.monotonic() >= self._until):
            self._running = asyncio.create_task(self._run())
        return await asyncio.shield(self._running)

    async def _run(self) -> T:
        result = await self._work()
        self._until = time.monotonic() + self._lasts_s
        return result


async def database_is_up(database: Database) -> bool:
    try:
        await database.row("ready", within_s=DATABASE_WITHIN_S)
    except Unavailable:
        return False
    return True


async def spool_depth(folder: Path) -> spool.Depth | None:
    """None when it cannot be read, or not in time."""
    try:
        async with asyncio.timeout(SPOOL_WITHIN_S):
            return await asyncio.to_thread(_read_depth, folder)
    except (OSError, sqlite3.Error):
        return None


def _read_depth(folder: Path) -> spool.Depth:
    """Raises sqlite3.Error, OSError."""
    os.scandir(folder).close()  # a folder that cannot be read would look empty
    return spool.depth(folder)


class Audited(Protocol):
    """What an audit found."""

    @property
    def finished_at(self) -> float:
        """Unix seconds."""

    @property
    def counts(self) -> Mapping[str, int]:
        """How many requests had each outcome."""

    @property
    def proven(self) -> bool: ...

    def sentence(self) -> str: ...


class Seen(NamedTuple):
    """What was seen of the gate at one moment."""

    answering: int  # replicas that can record
    silent: int  # those that cannot, or do not answer
    spool: spool.Depth | None
    spool_limit: int
    database: bool
    audit: Audited | None
    oldest: str | None  # id of the oldest row there is
    silent_names: tuple[str, ...] = ()  # of the first few that are silent


class Gate:
    """Looks at the gate for whoever asks."""

    def __init__(self, settings: Settings, database: Database, last_audit: Callable[[], Audited | None]) -> None:
        self._settings = settings
        self._database = database
        self._last_audit = last_audit
        self._replicas = Replicas(settings.proxy_upstream)
        self._state = Shared(self._look, LASTS_S)
        self._oldest = Shared(self._read_oldest, _OLDEST_LASTS_S)
        self._oldest_known: str | None = None

    async def state(self) -> dict[str, Any]:
        """As schema.Gate describes it, not much older than a second."""
        return await self._state.result()

    async def _look(self) -> dict[str, Any]:
        answers, depth, (is_up, oldest) = await asyncio.gather(
            self._replicas.ask_by_name("/_/health/ready"), spool_depth(self._settings.spool), self._ask_database()
        )
        silent = [name for name, answer in answers if answer is None]
        well, limit, named = len(answers) - len(silent), self._settings.spool_limit, tuple(silent[:_NAMED])
        return told(Seen(well, len(silent), depth, limit, is_up, self._last_audit(), oldest, named))

    async def _ask_database(self) -> tuple[bool, str | None]:
        is_up = await database_is_up(self._database)
        if is_up:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_OLDEST_WITHIN_S):
                    await self._oldest.result()
        return is_up, self._oldest_known

    async def _read_oldest(self) -> None:
        with contextlib.suppress(Unavailable):
            row = await self._database.row("oldest", within_s=_OLDEST_ANSWERS_WITHIN_S)
            self._oldest_known = str(row["id"]) if row else None


def told(seen: Seen) -> dict[str, Any]:
    """As schema.Gate describes it. Pure, but for the time."""
    status, words = judged(seen)
    depth = seen.spool
    return {
        "status": status,
        "words": words,
        "replicas": {"answering": seen.answering, "silent": seen.silent, "silent_names": seen.silent_names},
        "spool": depth and {"rows": depth.rows, "bytes": depth.bytes, "files": depth.files},
        "database": seen.database,
        "last_audit": seen.audit and _audit(seen.audit),
        "oldest": seen.oldest and utc(seen.oldest),
        "checked_at": rfc3339(time.time_ns() // 10**6),
    }


def _audit(audit: Audited) -> dict[str, Any]:
    return {
        "finished_at": rfc3339(round(audit.finished_at * 1000)),
        "proven": audit.proven,
        "sentence": audit.sentence(),
        "counts": dict(audit.counts),
    }


def judged(seen: Seen) -> tuple[Status, str]:
    """How bad it is at worst, and a sentence of all that is wrong; empty when nothing is."""
    wrong = [*_of_replicas(seen), *_of_database(seen), *_of_audit(seen.audit)]
    if not wrong:
        return "ok", ""
    words = "; ".join(clause for _, clause in wrong)
    return max((status for status, _ in wrong), key=STATUSES.index), f"{words[:1].upper()}{words[1:]}."


def _of_replicas(seen: Seen) -> Iterator[tuple[Status, str]]:
    if not seen.answering:
        yield "trouble", "no replica answers, so requests are refused"
    elif seen.silent:
        do = "does" if seen.silent == 1 else "do"
        who = f": {', '.join(seen.silent_names)}" if seen.silent_names else ""
        yield "warning", f"{seen.silent} of {seen.answering + seen.silent} replicas {do} not answer{who}"


def _of_database(seen: Seen) -> Iterator[tuple[Status, str]]:
    rows = seen.spool.rows if seen.spool else 0
    if not seen.database:
        meanwhile = ", and what comes in waits in the spool" if seen.answering else ""
        yield "trouble", f"the database does not answer the viewer{meanwhile}"
    elif rows:
        yield "warning", "requests wait in the spool to be written"
    if seen.spool and seen.spool.bytes >= _ALMOST_FULL * seen.spool_limit:
        full = seen.spool.bytes / seen.spool_limit
        yield "trouble", f"the spool is {full:.0%} full, and when it is full requests are refused"


def _of_audit(audit: Audited | None) -> Iterator[tuple[Status, str]]:
    if audit and not audit.proven:
        missing, twice = audit.counts["missing"], audit.counts["twice"]
        found = " and ".join([*([f"{missing:,} missing"] if missing else []), *([f"{twice:,} twice"] if twice else [])])
        yield "trouble", f"the last audit found {found}"
