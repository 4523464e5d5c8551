"""`python -m bench.profile`: where the microseconds of a request go, part by part, in Gatebook and in hello.

Samples all processors with perf (Debian: apt-get install linux-perf) while wrk loads one system, then the other. What a
process does in the kernel counts under its system call; the receiving end of a loopback connection and the waking of
whoever waits there are part of the sender's write.
"""

import argparse
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from bench.load import Request, Run, measure, tree
from bench.systems import Gatebook, System, free_port, hello, scratch

REQUESTS = {"page": Request("page", "GET", "/", 0), "post": Request("1 KiB POST", "POST", "/hook", 1024)}
_HERTZ = 499
_WARM_UP_S = 1.0

# The first of these that a stack holds says what the kernel was asked for.
_KERNEL = {
    "asm_exc_page_fault": "page faults",
    "asm_sysvec": "interrupts",
    "asm_common_interrupt": "interrupts",
    "writev": "write",
    "sendto": "write",
    "sendmsg": "write",
    "recvfrom": "read",
    "fdatasync": "fdatasync",
    "epoll": "epoll",
    "pwrite": "pwrite",
    "ksys_write": "write",
    "vfs_write": "write",
    "ksys_read": "read",
    "vfs_read": "read",
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.profile", description=__doc__.splitlines()[0])
    parser.add_argument("--request", choices=REQUESTS, default="page")
    parser.add_argument("--connections", type=int, default=256)
    parser.add_argument("--seconds", type=float, default=6)
    chosen = parser.parse_args()
    if not shutil.which("perf"):
        sys.exit("Error: perf is not installed\nTry:   apt-get install linux-perf")
    with (
        scratch() as folder,
        Gatebook(folder / "gatebook", free_port()) as gatebook,
        hello(folder, free_port(), gatebook.answer_sizes()) as plain,
    ):
        for system in (gatebook.system(), plain.system()):
            show(*profile(system, REQUESTS[chosen.request], chosen, folder / "perf.data"))


def profile(
    system: System, request: Request, chosen: argparse.Namespace, data: Path
) -> tuple[Run, Counter[tuple[str, str]]]:
    """One measured run, and its microseconds a request by part and place."""
    parts = {process.pid: part for part, found in system.parts.items() for each in found for process in tree(each)}
    perf = ["perf", "record", "-q", "-a", "-g", "-F", str(_HERTZ), "-o", str(data)]
    window_s = chosen.seconds - 2 * _WARM_UP_S
    recording = threading.Thread(target=_record, args=([*perf, "--", "sleep", str(window_s)],))
    recording.start()
    run = measure(system, request, chosen.connections, chosen.seconds)
    recording.join()
    script = ["perf", "script", "-i", str(data), "-F", "comm,pid,ip,sym,dso"]
    lines = subprocess.run(script, capture_output=True, text=True, check=True).stdout.splitlines()
    places = Counter((parts.get(pid, "load, idle"), place(stack)) for pid, stack in samples(lines))
    us = 1e6 / _HERTZ / (run.per_second * window_s)
    return run, Counter({where: count * us for where, count in places.items()})


def samples(lines: Iterable[str]) -> Iterator[tuple[int, list[tuple[str, str]]]]:
    """The process and the stack, innermost frame first, as (symbol, library), of each of perf script's samples."""
    pid, stack = 0, []
    for line in lines:
        if not line.strip():
            continue
        if not line[0].isspace():
            if stack:
                yield pid, stack
            pid, stack = int(line.split()[-1]), []
        else:
            _, symbol, library = line.split(None, 1)[0], *line.split(None, 1)[1].rsplit("(", 1)
            stack.append((symbol.strip(), library.rstrip(")")))
    if stack:
        yield pid, stack


def place(stack: list[tuple[str, str]]) -> str:
    """The library whose code ran, or what the kernel was asked for."""
    library = stack[0][1]
    if "kernel" not in library:
        return f"in {Path(library).name.split('.')[0]}"
    for part, name in _KERNEL.items():
        if any(part in symbol for symbol, _ in stack):
            return name
    return "kernel, other"


def show(run: Run, places: Counter[tuple[str, str]]) -> None:
    spent = ", ".join(f"{part} {us:.0f}" for part, us in run.cpu_us.items())
    print(f"\n{run.system}: {run.request}, {run.connections} connections, {run.per_second:,.0f} a second")
    print(f"by the processes' own clocks, us of CPU a request: {spent}")
    for part in dict.fromkeys(part for part, _ in places):
        own = Counter({where: us for (owner, where), us in places.items() if owner == part})
        if sum(own.values()) >= 0.5:
            named = "; ".join(f"{where} {us:.1f}" for where, us in own.most_common() if us >= 0.3)
            print(f"  {part:<10} {sum(own.values()):5.1f}: {named}", flush=True)


def _record(command: list[str]) -> None:
    time.sleep(_WARM_UP_S)
    subprocess.run(command, check=True, capture_output=True)


if __name__ == "__main__":
    main()
