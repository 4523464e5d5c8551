"""The access log is bounded: put away in pieces, the oldest forgotten, by the local stack and by the container alike.

`tidied` does it once, in either way; the container's beside a real nginx, since it tells nginx of it.
"""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path

import httpx
import psutil
import pytest
from parts import LoadBalancer, short_folder, until

from gatebook.access_log.pieces import number, pieces
from gatebook.stack import access_log, logs

START = Path(str(resources.files("gatebook.lb"))) / "start.sh"
MIB = 1024 * 1024
Tidy = Callable[[int], None]


@pytest.fixture
def folder() -> Iterator[Path]:
    with short_folder() as path:
        yield path


@pytest.fixture
def balancer(folder: Path) -> Iterator[LoadBalancer]:
    """A real nginx with nobody behind it: it says 503 to everything, and logs it."""
    started = LoadBalancer(folder, [folder / "nobody.sock"]).start()
    yield started
    started.stop()


@pytest.fixture(params=["the local stack's", "the container's"])
def tidied(request: pytest.FixtureRequest, balancer: LoadBalancer) -> Tidy:
    """Keep the log within a limit, until nginx has its log open under the usual name and it is small."""
    path, master = balancer.access_log, balancer.process.pid

    def by_the_stack(limit: int) -> None:
        if access_log.rotate(path, limit):
            os.kill(master, signal.SIGUSR1)
        access_log.prune(path, limit)

    def by_the_container(limit: int) -> None:
        asked = {"GATEBOOK_ACCESS_LOG": str(path), "GATEBOOK_ACCESS_LOG_LIMIT": str(limit), "STATE": str(path.parent)}
        with subprocess.Popen(["sh", START, "tidy", str(master)], env={"PATH": os.environ["PATH"], **asked}) as tidying:
            first = resting(tidying.pid)
            until(lambda: resting(tidying.pid) != first, "it to have looked once")
            tidying.kill()

    def tidy(limit: int) -> None:
        (by_the_container if request.param == "the container's" else by_the_stack)(limit)
        until(lambda: bounded(path, limit), "nginx to have opened its log again")

    return tidy


def resting(pid: int) -> int:
    """The process in which the container's waits between two looks."""
    found: list[int] = []

    def sleeps() -> bool:
        with contextlib.suppress(psutil.NoSuchProcess):
            found[:] = [child.pid for child in psutil.Process(pid).children() if child.name() == "sleep"]
        return bool(found)

    until(sleeps, "it to wait")
    return found[0]


def bounded(path: Path, limit: int) -> bool:
    total = sum(map(logs.size, [path, *pieces(path)]))
    return path.exists() and path.stat().st_size <= max(limit // 16, MIB) and total <= max(limit, path.stat().st_size)


def lengthen(path: Path, size: int = MIB + 1) -> None:
    """With a line of so many bytes, rather than by so many requests."""
    with path.open("a") as file:
        file.write("." * (size - 1) + "\n")


def test_nothing_is_lost_when_it_is_put_away_under_load(balancer: LoadBalancer, tidied: Tidy) -> None:
    path, sent = balancer.access_log, 0
    with httpx.Client() as client:
        for _ in range(3):
            lengthen(path)
            for _ in range(100):  # they lie in nginx's buffer, for a second at most
                client.get(f"{balancer.url}/{sent}")
                sent += 1
            tidied(16 * MIB)
            client.get(f"{balancer.url}/{sent}")
            sent += 1
    files = [*pieces(path), path]
    assert len(files) == 4

    def requests() -> list[str]:
        lines = [line for file in files for line in file.read_text().splitlines()]
        return [line.split('"request":"GET /')[1].split(" ")[0] for line in lines if line.startswith("{")]

    until(lambda: len(requests()) >= sent, "the last lines to be written")
    assert sorted(requests(), key=int) == list(map(str, range(sent)))
    assert all(abs(number(piece) - time.time()) < 60 for piece in files[:-1])


def test_the_oldest_pieces_go_first(balancer: LoadBalancer, tidied: Tidy) -> None:
    path, now = balancer.access_log, int(time.time())
    for age in range(9):
        lengthen(path.with_name(f"access.log.{now - age}"), MIB // 2)
    beside = [path.with_name(name) for name in ("access.log.gz", "access.log.2.gz", "error.log", "access_log.1")]
    for each in beside:
        lengthen(each)
    tidied(2 * MIB)
    assert pieces(path) == [path.with_name(f"access.log.{now - age}") for age in (3, 2, 1, 0)]
    assert all(each.exists() for each in beside)


def test_pieces_stay_in_order_though_the_clock_was_set_back(balancer: LoadBalancer, tidied: Tidy) -> None:
    path = balancer.access_log
    ahead = int(time.time()) + 3600
    lengthen(path.with_name(f"access.log.{ahead}"))
    lengthen(path)
    tidied(16 * MIB)
    assert list(map(number, pieces(path))) == [ahead, ahead + 1]


def test_a_log_within_its_limits_stays_as_it_is(balancer: LoadBalancer, tidied: Tidy) -> None:
    """Small pieces are not worth a file: a sixteenth, but a MiB at least."""
    path = balancer.access_log
    lengthen(path, MIB)
    tidied(MIB)
    lengthen(path.with_name("access.log.1800000000"))
    tidied(100 * MIB)
    assert pieces(path) == [path.with_name("access.log.1800000000")]
    lengthen(path)
    tidied(100 * MIB)
    assert len(pieces(path)) == 1


def test_the_container_s_ends_with_its_nginx_and_waits_for_its_pid_file(folder: Path) -> None:
    """Before that is there, a signal would kill an nginx that does not listen to signals yet."""
    path = folder / "access.log"
    lengthen(path)
    asked = {"GATEBOOK_ACCESS_LOG": str(path), "STATE": str(folder)}
    with subprocess.Popen(["sleep", "60"]) as nginx:
        command = ["sh", START, "tidy", str(nginx.pid)]
        with subprocess.Popen(
            command, env={"PATH": os.environ["PATH"], **asked, "GATEBOOK_ACCESS_LOG_LIMIT": "1"}
        ) as it:
            first = resting(it.pid)
            until(lambda: resting(it.pid) != first, "it to have looked once")
            assert nginx.poll() is None and path.exists()
            (folder / "nginx.pid").write_text(f"{nginx.pid}\n")
            assert nginx.wait(30) == -signal.SIGUSR1
            assert it.wait(30) == 0
    assert path.stat().st_size == 0
    assert path.stat().st_mode & 0o777 == 0o664  # its group is who forgets
