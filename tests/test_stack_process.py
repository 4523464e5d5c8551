"""Supervision, on small processes of its own: backoff, replacement, the end of a whole group; and what is left over."""

import asyncio
import contextlib
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import psutil
import pytest
from local_stack import runs, until

from gatebook.errors import UserError
from gatebook.stack import leftovers, spawn
from gatebook.stack.folder import Folder
from gatebook.stack.health import Health, ready
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


def part(
    folder: Path,
    *command: str,
    health: Callable[[], Awaitable[Health]],
    stops: float = 5.0,
    most_silences: int | None = None,
) -> Part:
    return Part(
        name="part",
        role="webapp",
        command=command,
        environment={"PATH": os.defpath},
        address="",
        health=health,
        stops=((signal.SIGTERM, stops),),
        log=folder / "part.log",
        socket=folder / "part.sock",
        most_silences=most_silences,
    )


async def yes() -> Health:
    return Health.READY


async def no() -> Health:
    return Health.NOT_READY


async def until_true(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.01)


def test_one_that_dies_is_started_again_after_waits_that_double(tmp_path: Path) -> None:
    async def run() -> None:
        process = Process(part(tmp_path, "sh", "-c", "exit 7", health=yes), lambda: None)
        await process.start()
        await until_true(lambda: process.restarts >= 4)
        assert process.state == "restarting"
        await process.stop()
        assert process.state == "stopped"

    asyncio.run(run())
    said = (tmp_path / "part.log").read_text()
    assert re.findall(r"part ended with code 7 after \d+ s; starting again in (\S+) s", said)[:4] == [
        "0.1",
        "0.2",
        "0.4",
        "0.8",
    ]


def test_one_that_dies_while_it_is_waited_for_says_why(tmp_path: Path) -> None:
    async def run() -> None:
        process = Process(part(tmp_path, "sh", "-c", "echo 'Error: no luck'; exit 1", health=no), lambda: None)
        await process.start()
        with pytest.raises(UserError, match="part ended: no luck"):
            await process.until_healthy(30)
        await process.stop()
        slow = Process(part(tmp_path, "sleep", "60", health=no), lambda: None)
        await slow.start()
        with pytest.raises(UserError, match=r"part did not get healthy within 0\.2 s"):
            await slow.until_healthy(0.2)
        assert slow.state == "starting"
        await slow.stop()

    asyncio.run(run())


def test_a_new_process_takes_over_before_the_old_one_ends(tmp_path: Path) -> None:
    async def run() -> None:
        process = Process(
            part(tmp_path, sys.executable, "-c", _LISTENS, str(tmp_path / "part.sock"), health=yes), lambda: None
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
        process = Process(part(tmp_path, "sh", "-c", command, health=yes), lambda: None)
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
        process = Process(part(tmp_path, "sh", "-c", f"cd {tmp_path}; {command}", health=yes, stops=0.2), lambda: None)
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
            part(tmp_path, "sh", "-c", "trap '' TERM; echo on; sleep 60; sleep 60", health=yes, stops=60), lambda: None
        )
        await process.start()
        await until_true(lambda: "on" in (tmp_path / "part.log").read_text())
        force = asyncio.Event()
        force.set()
        began = time.monotonic()
        await process.stop(force)
        return time.monotonic() - began

    assert asyncio.run(run()) < 30


# Answers its health question with the status that a file names, as the real parts do.
_ANSWERS = """
import contextlib, pathlib, socket, sys
listener = socket.socket(socket.AF_UNIX)
path = pathlib.Path(sys.argv[1])
path.unlink(missing_ok=True)
listener.bind(str(path))
listener.listen()
while True:
    connection, _ = listener.accept()
    with connection, contextlib.suppress(OSError):
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 " + path.with_name("status").read_bytes() + b"\\r\\n\\r\\n")
"""


@contextlib.asynccontextmanager
async def answering(folder: Path, most_silences: int | None = 3, status: str = "200 OK") -> AsyncIterator[Process]:
    """A part that answers, until a signal stops it; that it is silent is known after a second."""
    (folder / "status").write_text(status)
    path = folder / "part.sock"
    command = (sys.executable, "-c", _ANSWERS, str(path))
    answers = part(folder, *command, health=lambda: ready(path, 1.0), stops=0.2, most_silences=most_silences)
    process = Process(answers, lambda: None)
    await process.start()
    try:
        await until_true(path.exists)
        yield process
    finally:
        await process.stop()


def stop_by_signal(process: Process) -> int:
    assert process.running
    os.kill(process.running.pid, signal.SIGSTOP)
    return process.running.pid


def test_one_that_hangs_is_killed_and_started_again(tmp_path: Path) -> None:
    async def run() -> None:
        async with answering(tmp_path) as process:
            await process.until_healthy(30)
            hung = stop_by_signal(process)
            await until_true(lambda: process.restarts == 1 and process.state == "healthy")
            assert process.running and process.running.pid != hung

    asyncio.run(run())
    said = (tmp_path / "part.log").read_text()
    assert "part has left 3 health questions unanswered; killing it\n" in said
    assert "part ended with signal 9" in said


def test_one_that_hangs_for_a_shorter_while_is_left_alone(tmp_path: Path) -> None:
    """Once it answers, its silences are forgotten."""

    async def run() -> None:
        async with answering(tmp_path, most_silences=4) as process:
            await process.until_healthy(30)
            for _ in range(5):
                hung = stop_by_signal(process)
                await until_true(lambda: process.state == "unhealthy")
                os.kill(hung, signal.SIGCONT)
                await until_true(lambda: process.state == "healthy")
            assert (process.restarts, process.running and process.running.pid) == (0, hung)

    asyncio.run(run())
    assert (tmp_path / "part.log").read_text().count("healthy again") == 5


@pytest.mark.parametrize("why", ["it says that it is not ready", "it was never healthy", "it may hang"])
def test_one_that_does_not_hang_or_may_is_left_alone(tmp_path: Path, why: str) -> None:
    """Each is asked several times as often as it would take."""
    asked = 0

    async def run() -> None:
        async with answering(tmp_path, 1 if why != "it may hang" else None, "503 Service Unavailable") as process:
            if why != "it was never healthy":
                (tmp_path / "status").write_text("200 OK")
                await process.until_healthy(30)
            if why == "it says that it is not ready":
                (tmp_path / "status").write_text("503 Service Unavailable")
            else:
                stop_by_signal(process)
            first = asked
            await until_true(lambda: asked > first + 4)
            assert process.restarts == 0 and process.state != "healthy"

    real = Process._learn

    def learn(self: Process, answer: Health) -> None:
        nonlocal asked
        asked += 1
        real(self, answer)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Process, "_learn", learn)
        asyncio.run(run())


@pytest.mark.parametrize("command", ["sleep 60", "true"])
def test_stopping_in_the_middle_of_a_start_leaves_no_process(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, command: str
) -> None:
    """And asyncio has nothing to complain of: it would, when the exit status were taken away from its thread."""
    children = psutil.Process().children
    others = children()

    async def run() -> None:
        for turns, number in itertools.product(range(6), range(30)):
            starting = asyncio.create_task(spawn.spawn(command.split(), {"PATH": os.defpath}, tmp_path / "log"))
            for _ in range(turns):
                await asyncio.sleep(0)
            busy(number * 0.0001)
            starting.cancel()
            await asyncio.wait([starting])
            if not starting.cancelled():
                await spawn.kill(starting.result())
            assert children() == others

    asyncio.run(run())
    assert caplog.messages == []


def test_a_signal_may_meet_a_process_that_is_just_ending(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Process.send_signal would poll, and so take the exit status away from the thread that waits for it."""

    async def run() -> set[int | None]:
        codes = set()
        for number in range(200):
            process = await spawn.spawn(["true"], {"PATH": os.defpath}, tmp_path / "log")
            busy(number * 0.00002)
            spawn.send(process, signal.SIGCONT)
            codes.add(await process.wait())
        return codes

    assert asyncio.run(run()) == {0}
    assert caplog.messages == []


def busy(seconds: float) -> None:
    """Let time pass without letting the event loop run."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


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


@pytest.mark.parametrize("is_dead", [True, False])
def test_a_pid_file_that_names_a_stranger_does_not_keep_the_database_from_starting(
    folder: Folder, is_dead: bool
) -> None:
    """One that is dead and not reaped yet, or one that has been given the number since; what else it says is kept."""
    pid_file = folder.pgdata / "postmaster.pid"
    pid_file.parent.mkdir(parents=True)
    with subprocess.Popen(["sleep", "60"]) as stranger:
        if is_dead:
            stranger.kill()
            until(lambda: psutil.Process(stranger.pid).status() == psutil.STATUS_ZOMBIE, "it to be dead")
        pid_file.write_text(f"{stranger.pid}\n/data\n5432\n")
        owner = pid_file.stat()
        assert leftovers.end(folder) == []
        first, *rest = pid_file.read_text().splitlines()
        assert not psutil.pid_exists(int(first))
        assert rest == ["/data", "5432"]
        assert (pid_file.stat().st_uid, pid_file.stat().st_mode) == (owner.st_uid, owner.st_mode & ~0o077)
        assert is_dead or stranger.poll() is None
        stranger.kill()


@pytest.mark.parametrize("text", ["", "not JSON", json.dumps([])])
def test_no_record_or_a_damaged_one_is_no_reason_to_stop(folder: Folder, text: str) -> None:
    folder.processes.write_text(text)
    assert leftovers.end(folder) == []
