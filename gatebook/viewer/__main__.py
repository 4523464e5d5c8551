"""The viewer as a process: `python -m gatebook.viewer`.

Shutdown order, at SIGTERM or SIGINT: stop accepting, end the streams of events, finish what is being answered for a
short while, cut the rest, leave the database. A unix socket's path stays: a new process may have taken it over (see
gatebook.listen).
"""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Coroutine, Generator
from typing import Any

import uvicorn
import uvloop

from gatebook import listen, operating_system
from gatebook.db.connect import connect
from gatebook.errors import exit_politely
from gatebook.settings import Settings, read
from gatebook.viewer.api.application import application
from gatebook.viewer.database import connected
from gatebook.viewer.events import Hub
from gatebook.viewer.index import keep_filling

_LOG_FORMAT = "%(asctime)s %(levelname)s: %(message)s"  # the time, for whoever watches the log for guesses
_FINISH_WITHIN_S = 2
_HEAD_BYTES = 2 * 1024 * 1024  # of a request; more than the load balancer lets through, so that it decides


class Server(uvicorn.Server):
    """Uvicorn's, without its signal handling, which would end the process by the signal and not with exit code 0."""

    def __init__(self, config: uvicorn.Config, hub: Hub) -> None:
        super().__init__(config)
        self._hub = hub

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._hub.end()
        await super().shutdown(sockets)
        if cut := self.server_state.tasks:
            await asyncio.wait(cut, timeout=_FINISH_WITHIN_S)

    def stop(self) -> None:
        self.should_exit = True


@contextlib.asynccontextmanager
async def running(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """`work` runs for as long as the block does."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


async def serve(settings: Settings) -> None:
    """Wait for the database, then answer until a signal says stop; raises UserError."""
    migrated = await connect(settings, "viewer", settings.start_timeout_s)
    await migrated.close()
    hub = Hub(settings)
    async with connected(settings) as database, running(hub.run()), running(keep_filling(settings)):
        config = uvicorn.Config(
            application(settings, database, hub),
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            h11_max_incomplete_event_size=_HEAD_BYTES,
            server_header=False,
            proxy_headers=False,
            backlog=listen.BACKLOG,
            timeout_graceful_shutdown=_FINISH_WITHIN_S,
        )
        listener = listen.bind(settings.bind)
        print(f"the viewer listens on {settings.bind}", file=sys.stderr, flush=True)
        await Server(config, hub).serve(sockets=[listener])


def main() -> None:
    logging.basicConfig(level=logging.WARNING, format=_LOG_FORMAT, datefmt="%Y-%m-%dT%H:%M:%S%z")
    settings = read(os.environ)
    operating_system.raise_open_files()
    with contextlib.suppress(KeyboardInterrupt), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(settings))


if __name__ == "__main__":
    exit_politely(main)
