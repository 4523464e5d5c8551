"""The real local stack for tests, driven by its real command line.

A test asks for one of the fixtures:

    stack           three replicas, shared by the session: look, send, but leave it as it is
    own_stack       a Stack that is not up yet, for a test that starts, breaks and stops it
    another_stack   a second one beside it

and, for requests that must all succeed while something happens to the stack, for `load(stack.url)`.
"""

import contextlib
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from load import Sent
from ports import free_port

from gatebook import spool

CHECKOUT = Path(__file__).parent.parent
PATIENCE_S = 30.0  # for what takes a second or two


def until(condition: Callable[[], Any], what: str, longest_s: float = PATIENCE_S, every_s: float = 0.02) -> Any:
    """Wait for `condition` to be true and return it; fail, saying `what` was waited for, when it takes too long."""
    deadline = time.monotonic() + longest_s
    while not (result := condition()):
        assert time.monotonic() < deadline, f"not within {longest_s:g} s: {what}"
        time.sleep(every_s)
    return result


def runs(process: psutil.Process) -> bool:
    """Not a zombie, which may stay for a while where nobody reaps."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class Stack:
    """A local stack with a data folder and a port of its own. `as_user`: arguments of subprocess, for another user."""

    def __init__(
        self, python: str = sys.executable, pythonpath: str = "", as_user: dict[str, Any] | None = None
    ) -> None:
        self._python = python
        self._as_user = as_user or {}
        # Not pytest's tmp_path: no other user can walk to it, and the database's must.
        self.folder = Path(tempfile.mkdtemp(prefix="gatebook-test-", dir="/tmp"))
        self.folder.chmod(0o755)
        if as_user:
            os.chown(self.folder, as_user["user"], as_user["group"])
        self.data = self.folder / "data"
        self.port = free_port()
        self.environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith(("GATEBOOK_", "POSTGRES_"))},
            "GATEBOOK_DATA": str(self.data),
            "GATEBOOK_PORT": str(self.port),
            "PYTHONPATH": os.pathsep.join(filter(None, (str(CHECKOUT), pythonpath))),
        }
        self._seen: dict[int, psutil.Process] = {}

    @property
    def url(self) -> str:
        scheme = "https" if "GATEBOOK_TLS_CERT" in self.environment else "http"
        return f"{scheme}://127.0.0.1:{self.port}"

    def spooled(self) -> int:
        """How many requests lie in the spools."""
        return spool.depth(self.data / "spool").rows

    def gatebook(self, *args: object, check: bool = True, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run `gatebook ARGS` to its end; fails the test when `check` and the exit code is not 0."""
        done = subprocess.run(
            self._command(*args), env={**self.environment, **environment}, capture_output=True, text=True, timeout=120,
            cwd="/", **self._as_user,
        )  # fmt: skip
        assert not check or done.returncode == 0, f"gatebook {args}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr, done.stderr
        self._remember()
        return done

    def start(self, *args: object) -> subprocess.Popen[str]:
        """Run `gatebook ARGS` and leave it running; to be used by `with`."""
        return subprocess.Popen(
            self._command(*args), env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            cwd="/", **self._as_user,
        )  # fmt: skip

    def up(self, *args: object) -> str:
        return self.gatebook("up", "--detach", *args).stdout

    def down(self, *args: object) -> str:
        return self.gatebook("down", *args).stdout

    def ps(self) -> list[dict[str, Any]]:
        parts: list[dict[str, Any]] = json.loads(self.gatebook("ps", "--json").stdout)
        return parts

    def part(self, name: str) -> dict[str, Any]:
        return next(part for part in self.ps() if part["name"] == name)

    def replicas(self) -> list[str]:
        return [part["name"] for part in self.ps() if part["role"] == "webapp"]

    def sql(self, query: str) -> str:
        """The query's unaligned output, a line a row, values separated by `|`."""
        return self.gatebook("psql", "--", "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", query).stdout.rstrip("\n")

    def logs(self, *args: object) -> str:
        return self.gatebook("logs", *args).stdout

    def kill(self, name: str, number: int = signal.SIGKILL) -> int:
        """Send a signal to a part; returns its process id."""
        pid: int = self.part(name)["pid"]
        os.kill(pid, number)
        return pid

    def runner(self) -> psutil.Process:
        """The process that all parts are children of."""
        parent = psutil.Process(self.part("db")["pid"]).parent()
        assert parent and "gatebook" in " ".join(parent.cmdline())
        return parent

    def processes(self) -> list[psutil.Process]:
        """The runner and everything below it, nginx's workers and PostgreSQL's backends too."""
        runner = self.runner()
        return [runner, *runner.children(recursive=True)]

    def until_healthy(self, *names: str) -> None:
        def healthy() -> bool:
            parts = {part["name"]: part["state"] for part in self.ps()}
            return bool(parts) and all(parts.get(name) == "healthy" for name in names or parts)

        until(healthy, f"{names or 'all'} healthy", every_s=0.1)

    def send(self, method: str, target: str, body: bytes = b"") -> http.client.HTTPResponse:
        """One request on a connection of its own; its answer, read to the end."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        with contextlib.closing(connection):
            connection.request(method, target, body or None)
            answer = connection.getresponse()
            answer.read()
            return answer

    def remove(self) -> None:
        """Whatever state it is in: no process and no file is left."""
        self.gatebook("down", "--volumes", check=False)
        for process in self._seen.values():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        shutil.rmtree(self.folder)

    def _command(self, *args: object) -> list[str]:
        return [self._python, "-P", "-m", "gatebook", *map(str, args)]

    def _remember(self) -> None:
        """Note what runs, so that a test that fails leaves nothing behind. A psutil.Process knows its time of birth."""
        with contextlib.suppress(OSError, ValueError, psutil.Error):
            for record in json.loads((self.data / "processes.json").read_text()):
                process = psutil.Process(record["pid"])
                for each in (process, process.parent(), *process.children()):
                    if each and each.pid > 1 and each.pid != os.getpid():
                        self._seen.setdefault(each.pid, each)


def assert_kept(stack: Stack, sent: Sent) -> None:
    """Every acknowledged request is in the table, each that was sent is there once at most."""
    rows = stack.sql(f"SELECT id, target FROM requests WHERE target LIKE '%{sent.token}-%'").splitlines()
    stored = dict(row.split("|") for row in rows)
    assert sent.acknowledged <= set(stored)
    assert len(set(stored.values())) == len(rows) <= sent.attempted


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """Three replicas, up for the whole session."""
    yield from started_stack()


def started_stack() -> Iterator[Stack]:
    """For a fixture: three replicas."""
    for made in made_stack():
        made.up("--scale", 3)
        yield made


def made_stack() -> Iterator[Stack]:
    """For a fixture: a stack that is not up yet, and that is removed in the end."""
    made = Stack()
    try:
        yield made
    finally:
        made.remove()


@pytest.fixture
def own_stack() -> Iterator[Stack]:
    """A stack of this test's own, not up yet."""
    yield from made_stack()


@pytest.fixture
def another_stack() -> Iterator[Stack]:
    """A second one beside `own_stack`, not up yet."""
    yield from made_stack()
