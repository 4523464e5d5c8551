"""Runs the parts: in which order they start and stop, more or fewer of them, each replaced in its turn.

Order: the database, the replicas and the viewer at once (they wait for it), and when all are healthy the load balancer,
so that the first request that is accepted can be recorded. Back: the load balancer lets go of its clients, then the
replicas, last the database.
"""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Coroutine, Iterable
from typing import Any

from gatebook import __version__
from gatebook.errors import UserError
from gatebook.stack import access_log, health, leftovers, logs, nginx, port, postgres, spawn
from gatebook.stack.health import Health
from gatebook.stack.parts import BALANCER, DATABASE, REPLICA, VIEWER, Kit, Part
from gatebook.stack.process import Process
from gatebook.stack.steps import Say

_PYTHON_START_S = 15.0  # on top of the wait for the database
_BALANCER_START_S = 10.0
_FIRST_REQUEST_S = 15.0
_NEW_WORKERS_S = 5.0
_OLD_WORKERS_S = 10.0  # then their last requests are left to the replica's own drain
_TIDY_EVERY_S = 2.0
_POLL_S = 0.02
_ASK_AGAIN_S = 0.2
_ORDER = (BALANCER, REPLICA, VIEWER, DATABASE)  # as a request goes


class Runner:
    """The stack's processes and what can be done with them; one thing at a time."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit
        self._processes: dict[str, Process] = {}
        self._one_thing = asyncio.Lock()
        self._tidying: asyncio.Task[None] | None = None

    async def up(self, say: Say) -> None:
        """Start everything; returns when a request has been recorded. Raises UserError."""
        async with self._one_thing:
            await self._start(self._kit.settings.scale, say)
        self._tidying = asyncio.create_task(self._tidy())

    async def down(self, say: Say, force: asyncio.Event) -> None:
        """Stop everything; `force` ends all patience."""
        if self._tidying:
            self._tidying.cancel()
        async with self._one_thing:
            await self._stop(say, force)
            if self._kit.certificate:
                self._kit.certificate.forget()

    def ps(self) -> list[dict[str, Any]]:
        """What runs and how, as `gatebook ps --json` shows it."""
        return [
            {
                "name": process.part.name,
                "role": process.part.role,
                "pid": process.running.pid if process.running else None,
                "state": process.state,
                "address": process.part.address,
                "restarts": process.restarts,
                "seconds": round(time.monotonic() - process.running.since, 1) if process.running else None,
            }
            for process in sorted(self._processes.values(), key=lambda process: _ORDER.index(process.part.role))
        ]

    async def scale(self, count: int, say: Say) -> None:
        """Have `count` replicas. New ones get requests once they are healthy; old ones end once they get none."""
        async with self._one_thing:
            self._note(f"scale {len(self._replicas())} -> {count}")
            present = self._replicas()
            wanted = [f"{REPLICA}-{number}" for number in range(1, count + 1)]
            added = [
                self._kit.replica(number) for number in range(1, count + 1) if f"{REPLICA}-{number}" not in present
            ]
            removed = [self._processes[name] for name in present if name not in wanted]
            if added:
                await self._add(added, say)
            if added or removed:
                await self._rebalance(wait_for_old=bool(removed), names=wanted)
                say(BALANCER, f"balances over {count}")
            await _together(process.stop() for process in removed)
            for process in removed:
                del self._processes[process.part.name]
                if process.part.socket:  # nobody is to look for it there
                    process.part.socket.unlink(missing_ok=True)
                say(process.part.name, "stopped")

    async def restart(self, names: list[str], rolling: bool, say: Say) -> None:
        """Restart what is named, dropping nothing; nothing named: the replicas if `rolling`, else everything."""
        async with self._one_thing:
            chosen = self._expand(names or [REPLICA])
            if rolling and (others := [name for name in chosen if name not in self._replicas()]):
                raise UserError(f"--rolling is for replicas, and {others[0]} is none", f"gatebook restart {others[0]}")
            self._note(" ".join(["restart", *names, *(["--rolling"] if rolling else [])]))
            if not names and not rolling:
                count = len(self._replicas())
                await self._stop(say, asyncio.Event())
                return await self._start(count, say)
            for name in chosen:
                await self._restart(self._processes[name])
                say(name, "restarted, healthy")

    async def _start(self, count: int, say: Say) -> None:
        kit = self._kit
        self._processes = {
            part.name: Process(part, self._write_down)
            for part in (
                kit.balancer(),
                *(kit.replica(number) for number in range(1, count + 1)),
                kit.viewer(),
                kit.database(),
            )
        }
        patience_s = kit.settings.start_timeout_s + _PYTHON_START_S
        waiting = [self._processes[name] for name in (*self._replicas(), VIEWER)]
        for process in waiting:
            await process.start()
        await _together(
            (
                self._start_database(say),
                self._until_healthy([self._processes[VIEWER]], VIEWER, patience_s, say),
                self._until_healthy([self._processes[name] for name in self._replicas()], REPLICA, patience_s, say),
            )
        )
        kit.write_balancer_config(self._replicas())
        await self._processes[BALANCER].start()
        await self._processes[BALANCER].until_healthy(_BALANCER_START_S)
        say(BALANCER, f"listens on {kit.listen}")
        headers = await self._first_request()
        say("request", f"recorded by {headers.get('gatebook-replica')}, id {headers.get('gatebook-id')}")

    async def _start_database(self, say: Say) -> None:
        kit = self._kit
        if not kit.folder.pgdata.exists():
            await postgres.make(kit.folder, kit.programs, kit.account)
            say(DATABASE, "made")
        await self._processes[DATABASE].start()
        await self._until_healthy([self._processes[DATABASE]], DATABASE, kit.settings.start_timeout_s, say)

    async def _until_healthy(self, processes: list[Process], what: str, longest_s: float, say: Say) -> None:
        await _together(process.until_healthy(longest_s) for process in processes)
        say(what, "healthy" if len(processes) == 1 else f"{len(processes)} healthy")

    async def _first_request(self) -> dict[str, str]:
        """One in the table: until the replicas have found the database, it would go into a spool."""
        host, agent = port.to_reach(self._kit.address), f"gatebook-up/{__version__}"
        await self._until_database_is_reached(_FIRST_REQUEST_S)
        deadline = time.monotonic() + _FIRST_REQUEST_S
        while time.monotonic() < deadline:
            if headers := await health.recorded(host, self._kit.settings.port, agent, _FIRST_REQUEST_S, self._kit.tls):
                return headers
            await asyncio.sleep(_ASK_AGAIN_S)
        raise UserError(
            f"everything runs, but no request through {self._kit.url}/ was recorded within {_FIRST_REQUEST_S:g} s",
            f"see {self._kit.folder.logs}",
        )

    async def _stop(self, say: Say, force: asyncio.Event) -> None:
        """The viewer goes with the load balancer, which would else wait for those who follow its live events."""
        for group in ([BALANCER, VIEWER], self._replicas(), [DATABASE]):
            present = [process for name in group if (process := self._processes.get(name))]
            running = [process for process in present if process.state != "stopped"]
            await _together(process.stop(force) for process in running)
            if len(running) > 1 and running[0].part.role == REPLICA:
                say(REPLICA, f"{len(running)} stopped")
            else:
                for process in running:
                    say(process.part.name, "stopped")

    async def _add(self, parts: list[Part], say: Say) -> None:
        added = [Process(part, self._write_down) for part in parts]
        self._processes.update({process.part.name: process for process in added})
        try:
            await _together(process.start() for process in added)
            await _together(
                process.until_healthy(self._kit.settings.start_timeout_s + _PYTHON_START_S) for process in added
            )
        except BaseException:
            await _together(process.stop() for process in added)
            for process in added:
                del self._processes[process.part.name]
            raise
        for process in added:
            say(process.part.name, "healthy")

    async def _restart(self, process: Process) -> None:
        patience_s = self._kit.settings.start_timeout_s + _PYTHON_START_S
        match process.part.role:
            case "lb":  # a reload replaces every worker and keeps the port open; a new master would have to close it
                await self._rebalance(wait_for_old=False, names=self._replicas())
            case "db":
                await process.restart()
                await self._settled(patience_s)
            case _ if process.running:
                await process.replace(patience_s)
            case _:
                await process.restart()
                await process.until_healthy(patience_s)

    async def _settled(self, longest_s: float) -> None:
        await _together(process.until_healthy(longest_s) for process in self._processes.values())
        await self._until_database_is_reached(longest_s)

    async def _until_database_is_reached(self, longest_s: float) -> None:
        """By all replicas, as they say when they are asked now: with their spools they are healthy without it."""
        deadline = time.monotonic() + longest_s
        for name in self._replicas():
            while time.monotonic() < deadline:
                if await self._processes[name].part.health() is Health.READY:
                    break
                await asyncio.sleep(_ASK_AGAIN_S)

    async def _rebalance(self, wait_for_old: bool, names: list[str]) -> None:
        """Have nginx read who its upstreams are; returns when new workers work, and the old are gone if asked for."""
        self._kit.write_balancer_config(names)
        balancer = self._processes[BALANCER]
        await balancer.until_healthy(_BALANCER_START_S)  # not before it listens to signals
        if not balancer.running:
            return  # it has just died: the next one reads the new configuration
        master = balancer.running.pid
        old = nginx.workers(master)
        os.kill(master, signal.SIGHUP)
        if not await _until(lambda: bool(nginx.workers(master) - old), _NEW_WORKERS_S):
            raise UserError("nginx did not take its new configuration", f"see {balancer.part.log}")
        if wait_for_old:
            await _until(lambda: not nginx.workers(master) & old, _OLD_WORKERS_S)

    async def _tidy(self) -> None:
        while True:
            await asyncio.sleep(_TIDY_EVERY_S)
            with contextlib.suppress(OSError):  # a full disk; it may pass
                self._keep_logs_small()
            with contextlib.suppress(OSError):
                await self._keep_certificate_new()

    async def _keep_certificate_new(self) -> None:
        """Not while nginx starts, or is told of something else, which waits for its new workers."""
        if self._kit.certificate is None or self._one_thing.locked():
            return
        async with self._one_thing:
            balancer = self._processes[BALANCER]
            if balancer.state != "healthy":
                return
            if await asyncio.to_thread(self._kit.certificate.renew, self._note) and balancer.running:
                spawn.send(balancer.running.process, signal.SIGHUP)

    def _keep_logs_small(self) -> None:
        folder, limit = self._kit.folder, self._kit.settings.access_log_limit
        balancer = self._processes[BALANCER]
        if balancer.running and balancer.state == "healthy" and access_log.rotate(folder.access_log, limit):
            spawn.send(balancer.running.process, signal.SIGUSR1)
        access_log.prune(folder.access_log, limit)
        for path in folder.logs.glob("*.log"):
            if path != folder.access_log:
                logs.copy_and_truncate(path)

    def _replicas(self) -> list[str]:
        return [name for name, process in self._processes.items() if process.part.role == REPLICA]

    def _expand(self, names: list[str]) -> list[str]:
        """Names of processes; `webapp` means every replica, as a service's name does for compose."""
        found = []
        for name in names:
            if name != REPLICA and name not in self._processes:
                raise UserError(f"there is no {name} here", f"one of: {', '.join((REPLICA, *self._processes))}")
            found += self._replicas() if name == REPLICA else [name]
        return found

    def _write_down(self) -> None:
        """For the next runner, should we not live to stop these."""
        running = [(process.part, process.running) for process in self._processes.values() if process.running]
        records = [
            leftovers.Record(name=part.name, pid=now.pid, created=now.created, signal=int(part.stops[0][0]))
            for part, now in running
        ]
        try:
            leftovers.write(self._kit.folder, records)
        except OSError as error:  # a full disk; the kernel's own signal at our death is left
            self._note(f"cannot write down what runs: {error.strerror}")

    def _note(self, text: str) -> None:
        logs.note(self._kit.folder.log(logs.RUNNER), text)


async def _together(work: Iterable[Coroutine[Any, Any, None]]) -> None:
    """All at once; the first failure ends the others and is raised."""
    tasks = [asyncio.create_task(each) for each in work]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _until(condition: Any, longest_s: float) -> bool:
    deadline = time.monotonic() + longest_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(_POLL_S)
    return True
