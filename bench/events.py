"""What 500 listeners cost those who are recorded: `python -m bench.events`.

A real local stack takes 200 requests a second, in turn without and with listeners to all of them, through nginx. Their
cost is what replicas and PostgreSQL together spend on a request, PostgreSQL's work for the listeners included.
"""

import argparse
import asyncio
import contextlib
import json
import multiprocessing
import re
import selectors
import socket
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import psutil

from bench.load import tree
from bench.systems import Gatebook, System, free_port, scratch

CONNECTIONS = 16
_EVENT = b"event: request\n"
_ID = re.compile(rb"id: \w+-\d+-([0-9a-f-]{36})\nevent: request\n")
_SETTLE_S = 8.0  # longer than the viewer goes on reading after its last listener


Sent = tuple[str, float, float]  # the id, when sent, when answered


@dataclass(frozen=True)
class Phase:
    """One stretch of load. CPU in microseconds a request, by part; times in milliseconds."""

    requests: int
    cpu_us: dict[str, float]
    answer_ms: list[float]
    event_ms: list[float]  # from the answer to its event at the last of the listeners, if there were any

    @property
    def capture_us(self) -> float:
        return self.cpu_us["replicas"] + self.cpu_us["postgres"]


def load(port: int, rate: float, seconds: float) -> list[Sent]:
    """Send at a steady rate, whatever the answers take."""

    async def run() -> list[Sent]:
        free: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
        for _ in range(CONNECTIONS):
            free.put_nowait(await asyncio.open_connection("127.0.0.1", port))

        async def send(at: float) -> tuple[str, float, float]:
            reader, writer = await free.get()
            writer.write(b"POST /bench HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\n" + b"x" * 100)
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
            await reader.readexactly(length)
            answered = time.monotonic()
            if not head.startswith("http/1.1 200"):
                raise RuntimeError(head)
            free.put_nowait((reader, writer))
            return head.partition("gatebook-id: ")[2][:36], at, answered

        begun, tasks = time.monotonic(), []
        for number in range(round(rate * seconds)):
            at = begun + number / rate
            await asyncio.sleep(max(0.0, at - time.monotonic()))
            tasks.append(asyncio.create_task(send(at)))
        return await asyncio.gather(*tasks)

    return asyncio.run(run())


def listen(port: int, listeners: int, pipe: Connection) -> None:
    """Listen until told to stop; sends how many events each was told, and when the last one was told of each id."""
    selector = selectors.DefaultSelector()
    told = [0] * listeners
    tails = [b""] * listeners
    last: dict[str, float] = {}
    rest = b""
    for number in range(listeners):
        connection = socket.create_connection(("127.0.0.1", port))
        connection.sendall(b"GET /_/api/events HTTP/1.1\r\nHost: h\r\n\r\n")
        if not connection.recv(65536).startswith(b"HTTP/1.1 200"):
            raise RuntimeError("a listener is refused")
        connection.setblocking(False)
        selector.register(connection, selectors.EVENT_READ, number)
    pipe.send("ready")
    while not pipe.poll():
        for key, _ in selector.select(0.2):
            number = key.data
            came = key.fileobj.recv(1 << 20)  # type: ignore[union-attr]
            data = tails[number] + came
            told[number] += data.count(_EVENT)
            tails[number] = data[-len(_EVENT) + 1 :]
            if number == listeners - 1:
                now, rest = time.monotonic(), rest + came
                for id in _ID.findall(rest):
                    last.setdefault(id.decode(), now)
                rest = rest[-100:]
    pipe.send((told, last))


@contextlib.contextmanager
def listening(port: int, listeners: int) -> Iterator[Connection]:
    """So many listeners in a process of their own, for as long as the block runs."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.Process(target=listen, args=(port, listeners, there), daemon=True)
    process.start()
    try:
        here.recv()
        yield here
    finally:
        process.terminate()
        process.join()


def measure(system: System, port: int, rate: float, seconds: float) -> tuple[dict[str, float], list[Sent]]:
    """CPU a request by part, and the requests."""
    with multiprocessing.Pool(1) as pool:
        before = spent(system)
        sent = pool.apply(load, (port, rate, seconds))
        after = spent(system)
    return {part: (after[part] - before[part]) / len(sent) * 1e6 for part in before}, sent


def spent(system: System) -> dict[str, float]:
    """CPU seconds of each part so far, by the scheduler's own clock: a tick of the usual one is 10 ms."""
    return {part: sum(map(_spent_s, processes)) for part, processes in system.parts.items()}


def _spent_s(process: psutil.Process) -> float:
    total = 0
    for each in tree(process):
        for thread in Path(f"/proc/{each.pid}/task").glob("*/schedstat"):
            with contextlib.suppress(OSError):
                total += int(thread.read_text().split()[0])
    return total / 1e9


def phase(system: System, port: int, rate: float, seconds: float, listeners: int) -> Phase:
    if not listeners:
        cpu, sent = measure(system, port, rate, seconds)
        return Phase(len(sent), cpu, [(done - at) * 1000 for _, at, done in sent], [])
    with listening(port, listeners) as pipe:
        time.sleep(1)
        cpu, sent = measure(system, port, rate, seconds)
        time.sleep(2)
        pipe.send("stop")
        told, last = pipe.recv()
    if set(told) != {len(sent)}:
        raise RuntimeError(f"{len(sent)} were sent, and listeners were told of {sorted(set(told))}")
    return Phase(
        len(sent),
        cpu,
        [(done - at) * 1000 for _, at, done in sent],
        [(last[id] - done) * 1000 for id, _, done in sent],
    )


def part(values: list[float], share: float) -> float:
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.events", description=__doc__.splitlines()[0])
    parser.add_argument("--listeners", type=int, default=500)
    parser.add_argument("--rate", type=float, default=200)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--json", action="store_true", help="each phase as a line of JSON too")
    chosen = parser.parse_args()
    port = free_port()
    pairs: list[tuple[Phase, Phase]] = []
    with scratch() as folder, Gatebook(folder / "stack", port) as stack:
        system = stack.system()
        load(port, chosen.rate, 3)  # warm
        for number in range(chosen.rounds):
            measured = {}
            for listeners in ((0, chosen.listeners), (chosen.listeners, 0))[number % 2]:
                time.sleep(_SETTLE_S)
                measured[bool(listeners)] = found = phase(system, port, chosen.rate, chosen.seconds, listeners)
                if chosen.json:
                    print(json.dumps({"listeners": listeners, "cpu_us": found.cpu_us}), flush=True)
            pairs.append((measured[False], measured[True]))
            ratio = pairs[-1][1].capture_us / pairs[-1][0].capture_us
            print(f"pair {number + 1}: with / without = {ratio:.3f}", flush=True)
    show(pairs, chosen.listeners)


def show(pairs: list[tuple[Phase, Phase]], listeners: int) -> None:
    without, with_ = zip(*pairs, strict=True)
    ratios = [b.capture_us / a.capture_us for a, b in pairs]
    median, each = statistics.median(ratios), ", ".join(f"{ratio:.3f}" for ratio in sorted(ratios))
    print(f"CPU of replicas and PostgreSQL a request, with / without: median {median:.3f} of {each}")
    print("| | without | with |", "| --- | --- | --- |", sep="\n")
    for name in without[0].cpu_us:
        a, b = (statistics.median(each.cpu_us[name] for each in phases) for phases in (without, with_))
        print(f"| {name}, us of CPU a request | {a:.0f} | {b:.0f} |")
    for name, share in (("median", 0.5), ("p99", 0.99)):
        a, b = (part([ms for each in phases for ms in each.answer_ms], share) for phases in (without, with_))
        print(f"| an answer, {name}, ms | {a:.1f} | {b:.1f} |")
    events = [ms for each in with_ for ms in each.event_ms]
    print(
        f"| its event at the last of {listeners} listeners, after the answer: median, p99, longest, ms | | "
        f"{part(events, 0.5):.0f}, {part(events, 0.99):.0f}, {part(events, 1):.0f} |"
    )


if __name__ == "__main__":
    main()
