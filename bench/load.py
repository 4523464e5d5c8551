"""One measured run: wrk against a system, and the CPU time that each part spent on it."""

import contextlib
import json
import resource
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from bench.systems import System

LUA = Path(__file__).with_name("load.lua")
THREADS = 2


@dataclass(frozen=True)
class Request:
    """One kind of request; `body` in bytes."""

    name: str
    method: str
    path: str
    body: int


@dataclass(frozen=True)
class Run:
    """What one run of wrk brought. Times in microseconds."""

    system: str
    request: str
    connections: int
    requests: int
    per_second: float
    p50_us: float
    p99_us: float
    p999_us: float
    cpu_us: dict[str, float]  # per request, by part; "load" is wrk

    def as_json(self) -> dict[str, object]:
        return asdict(self)


class Dishonest(Exception):
    """A run that does not count: something was answered otherwise than measured."""


def measure(system: System, request: Request, connections: int, seconds: float) -> Run:
    """Load `system` for `seconds`; raises Dishonest when an answer was no 2xx or a connection failed."""
    before, own_before = _spent(system), _children_s()
    said = _wrk(system.url, request, connections, seconds)
    after, own_after = _spent(system), _children_s()
    if said["not_2xx"] or said["socket_errors"] or not said["requests"]:
        raise Dishonest(f"{system.name}, {request.name}, {connections} connections: {said}")
    requests = int(said["requests"])
    cpu = {part: (after[part] - before[part]) / requests * 1e6 for part in before}
    cpu["load"] = (own_after - own_before) / requests * 1e6
    return Run(
        system.name,
        request.name,
        connections,
        requests,
        requests / said["seconds"],
        said["p50_us"],
        said["p99_us"],
        said["p999_us"],
        cpu,
    )


def _wrk(url: str, request: Request, connections: int, seconds: float) -> dict[str, float]:
    threads = min(THREADS, connections)
    wrk = [shutil.which("wrk") or "wrk", f"-t{threads}", f"-c{connections}", f"-d{max(1, round(seconds))}s"]
    kind = [request.method, request.path, str(request.body)]
    command: Sequence[str] = [*wrk, "--timeout", "20s", "-s", str(LUA), url, "--", *kind]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60)
    found = [line.removeprefix("JSON") for line in done.stdout.splitlines() if line.startswith("JSON")]
    if not found:
        raise RuntimeError(f"{' '.join(command)}:\n{done.stdout}{done.stderr}")
    return json.loads(found[0])


def _spent(system: System) -> dict[str, float]:
    """CPU seconds of each part so far, those of its children that have ended included."""
    return {part: sum(map(_tree_s, processes)) for part, processes in system.parts.items()}


def tree(process: psutil.Process) -> list[psutil.Process]:
    """A process and all that it has started."""
    return [process, *process.children(recursive=True)]


def _tree_s(process: psutil.Process) -> float:
    total = 0.0
    for each in tree(process):
        with contextlib.suppress(psutil.NoSuchProcess):
            total += sum(each.cpu_times()[:4])  # user, system, and both of the children that it has waited for
    return total


def _children_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
