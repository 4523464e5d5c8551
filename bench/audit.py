"""How fast an audit is, what memory it takes, how long others wait meanwhile: `python -m bench.audit --lines 200000`.

A log as nginx writes it and as many rows, on a PostgreSQL of its own; the real viewer, asked over its socket.
"""

import argparse
import contextlib
import hashlib
import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from postgres import Cluster

_PER_MS = 10  # 10,000 requests a second
_PIECE_LINES = 200_000
_LINE = (
    '{{"stamp":"{noise} {second}.{ms:03}","status":200,"request":"GET /filled/{n} HTTP/1.1","peer":"127.0.0.1",'
    '"replica":"webapp-1","durability":"committed","spool":"",'
    '"upstreams":"unix:/var/lib/gatebook/run/webapp-1.sock","upstream_statuses":"200","seconds":0.002,'
    '"received":140,"sent":320}}\n'
)
# The rows of these lines: the id as gatebook.identity makes it of a stamp.
_FILL = """
INSERT INTO requests (
    id, body_size, peer, client, status, truncated, replica, scheme, http_version, method, target, headers, body
)
SELECT
    (lpad(to_hex(ms), 12, '0') || '7' || substr(noise, 1, 3)
        || translate(substr(noise, 4, 1), '0123456789abcdef', '89ab89ab89ab89ab') || substr(noise, 5, 15))::uuid,
    0, '127.0.0.1', '127.0.0.1', 200, false, 'webapp-1', 'http', '1.1', 'GET', '/filled/' || n,
    '[["Host","127.0.0.1:8080"]]', ''
FROM (
    SELECT n, md5(n::text) AS noise, {base} + n / {per_ms} AS ms FROM generate_series({first}, {last}) AS n
) AS made;
"""


@dataclass(frozen=True)
class Measured:
    lines: int
    seconds: float  # without the two that it waits for the log to settle
    cpu_s: float  # the viewer's
    peak_mib: float
    before_ms: tuple[float, float]  # the median and the 99th percentile of another answer of the viewer
    meanwhile_ms: tuple[float, float]
    audit: dict[str, object]

    def __str__(self) -> str:
        (before, before_p99), (meanwhile, meanwhile_p99) = self.before_ms, self.meanwhile_ms
        return (
            f"{self.lines:,} lines: {self.seconds:.1f} s, {self.lines / self.seconds:,.0f} lines a second,"
            f" {self.cpu_s:.1f} s of the viewer's CPU, peak {self.peak_mib:.1f} MiB; another answer takes"
            f" {before:.1f} ms (p99 {before_p99:.1f}), meanwhile {meanwhile:.1f} ms (p99 {meanwhile_p99:.1f})"
        )


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("gate", timeout=120)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(120)
        self.sock.connect(str(self._path))


class Viewer:
    """A viewer of its own, over a database of its own."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self._cluster = cluster
        self._folder = folder
        self._socket = folder / "viewer.sock"
        self.log = folder / "access.log"
        self._database = cluster.new_database().postgres_db
        self._rows = 0
        self._base_ms = time.time_ns() // 10**6 - 3600_000
        with self.running():
            pass  # it has made the tables

    @contextlib.contextmanager
    def running(self) -> Iterator[psutil.Process]:
        self._socket.unlink(missing_ok=True)
        with self.listening(f"unix:{self._socket}", self._socket.exists) as process:
            yield process

    @contextlib.contextmanager
    def listening(self, bind: str, is_up: Callable[[], bool]) -> Iterator[psutil.Process]:
        """At another place than its socket."""
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("GATEBOOK_", "POSTGRES_"))},
            **self._cluster.environment(self._database),
            "GATEBOOK_BIND": bind,
            "GATEBOOK_ACCESS_LOG": str(self.log),
            "GATEBOOK_SPOOL": str(self._folder),
        }
        process = subprocess.Popen([sys.executable, "-m", "gatebook.viewer"], env=environment)
        try:
            while not is_up():
                assert process.poll() is None, f"the viewer ended with {process.returncode}"
                time.sleep(0.05)
            yield psutil.Process(process.pid)
        finally:
            process.terminate()
            process.wait()

    def fill(self, lines: int) -> None:
        """Bring log and table to `lines`, in pieces as rotation leaves them."""
        for first in range(self._rows, lines, _PIECE_LINES):
            last = min(first + _PIECE_LINES, lines)
            piece = self.log.with_name(f"{self.log.name}.{first + 1}")
            with piece.open("w") as file:
                file.writelines(self._line(n) for n in range(first, last))
            fill = _FILL.format(base=self._base_ms, per_ms=_PER_MS, first=first, last=last - 1)
            self._cluster.psql(fill, self._database)
        self.log.touch()
        self._rows = lines
        self._cluster.psql("VACUUM (ANALYZE) requests", self._database)

    def get(self, path: str) -> bytes:
        with contextlib.closing(_Connection(self._socket)) as connection:
            connection.request("GET", path)
            return connection.getresponse().read()

    def latency_ms(self, until: Callable[[], object]) -> tuple[float, float]:
        """What a page of one request takes, asked again and again until `until` is true."""
        taken: list[float] = []
        while not until():
            begun = time.perf_counter()
            assert b'"next"' in self.get("/_/api/requests?limit=1")
            taken.append((time.perf_counter() - begun) * 1000)
            time.sleep(0.002)
        taken.sort()
        return taken[len(taken) // 2], taken[len(taken) * 99 // 100]

    def _line(self, n: int) -> str:
        second, ms = divmod(self._base_ms + n // _PER_MS, 1000)
        return _LINE.format(noise=hashlib.md5(str(n).encode()).hexdigest(), second=second, ms=ms, n=n)


def measure(viewer: Viewer, lines: int) -> Measured:
    """One audit of `lines` lines by a viewer that has just started."""
    viewer.fill(lines)
    with viewer.running() as process:
        end = time.monotonic() + 3
        before = viewer.latency_ms(lambda: time.monotonic() > end)
        peak, answers, ended = [0.0], [], threading.Event()

        def audit() -> None:
            try:
                answers.append(json.loads(viewer.get("/_/api/audit")))
            finally:
                ended.set()

        def watch() -> None:
            while not ended.wait(0.02):
                peak[0] = max(peak[0], process.memory_info().rss / 2**20)

        begun, cpu_before = time.monotonic(), sum(process.cpu_times()[:2])
        threads = [threading.Thread(target=work) for work in (audit, watch)]
        for thread in threads:
            thread.start()
        meanwhile = viewer.latency_ms(ended.is_set)
        seconds, cpu_s = time.monotonic() - begun - 2, sum(process.cpu_times()[:2]) - cpu_before
        for thread in threads:
            thread.join()
    return Measured(lines, seconds, cpu_s, peak[0], before, meanwhile, answers[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, nargs="+", default=[200_000, 1_000_000])
    chosen = parser.parse_args()
    cluster = Cluster()
    try:
        cluster.start()
        with tempfile.TemporaryDirectory(prefix="gatebook-", dir="/tmp") as folder:
            viewer = Viewer(cluster, Path(folder))
            for lines in sorted(chosen.lines):
                found = measure(viewer, lines)
                print(found, found.audit["sentence"], sep="\n", flush=True)
    finally:
        cluster.remove()


if __name__ == "__main__":
    main()
