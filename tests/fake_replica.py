"""A replica that answers whatever a test wants, and what a viewer is in time for."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import uvloop

LONGEST_S = 15.0  # of a scrape, which takes a second or two, whoever is silent; unbounded it would take for ever


def play(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run it as the viewer runs, in time."""
    begun = time.monotonic()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(story())
    assert time.monotonic() - begun < LONGEST_S


def ok(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b" % (len(body), body)


class Fake:
    """Listens as a replica does, says `answer` to everybody, and then hangs up, or just hangs."""

    def __init__(self, answer: bytes, hangs: bool = False) -> None:
        self._answer = answer
        self._hangs = hangs
        self.asked: list[bytes] = []

    @contextlib.asynccontextmanager
    async def at(self, path: Path) -> AsyncIterator["Fake"]:
        async with await asyncio.start_unix_server(self._serve, path):
            yield self

    @contextlib.asynccontextmanager
    async def on_tcp(self) -> AsyncIterator[int]:
        """Its port on 127.0.0.1."""
        async with await asyncio.start_server(self._serve, "127.0.0.1", 0) as server:
            yield server.sockets[0].getsockname()[1]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, EOFError):
            self.asked.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(self._answer)
            await writer.drain()
            if self._hangs:
                await reader.read()
        writer.close()
