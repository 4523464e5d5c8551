"""A relay in the place of a unix socket: whoever connects to the path comes through it.

    with Relay.at(path) as relay:
        relay.cut()         every connection ends, and new ones too
        relay.silence()     bytes are swallowed, in both directions, for good; new connections hear nothing
        relay.silence(pid)  so for this process alone
        relay.go_on()       new connections are served; silent ones stay silent

The path always leads to a listener: the relay is bound beside it and renamed over it, and at the end the socket that
was there before is renamed back, unless another has taken the place meanwhile.
"""

import asyncio
import contextlib
import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

Mode = Literal["open", "cut", "silent"]
Answered = Callable[[bytes, bytes], bool]  # what was asked last and what comes back: whether to pass it on


class Relay:
    """Everything that goes through a socket. It runs on a thread of its own."""

    def __init__(self, listener: socket.socket, behind: Path, answered: Answered | None) -> None:
        self._behind = behind
        self._answered = answered
        self._mode: Mode = "open"
        self._only: int | None = None  # the process id that it is for; None: everybody
        self._pairs: set[_Pair] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, args=(listener,), name=f"relay to {behind}")
        self._thread.start()

    @classmethod
    @contextlib.contextmanager
    def at(cls, path: Path, answered: Answered | None = None) -> "Iterator[Relay]":
        """Take the place of the socket at `path` for as long as the block runs."""
        behind, beside = path.with_name(f"{path.name}.behind"), path.with_name(f"{path.name}.relay")
        os.link(path, behind)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(str(beside))
        beside.chmod(0o666)
        listener.listen(1024)
        ours = beside.stat().st_ino
        beside.rename(path)
        relay = cls(listener, behind, answered)
        try:
            yield relay
        finally:
            if path.stat().st_ino == ours:
                behind.rename(path)
            behind.unlink(missing_ok=True)
            relay.close()

    @property
    def connections(self) -> int:
        return len(self._pairs)

    def cut(self) -> None:
        self._set("cut")

    def silence(self, only: int | None = None) -> None:
        self._set("silent", only)

    def go_on(self) -> None:
        self._set("open")

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        assert not self._thread.is_alive()

    def _set(self, mode: Mode, only: int | None = None) -> None:
        def do() -> None:
            self._mode, self._only = mode, only
            for pair in list(self._pairs):
                if self._mode_for(pair.pid) == "cut":
                    pair.abort()
                pair.silent |= self._mode_for(pair.pid) == "silent"

        self._loop.call_soon_threadsafe(do)

    def _mode_for(self, pid: int) -> Mode:
        return self._mode if self._only in (None, pid) else "open"

    def _run(self, listener: socket.socket) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_unix_server(self._accept, sock=listener))
        self._loop.run_forever()
        server.close()
        for pair in list(self._pairs):
            pair.abort()
        if tasks := asyncio.all_tasks(self._loop):
            self._loop.run_until_complete(asyncio.wait(tasks))
        self._loop.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pid = _peer(writer)
        if self._mode_for(pid) == "cut":
            writer.transport.abort()
            return
        try:
            other_reader, other_writer = await asyncio.open_unix_connection(self._behind)
        except OSError:
            writer.transport.abort()
            return
        pair = _Pair(writer, other_writer, pid=pid, silent=self._mode_for(pid) == "silent")
        self._pairs.add(pair)
        with contextlib.suppress(OSError):
            await asyncio.gather(
                pair.pass_on(reader, other_writer, self._ask), pair.pass_on(other_reader, writer, self._answer)
            )
        pair.abort()
        self._pairs.discard(pair)

    def _ask(self, pair: "_Pair", data: bytes) -> bool:
        pair.asked = data
        return True

    def _answer(self, pair: "_Pair", data: bytes) -> bool:
        return self._answered is None or self._answered(pair.asked, data)


class _Pair:
    """One connection to us and ours to the other side."""

    def __init__(self, *writers: asyncio.StreamWriter, pid: int, silent: bool) -> None:
        self._writers = writers
        self.pid = pid  # of who connected to us
        self.silent = silent
        self.asked = b""

    async def pass_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, may: "Callable[[_Pair, bytes], bool]"
    ) -> None:
        """Until one side ends it."""
        while data := await reader.read(1 << 16):
            if not self.silent and may(self, data):
                writer.write(data)
                await writer.drain()
        self.abort()

    def abort(self) -> None:
        for writer in self._writers:
            writer.transport.abort()


def _peer(writer: asyncio.StreamWriter) -> int:
    """The process id of who has connected (unix(7), SO_PEERCRED)."""
    credentials = writer.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    return int(struct.unpack("3i", credentials)[0])
