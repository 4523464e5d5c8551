"""The commands that read, as processes, and a real viewer for them to ask."""

import contextlib
import fcntl
import http.client
import json
import os
import pty
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from gate import Gate
from lines import id_of, line
from ports import free_port
from postgres import Cluster

CHECKOUT = Path(__file__).parent.parent
PATIENCE_S = 30.0

_ORDINARY = {
    "replica": "webapp-1",
    "peer": "192.0.2.1",
    "client": "192.0.2.1",
    "scheme": "http",
    "http_version": "1.1",
    "method": "GET",
    "target": "/",
    "headers": '[["Host", "h"]]',
    "body": b"",
    "body_size": 0,
    "truncated": False,
    "status": 200,
}


class Viewer:
    """A viewer process, and what it reads: a database, the load balancer's log."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.gate = Gate(cluster.new_database())
        self.log = self.gate.log
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        settings = {
            "GATEBOOK_BIND": f"127.0.0.1:{port}",
            "GATEBOOK_ACCESS_LOG": str(self.log),
            "GATEBOOK_SPOOL": str(self.gate.settings.spool),
        }
        with (folder / "viewer.log").open("wb") as said:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "gatebook.viewer"],
                env={**environment(), **cluster.environment(self.gate.settings.postgres_db), **settings},
                stderr=said,
            )
        until(lambda: "listens" in (folder / "viewer.log").read_text())

    def close(self) -> None:
        self._process.terminate()
        assert self._process.wait(20) == 0
        self.gate.close()

    def is_busy(self) -> bool:
        """Whether it would refuse another audit."""
        with contextlib.closing(http.client.HTTPConnection(self.url.removeprefix("http://"), timeout=20)) as connection:
            connection.request("HEAD", "/_/api/audit")
            return connection.getresponse().status == 409

    def happens(self, *recorded: bool, **told: object) -> list[str]:
        """So many requests are acknowledged, these of them recorded; returns their ids."""
        self.gate.run(self.gate.owner.execute("TRUNCATE requests"))
        times = [self.gate.now_ms - 60_000 + number for number in range(len(recorded))]
        ids = [id_of(number, ms) for number, ms in enumerate(times)]
        self.gate.write(*(line(number, ms, **told) for number, ms in enumerate(times)))
        self.gate.record(*(id for id, there in zip(ids, recorded, strict=True) if there))
        return ids

    def has(self, *requests: dict[str, Any]) -> list[str]:
        """These requests are all there is, each a second after the one before, up to now; returns their ids.

        A request is its columns, as far as they are not ordinary; `ms` is its time, Unix milliseconds.
        """
        self.gate.run(self.gate.owner.execute("TRUNCATE requests"))
        ids = []
        for number, columns in enumerate(requests):
            ms = time.time_ns() // 10**6 - 1000 * (len(requests) - number)
            ids.append(id_of(number, columns.get("ms", ms)))
            self.gate.run(self._insert({**_ORDINARY, **columns, "id": ids[-1]}))
        return ids

    async def _insert(self, columns: dict[str, Any]) -> None:
        columns.pop("ms", None)
        names, places = ", ".join(columns), ", ".join(f"${number + 1}" for number in range(len(columns)))
        await self.gate.owner.execute(f"INSERT INTO requests ({names}) VALUES ({places})", *columns.values())


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GATEBOOK_", "POSTGRES_"))}
    return {**kept, "PYTHONPATH": str(CHECKOUT), **more}


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)


def command(*args: str) -> list[str]:
    return [sys.executable, "-P", "-m", "gatebook", *args]


def run(*args: str, **more: str) -> subprocess.CompletedProcess[str]:
    """`gatebook ARGS` to its end; `more` is for its environment."""
    done = subprocess.run(command(*args), env=environment(**more), capture_output=True, text=True, timeout=60)
    assert "Traceback" not in done.stderr, done.stderr
    return done


@contextlib.contextmanager
def running(*args: str, **more: str) -> Iterator[subprocess.Popen[str]]:
    """`gatebook ARGS`, which is killed at the end of the block if it has not ended by then."""
    process = subprocess.Popen(
        command(*args), env=environment(**more), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def on_terminal(*args: str, columns: int = 160, stderr: bool = False, **more: str) -> str:
    """What `gatebook ARGS` shows on a terminal of so many columns: its stdout, or its stderr."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    streams = {"stderr": theirs} if stderr else {"stdout": theirs, "stderr": subprocess.DEVNULL}
    more = {"TERM": "xterm", "COLUMNS": "", **more}
    with subprocess.Popen(
        command(*args), env=environment(**more), **({"stdout": subprocess.DEVNULL} | streams)
    ) as process:
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):  # EIO: nobody writes any more
            while piece := os.read(ours, 1 << 16):
                shown += piece
        os.close(ours)
        assert process.wait(PATIENCE_S) == 0, shown
    return shown.decode().replace("\r\n", "\n")


def objects(text: str) -> list[dict[str, Any]]:
    """JSON, an object a line."""
    return [json.loads(line) for line in text.splitlines()]
