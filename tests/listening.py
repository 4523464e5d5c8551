"""A listener to the stream of events for tests, and a replica's flush, both over asyncio.

async with await listen(address, after=...) as listener:
    event = await listener.event()
"""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import asyncpg
import psutil
from postgres import Cluster

from gatebook.app.capture import Record
from gatebook.db.connect import login
from gatebook.db.queries import QUERIES
from gatebook.settings import Settings

PATIENCE_S = 30.0
NOW = time.time_ns() // 10**6


def id7(tail: int, ms: int = NOW) -> str:
    """The id of a request that was received at `ms`; `tail` orders those of one millisecond."""
    return str(UUID(int=ms << 80 | 0x7 << 76 | 0b10 << 62 | tail))


def postmaster(cluster: Cluster) -> psutil.Process:
    """The server's process, for a signal that a Cluster does not send: SIGQUIT is a crash, to be recovered from."""
    return psutil.Process(int((cluster.folder / "data" / "postmaster.pid").read_text().split()[0]))


@dataclass(frozen=True)
class Event:
    """One block of the stream. `name` is "" where it has no data: a position, or a comment."""

    id: str
    name: str
    data: Any
    comment: str = ""


@dataclass
class Listener:
    """One connection. `last` is the position that a browser would come back with."""

    head: str
    _reader: asyncio.StreamReader
    _writer: asyncio.StreamWriter
    last: str = ""
    _rest: bytes = b""
    comments: list[str] = field(default_factory=list)

    async def block(self) -> Event:
        """The next block, of whatever kind. Raises EOFError at the end of the stream, however it came."""
        while b"\n\n" not in self._rest:
            self._rest += await self._chunk()
        block, _, self._rest = self._rest.partition(b"\n\n")
        fields: dict[str, str] = {}
        for line in block.decode().split("\n"):
            name, _, value = line.partition(": ")
            fields[name] = value
        self.last = fields.get("id", self.last)
        if comment := fields.get(""):
            self.comments.append(comment)
        data = json.loads(fields["data"]) if "data" in fields else None
        return Event(self.last, fields.get("event", ""), data, fields.get("", ""))

    async def event(self) -> Event:
        """The next block with data."""
        async with asyncio.timeout(PATIENCE_S):
            while not (event := await self.block()).name:
                pass
            return event

    async def ids(self, count: int) -> list[str]:
        """The requests of the next events, which have to be requests."""
        events = [await self.event() for _ in range(count)]
        assert {event.name for event in events} <= {"request"}, events
        return [event.data["id"] for event in events]

    async def _chunk(self) -> bytes:
        """RFC 9112 section 7.1."""
        try:
            size = int(await self._reader.readuntil(b"\r\n"), 16)
            data = await self._reader.readexactly(size + 2)
        except (OSError, asyncio.IncompleteReadError) as error:
            raise EOFError("cut") from error
        if not size:
            raise EOFError("ended")
        return data[:-2]

    async def __aenter__(self) -> "Listener":
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()


async def listen(address: str, last: str = "", **query: str) -> Listener:
    """Listen at `unix:PATH` or `HOST:PORT`, with the header Last-Event-ID if there is a `last`.

    It has read the head of the answer, which is 200, and its first block.
    """
    if address.startswith("unix:"):
        reader, writer = await asyncio.open_unix_connection(address.removeprefix("unix:"), limit=2**26)
    else:
        reader, writer = await asyncio.open_connection(*address.split(":"), limit=2**26)
    target = "/_/api/events" + (f"?{urlencode(query)}" if query else "")
    header = f"Last-Event-ID: {last}\r\n" if last else ""
    writer.write(f"GET {target} HTTP/1.1\r\nHost: localhost\r\n{header}\r\n".encode())
    try:
        async with asyncio.timeout(PATIENCE_S):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            if not head.startswith("HTTP/1.1 200 "):
                raise ConnectionError(head)
            listener = Listener(head, reader, writer)
            first = await listener.block()
            assert not first.name and first.id, first
            return listener
    except BaseException:
        writer.close()
        raise


class Replica:
    """One connection that flushes as a replica does, in a transaction that may be held open."""

    def __init__(self, connection: "asyncpg.Connection[asyncpg.Record]", name: str) -> None:
        self.connection = connection
        self.name = name

    async def flush(self, ids: Sequence[UUID | str], **columns: object) -> None:
        """Write requests of these ids, all alike but for `columns`; commits unless a transaction is open."""
        told = {**ORDINARY, **columns}
        records = [Record(**{**told, "id": str(id)}) for id in sorted(map(str, ids))]  # type: ignore[arg-type]
        arrays = list(zip(*records, strict=True))
        snapshot = await self.connection.fetchval(QUERIES["snapshot"])
        await self.connection.fetch(QUERIES["flush"], *arrays, self.name, "[]", snapshot, 0)

    @contextlib.asynccontextmanager
    async def held(self, ids: Sequence[UUID | str], **columns: object) -> AsyncIterator[None]:
        """Written when the block begins, committed when it ends."""
        async with self.connection.transaction():
            await self.flush(ids, **columns)
            yield


ORDINARY: dict[str, object] = {
    "body_size": 0,
    "peer": "192.0.2.1",
    "client": "192.0.2.1",
    "status": 200,
    "truncated": False,
    "scheme": "http",
    "http_version": "1.1",
    "method": "GET",
    "target": "/",
    "headers": '[["Host", "h"]]',
    "body": b"",
    "body_sha256": None,
}


@contextlib.asynccontextmanager
async def replica(database: Settings, name: str = "webapp-1") -> AsyncIterator[Replica]:
    """A Replica for the block. What it has committed outlives the server, as in production."""
    connection = await asyncpg.connect(**login(database, "capture"), server_settings={"synchronous_commit": "on"})
    try:
        yield Replica(connection, name)
    finally:
        connection.terminate()
