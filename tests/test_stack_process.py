"""Supervision, on small processes of its own: backoff, replacement, the end of a whole group; and what is left over."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import psutil
import pytest
from local_stack import runs, until

from gatebook.errors import UserError
from gatebook.stack import leftovers
from gatebook.stack.folder import Folder
from gatebook.stack.parts import Part
from gatebook.stack.process import Process

# Takes over a socket's path as the real parts do, then stays until it is told to end.
_LISTENS = """
import os, socket, sys, time
path = sys.argv[1]
listener = socket.socket(socket.AF_UNIX)
listener.bind(f"{path}.{os.getpid()}")
listener.listen()
os.rename(f"{path}.{os.getpid()}", path)
time.sleep(60)
"""


def part(folder: Path, *command: str, healthy: Callable[[], Awaitable[bool]], stops: float = 5.0) -> Part:
    return Part(
        name="part",
        role="webapp",
        command=command,
        environment={"PATH": os.defpath},
        address="",
        healthy=healthy,
        stops=((signal.SIGTERM, stops),),
        log=folder / "part.log",
        socket=folder / "part.sock",
    )


async def yes() -> bool:
    return True


async def until_true(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.01)


def test_one_that_dies_is_started_again_after_waits_that_double(tmp_path: Path) -> None:
    async def run() -> None:
        process = Process(part(tmp_path, "sh", "-c", "exit 7", healthy=yes), lambda: None)
        await process.start()
        await until_true(lambda: process.restarts >= 4)
        assert process.state == "restarting"
        await process.stop()
        assert process.state == "stopped"

    asyncio.run(run())
    said = (tmp_path / "part.log").read_text()
    assert re.findall(r"part ended with code 7 after 0 s; starting again in (\S+) s", said)[:4] == [
        "0.1",
        "0.2",
        "0.4",
        "0.8",
    ]


def test_one_that_dies_while_it_is_waited_for_says_why(tmp_path: Path) -> None:
    async def no() -> bool:
        return False

    async def run() -> None:
        process = Process(part(tmp_path, "sh", "-c", "echo 'Error: no luck'; exit 1", healthy=no), lambda: None)
        await process.start()
        with pytest.raises(UserError, match="part ended: no luck"):
            await process.until_healthy(30)
        await process.stop()
        slow = Process(part(tmp_path, "sleep", "60", healthy=no), lambda: None)
        await slow.start()
        with pytest.raises(UserError, match=r"part did not get healthy within 0\.2 s"):
            await slow.until_healthy(0.2)
        assert slow.state == "starting"
        await slow.stop()

    asyncio.run(run())


def test_a_new_process_takes_over_before_the_old_one_ends(tmp_path: Path) -> None:
    async def run() -> None:
        process = Process(
            part(tmp_path, sys.executable, "-c", _LISTENS, str(tmp_path / "part.sock"), healthy=yes), lambda: None
        )
        await process.start()
        await until_true((tmp_path / "part.sock").exists)
        old = process.running
        await process.replace(30)
        assert old and process.running
        assert process.running.pid != old.pid
        assert not old.alive
        assert process.restarts == 0
        await process.stop()

    asyncio.run(run())


def test_one_that_cannot_be_replaced_stays(tmp_path: Path) -> None:
    async def run() -> None:
        flag = tmp_path / "fails"
        command = f"test -e {flag} && exit 3; exec sleep 60"
        process = Process(part(tmp_path, "sh", "-c", command, healthy=yes), lambda: None)
        await process.start()
        await process.until_healthy(30)
        old = process.running
        flag.touch()
        with pytest.raises(UserError, match="did not take over"):
            await process.replace(30)
        assert process.running is old
        assert process.state == "healthy"
        await process.stop()

    asyncio.run(run())


def test_one_that_will_not_end_is_killed_with_all_that_it_started(tmp_path: Path) -> None:
    async def run() -> psutil.Process:
        command = "trap '' TERM; sleep 60 & echo $! > child; wait; sleep 60"
        process = Process(part(tmp_path, "sh", "-c", f"cd {tmp_path}; {command}", healthy=yes, stops=0.2), lambda: None)
        await process.start()
        await until_true(lambda: (tmp_path / "child").exists() and (tmp_path / "child").read_text().strip() != "")
        child = psutil.Process(int((tmp_path / "child").read_text()))
        await process.stop()
        return child

    child = asyncio.run(run())
    until(lambda: not runs(child), "the child to end")


def test_patience_ends_when_it_is_told_to(tmp_path: Path) -> None:
    async def run() -> float:
        process = Process(
            part(tmp_path, "sh", "-c", "trap '' TERM; echo on; sleep 60; sleep 60", healthy=yes, stops=60), lambda: None
        )
        await process.start()
        await until_true(lambda: "on" in (tmp_path / "part.log").read_text())
        force = asyncio.Event()
        force.set()
        began = time.monotonic()
        await process.stop(force)
        return time.monotonic() - began

    assert asyncio.run(run()) < 30


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    made = Folder(tmp_path / "data")
    made.claim()
    return made


@pytest.fixture
def sleeper() -> Iterator[psutil.Process]:
    """A process group of two, of which the leader ends when it is asked to and the other does not."""
    command = "trap 'exit 0' TERM; (trap '' TERM; exec sleep 60) & echo; wait"
    with subprocess.Popen(["sh", "-c", command], start_new_session=True, stdout=subprocess.PIPE) as started:
        assert started.stdout and started.stdout.readline()
        yield psutil.Process(started.pid)
        started.kill()


def record(process: psutil.Process, created: float | None = None) -> leftovers.Record:
    return leftovers.Record(
        name="webapp-1", pid=process.pid, created=created or process.create_time(), signal=signal.SIGTERM
    )


def test_what_was_left_is_ended_with_its_group(folder: Folder, sleeper: psutil.Process) -> None:
    (child,) = sleeper.children()
    leftovers.write(folder, [record(sleeper)])
    assert leftovers.end(folder) == ["webapp-1"]
    until(lambda: not runs(sleeper) and not runs(child), "both to end")
    assert not folder.processes.exists()


def test_a_group_whose_leader_is_gone_is_ended_too(folder: Folder, sleeper: psutil.Process) -> None:
    (child,) = sleeper.children()
    leftovers.write(folder, [record(sleeper)])
    sleeper.kill()
    sleeper.wait()
    assert runs(child)
    assert leftovers.end(folder) == ["webapp-1"]
    until(lambda: not runs(child), "it to end")


def test_a_process_that_only_has_the_same_number_is_left_alone(folder: Folder, sleeper: psutil.Process) -> None:
    leftovers.write(folder, [record(sleeper, created=sleeper.create_time() - 60)])
    assert leftovers.end(folder) == []
    assert runs(sleeper)


@pytest.mark.parametrize("text", ["", "not JSON", json.dumps([])])
def test_no_record_or_a_damaged_one_is_no_reason_to_stop(folder: Folder, text: str) -> None:
    folder.processes.write_text(text)
    assert leftovers.end(folder) == []
