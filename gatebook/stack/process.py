"""One supervised part: started, watched, started again when it dies or hangs, replaced without a gap, stopped.

Rule: `_running` is the process that counts. Whoever puts another one there ends the one that was; the supervisor
mourns only a process that still counts.
"""

import asyncio
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil

from gatebook.errors import UserError
from gatebook.stack import logs, spawn
from gatebook.stack.health import Health
from gatebook.stack.parts import Part

State = Literal["healthy", "starting", "unhealthy", "restarting", "stopped"]

_FIRST_WAIT_S = 0.1
_LONGEST_WAIT_S = 5.0
_GOOD_RUN_S = 10.0  # after this long the next wait is the first again
_FORCED_PATIENCE_S = 1.0  # what even a second Ctrl-C leaves, mostly to the database
_PROBE_S = 1.0
_PROBE_EAGERLY_S = 0.02


@dataclass(frozen=True)
class Running:
    """A process of the operating system's, and when it began (Unix time, as psutil tells it)."""

    process: asyncio.subprocess.Process
    created: float
    since: float

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def alive(self) -> bool:
        return self.process.returncode is None


class Process:
    """A part and its process. `changed` is called whenever there is another process."""

    def __init__(self, part: Part, changed: Callable[[], None]) -> None:
        self.part = part
        self.restarts = 0
        self._changed = changed
        self._running: Running | None = None
        self._wanted = False
        self._ever_healthy = False  # this process
        self._health = Health.NOT_READY
        self._silences = 0  # health questions in a row that it did not answer
        self._log_from = 0
        self._lock = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def running(self) -> Running | None:
        return self._running if self._running and self._running.alive else None

    @property
    def state(self) -> State:
        if not self.running:
            return "restarting" if self._wanted else "stopped"
        if self._health.is_healthy:
            return "healthy"
        return "unhealthy" if self._ever_healthy else "starting"

    async def start(self) -> None:
        """Start and from now on keep it running. Raises UserError when it cannot even be started."""
        self._wanted = True
        self._log_from = logs.size(self.part.log)
        try:
            self._count(await self._spawn())
        except OSError as error:
            self._wanted = False
            raise UserError(f"cannot start {self.part.name}: {error}", "check the installation") from None
        self._tasks = [asyncio.create_task(self._supervise()), asyncio.create_task(self._probe())]

    async def until_healthy(self, longest_s: float) -> None:
        """Raise UserError, with what it said last, when it ends or has not answered in time."""
        deadline, deaths = time.monotonic() + longest_s, self.restarts
        while self.state != "healthy":
            if self.restarts != deaths:
                raise self._failure("ended")
            if time.monotonic() > deadline:
                raise self._failure(f"did not get healthy within {longest_s:g} s")
            await asyncio.sleep(_PROBE_EAGERLY_S)

    async def replace(self, longest_s: float) -> None:
        """Start-first: a new process takes over the socket's path, then the old one is ended. Raises UserError."""
        path = self.part.socket
        if not path:
            raise ValueError(f"{self.part.name} has no socket to take over")
        async with self._lock:
            old, before = self._running, _identity(path)
            self._log_from = logs.size(self.part.log)
            new = await self._spawn()
            deadline = time.monotonic() + longest_s
            try:
                while _identity(path) == before:
                    if not new.alive or time.monotonic() > deadline:
                        raise self._failure("did not take over")
                    await asyncio.sleep(_PROBE_EAGERLY_S)
            except BaseException:
                await spawn.kill(new.process)
                raise
            self._count(new)
            if old:
                await self._end(old)
        await self.until_healthy(longest_s)

    async def restart(self) -> None:
        """End it and start it at once."""
        async with self._lock:
            if self._running:
                await self._end(self._running)
            self._log_from = logs.size(self.part.log)
            self._count(await self._spawn())

    async def stop(self, force: asyncio.Event | None = None) -> None:
        """End it and keep it ended; patience ends when `force` is set."""
        self._wanted = False
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        if self._running:
            await self._end(self._running, force)
        self._running = None
        self._changed()

    async def _spawn(self) -> Running:
        part = self.part
        process = await spawn.spawn(
            part.command,
            part.environment,
            part.log,
            account=part.account,
            dies_by=part.stops[0][0],
            in_batches=part.in_batches,
        )
        try:
            created = psutil.Process(process.pid).create_time()
        except psutil.NoSuchProcess:
            created = time.time()
        return Running(process, created, time.monotonic())

    def _count(self, running: Running) -> None:
        self._running = running
        self._health, self._ever_healthy, self._silences = Health.NOT_READY, False, 0
        self._changed()

    async def _supervise(self) -> None:
        wait = _FIRST_WAIT_S
        while running := self._running:
            await running.process.wait()
            async with self._lock:  # a replacement under way ends first, and may be the reason
                if self._running is not running:
                    continue
                spawn.kill_group(running.pid)
                ran = time.monotonic() - running.since
                wait = _FIRST_WAIT_S if ran > _GOOD_RUN_S else wait
                self._health = Health.NOT_READY
                self.restarts += 1
                how = spawn.ending(running.process.returncode or 0)
                logs.note(self.part.log, f"{self.part.name} {how} after {ran:.0f} s; starting again in {wait:g} s")
            await asyncio.sleep(wait)
            wait = min(2 * wait, _LONGEST_WAIT_S)
            async with self._lock:
                if self._running is running:
                    await self._start_again()

    async def _start_again(self) -> None:
        while True:
            try:
                return self._count(await self._spawn())
            except OSError as error:  # no memory, no process to be had: it may pass
                logs.note(
                    self.part.log, f"cannot start {self.part.name}: {error}; trying again in {_LONGEST_WAIT_S:g} s"
                )
                await asyncio.sleep(_LONGEST_WAIT_S)

    async def _probe(self) -> None:
        while True:
            asked = self._running
            answer = await self.part.health() if self.running else Health.NOT_READY
            if self._running is asked:
                self._learn(answer)
                self._end_if_hung()
            await asyncio.sleep(self._until_next_question())

    def _until_next_question(self) -> float:
        if self._health is Health.READY:
            return _PROBE_S
        return _PROBE_S / 5 if self._ever_healthy else _PROBE_EAGERLY_S

    def _learn(self, answer: Health) -> None:
        if self._ever_healthy and answer.is_healthy != self._health.is_healthy and self.running:
            logs.note(self.part.log, f"{self.part.name} is {'healthy again' if answer.is_healthy else 'unhealthy'}")
        self._health = answer
        self._ever_healthy |= answer.is_healthy
        self._silences = self._silences + 1 if answer is Health.SILENT else 0

    def _end_if_hung(self) -> None:
        """The load balancer would go on handing it requests, each of which then waits for another replica."""
        most, running = self.part.most_silences, self.running
        if most and running and self._ever_healthy and self._silences >= most:
            self._silences = 0
            logs.note(self.part.log, f"{self.part.name} has left {most} health questions unanswered; killing it")
            spawn.kill_group(running.pid)

    async def _end(self, running: Running, force: asyncio.Event | None = None) -> None:
        """Ask in the part's own way, then less kindly; nothing of its group is left."""
        for number, patience_s in self.part.stops:
            if not running.alive:
                break
            spawn.send(running.process, number)
            await _either(running.process, force, patience_s)
            await _either(running.process, None, min(patience_s, _FORCED_PATIENCE_S))
        spawn.kill_group(running.pid)
        await running.process.wait()

    def _failure(self, how: str) -> UserError:
        name = self.part.name
        what, hint = logs.last_words(self.part.log, self._log_from)
        return UserError(f"{name} {how}: {what}" if what else f"{name} {how}", hint or f"see {self.part.log}")


async def _either(process: asyncio.subprocess.Process, force: asyncio.Event | None, longest_s: float) -> None:
    """Wait for the end of `process`, for `force`, or until the time is up."""
    waits: list[asyncio.Task[object]] = [asyncio.create_task(process.wait())]
    if force:
        waits.append(asyncio.create_task(force.wait()))
    try:
        await asyncio.wait(waits, timeout=longest_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()


def _identity(path: Path) -> tuple[int, int] | None:
    """Which socket a path leads to; a new one's inode differs, since a listener holds on to its own."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_ctime_ns
