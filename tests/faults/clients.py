"""The clients of a load, all in one process of their own: `python -m faults.clients HOST PORT RUN CLIENTS FILE`.

Each sends one request after the other over a connection of its own, and takes a new connection where the last one was
closed. None repeats anything: what it sees is what a plain client sees. After an error it waits a tenth of a second.

On standard output comes a line of JSON, twenty times a second: how many requests have had which outcome so far. At the
end of standard input no request is begun any more; when all are answered or have failed, FILE is written, a line a
request: number, outcome, id, replica, when it began and ended (monotonic clock, seconds), and what an error's answer
says, separated by tabs.
"""

import asyncio
import contextlib
import json
import re
import sys
import time
from collections import Counter
from typing import cast

import uvloop

from faults.request import request

TIMEOUT_S = 30.0
AFTER_ERROR_S = 0.1
SAY_EVERY_S = 0.05

ACKNOWLEDGED = ("committed", "spooled")  # these outcomes are called as the answer says; an error is one of these:
NOBODY = "no connection"  # nobody listened: nothing was sent
CUT = "cut off"  # the connection ended before an answer began
TORN = "torn"  # or in the middle of one
TIMED_OUT = "timeout"
BUSY = "503"  # with Retry-After; any other answer is called by its first line

_HEADER = re.compile(
    rb"\r\n(Content-Length|Gatebook-Id|Gatebook-Durability|Gatebook-Replica|Retry-After|Connection): ([^\r]*)"
)


class Clients:
    """All of them, and what has become of their requests."""

    def __init__(self, host: str, port: int, run: str) -> None:
        self.host, self.port, self.run = host, port, run
        self.authority = f"{host}:{port}"
        self.ending = False
        self.lines: list[str] = []
        self.outcomes: Counter[str] = Counter()
        self.connections: set[Connection] = set()
        self._begun = 0

    def next(self) -> int:
        self._begun += 1
        return self._begun - 1

    def note(self, number: int, outcome: str, began: float, id: str = "", replica: str = "", why: str = "") -> None:
        self.outcomes[outcome] += 1
        self.lines.append(f"{number}\t{outcome}\t{id}\t{replica}\t{began:.4f}\t{time.monotonic():.4f}\t{why}\n")

    async def client(self) -> None:
        """Connect and ask, again and again."""
        loop = asyncio.get_running_loop()
        while not self.ending:
            began = time.monotonic()
            try:
                async with asyncio.timeout(TIMEOUT_S):
                    _, connection = await loop.create_connection(lambda: Connection(self), self.host, self.port)
                failed = await connection.over
            except (OSError, TimeoutError) as error:
                self.note(self.next(), TIMED_OUT if isinstance(error, TimeoutError) else NOBODY, began)
                failed = True
            if failed:
                await asyncio.sleep(AFTER_ERROR_S)

    async def say(self) -> None:
        """Tell how far we are, and end what takes too long."""
        while True:
            print(json.dumps(self.outcomes), flush=True)
            for connection in list(self.connections):
                connection.end_if_late()
            await asyncio.sleep(SAY_EVERY_S)


class Connection(asyncio.Protocol):
    """Request, answer, and again, until one of them closes it. `over` then says whether it ended with an error."""

    _transport: asyncio.Transport

    def __init__(self, clients: Clients) -> None:
        self.over: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._clients = clients
        self._late = False
        self._number: int | None = None  # of the request that waits for its answer
        self._head = b""
        self._left: int | None = None  # what has not come yet of the answer's body; None while its head has not

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._clients.connections.add(self)
        self._ask()

    def data_received(self, data: bytes) -> None:
        if self._left is None:
            self._head += data
            end = self._head.find(b"\r\n\r\n")
            if end < 0:
                return
            self._read(self._head[: end + 2])
            data = self._head[end + 4 :]
            self._head = b""
        assert self._left is not None
        if self._is_error:
            self._body += data
        self._left -= len(data)
        if self._left == 0:
            self._answered()

    def connection_lost(self, exc: Exception | None) -> None:
        self._clients.connections.discard(self)
        if self._number is not None:
            begun = self._head or self._left is not None
            self._is_error = True
            self._clients.note(self._number, TIMED_OUT if self._late else TORN if begun else CUT, self._began)
        self.over.set_result(self._is_error)

    def end_if_late(self) -> None:
        if self._number is not None and time.monotonic() - self._began > TIMEOUT_S:
            self._late = True
            self._transport.abort()

    def _ask(self) -> None:
        self._number = self._clients.next()
        sent = request(self._clients.run, self._number)
        self._closes, self._is_error = sent.closes, False
        self._began = time.monotonic()
        self._transport.write(sent.wire(self._clients.authority))

    def _read(self, head: bytes) -> None:
        """Take note of what an answer's head says."""
        said = dict(_HEADER.findall(head))
        durability = said.get(b"Gatebook-Durability", b"").decode()
        if head.startswith(b"HTTP/1.1 200 ") and durability in ACKNOWLEDGED:
            self._outcome = durability
        elif head.startswith(b"HTTP/1.1 503 ") and b"Retry-After" in said and not durability:
            self._outcome = BUSY
        else:
            self._outcome = head.partition(b"\r\n")[0].decode("latin-1")
        self._id, self._replica = said.get(b"Gatebook-Id", b"").decode(), said.get(b"Gatebook-Replica", b"").decode()
        self._closes |= said.get(b"Connection") == b"close"
        self._left, self._body = int(said.get(b"Content-Length", 0)), b""
        self._is_error = self._outcome not in ACKNOWLEDGED

    def _answered(self) -> None:
        assert self._number is not None
        why = " ".join(self._body.decode("latin-1").split())
        self._clients.note(self._number, self._outcome, self._began, self._id, self._replica, why)
        self._number, self._left = None, None
        if self._closes or self._is_error or self._clients.ending:
            self._transport.close()
        else:
            self._ask()


async def main(host: str, port: int, run: str, count: int, path: str) -> None:
    clients = Clients(host, port, run)
    asking = [asyncio.create_task(clients.client()) for _ in range(count)]
    saying = asyncio.create_task(clients.say())
    await asyncio.to_thread(sys.stdin.read)
    clients.ending = True
    await asyncio.gather(*asking)
    saying.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await saying
    with open(path, "w") as file:  # noqa: ASYNC230  # nobody else is left
        file.writelines(clients.lines)


if __name__ == "__main__":
    host, port, run, count, path = sys.argv[1:]
    uvloop.run(main(host, int(port), run, int(count), path))
