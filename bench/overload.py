"""`python -m bench.overload`: more than can be taken, on a stack of its own. Part of the full benchmark too.

What is measured: pages a second with ten times the connections, as a share of the rate at its peak; a replica's memory
while a hundred clients send 10 MiB each; the rate of ordinary clients beside a thousand slow ones, as a share of theirs
alone.
"""

import concurrent.futures
import contextlib
import os
import resource
import statistics
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import psutil

from bench.load import Request, measure
from bench.systems import Gatebook, free_port, scratch

PAGE = Request("page", "GET", "/", 0)
PEAK, OVERLOAD = 256, 2560
SENDERS, SENT_BYTES = 100, 10 * 2**20
SLOW = 1000


def overload(gatebook: Gatebook, seconds: float, rounds: int, say: Callable[[str], None]) -> dict[str, Any]:
    """All three, on a running stack."""
    _raise_open_files()
    say(f"{OVERLOAD} connections against {PEAK}")
    ten_times = _shares(gatebook, seconds, rounds, OVERLOAD, contextlib.nullcontext)
    say(f"{SENDERS} clients that send {SENT_BYTES >> 20} MiB each")
    large = large_bodies(gatebook)
    say(f"{SLOW} slow clients beside {PEAK} others")
    slow = _shares(gatebook, seconds, rounds, PEAK, lambda: slow_clients(gatebook))
    return {
        "ten_times": statistics.median(ten_times),
        "ten_times_by_round": ten_times,
        "large_bodies": large,
        "slow_clients": statistics.median(slow),
        "slow_clients_by_round": slow,
    }


def against_bounds(found: dict[str, Any]) -> dict[str, tuple[float, str]]:
    """What `overload` found, in words, each with what is to be reached."""
    large = found["large_bodies"]
    answered = ", ".join(f"{count} answered {status}" for status, count in large["answers"].items())
    return {
        f"pages a second, {OVERLOAD} connections against {PEAK}": (found["ten_times"], ">= 0.8"),
        f"MiB of a replica, {SENDERS} bodies of 10 MiB at once ({answered})": (large["most_mib"], "<= 250"),
        f"pages a second beside {SLOW} slow clients, of alone": (found["slow_clients"], ">= 0.9"),
    }


def _shares(
    gatebook: Gatebook,
    seconds: float,
    rounds: int,
    connections: int,
    beside: Callable[[], contextlib.AbstractContextManager[None]],
) -> list[float]:
    """The rate with `connections` and `beside`, as a share of the rate at PEAK alone before it, by round."""
    found = []
    for _ in range(rounds):
        alone = measure(gatebook.system(), PAGE, PEAK, seconds).per_second
        with beside():
            found.append(round(measure(gatebook.system(), PAGE, connections, seconds).per_second / alone, 3))
    return found


def large_bodies(gatebook: Gatebook) -> dict[str, Any]:
    """SENDERS clients at once, each sends one large body: what they are answered, and the most that a replica took."""
    system, body = gatebook.system(), os.urandom(SENT_BYTES)
    most, done = [0.0], threading.Event()

    def watch() -> None:
        while not done.wait(0.05):
            most[0] = max(most[0], *(each.memory_info().rss / 2**20 for each in system.parts["replicas"]))

    watching = threading.Thread(target=watch)
    watching.start()
    started = time.monotonic()
    try:
        with concurrent.futures.ThreadPoolExecutor(SENDERS) as senders:
            answers = Counter(senders.map(lambda _: _post(f"{system.url}/large", body), range(SENDERS)))
    finally:
        done.set()
        watching.join()
    seconds = round(time.monotonic() - started, 1)
    return {"most_mib": round(most[0], 1), "answers": dict(sorted(answers.items())), "seconds": seconds}


@contextlib.contextmanager
def slow_clients(gatebook: Gatebook) -> Iterator[None]:
    """SLOW of them, connected, for as long as the block runs."""
    command = [sys.executable, "-m", "bench.slow", gatebook.system().url, str(SLOW)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout and process.stdout.readline(), "the slow clients did not connect"
            yield
        finally:
            process.kill()


def _post(url: str, body: bytes) -> str:
    request = urllib.request.Request(url, body)
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            return str(answer.status)
    except urllib.error.HTTPError as error:
        return str(error.code)
    except OSError as error:
        return type(error).__name__


def _raise_open_files() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536), hard))


def main() -> None:
    started = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - started:7.1f} s  {text}", file=sys.stderr, flush=True)

    with scratch() as folder, Gatebook(folder / "gatebook", free_port()) as gatebook:
        found = overload(gatebook, 4, 5, say)
        resident = max(psutil.Process(each.pid).memory_info().rss for each in gatebook.system().parts["replicas"])
    for name, (value, bound) in against_bounds(found).items():
        print(f"{name:<70} {value:>7}   {bound}")
    print(f"by round: {found['ten_times_by_round']} and {found['slow_clients_by_round']}")
    print(f"a replica afterwards: {resident / 2**20:.0f} MiB")


if __name__ == "__main__":
    main()
