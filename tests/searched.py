"""A database to search in: rows come by the replicas' own statement, in any transaction; the index is filled by steps.

The plain answer, which every search is compared with, is one SELECT over the whole table.
"""

import asyncio
import contextlib
import json
import os
import random
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar
from uuid import UUID

import asyncpg
from postgres import PASSWORD, Cluster, binaries

from gatebook.app.capture import Record
from gatebook.db.connect import connect, login
from gatebook.db.queries import QUERIES
from gatebook.filter import Parameters, condition, parse
from gatebook.settings import Settings
from gatebook.viewer.database import Database, connected
from gatebook.viewer.index import keeping as index
from gatebook.viewer.index.filling import Filling
from gatebook.viewer.search.search import Found, Search

T = TypeVar("T")

NOW_MS = time.time_ns() // 10**6
HOUR_MS, DAY_MS = 3_600_000, 86_400_000
METHODS = ["GET", "GET", "GET", "POST", "DELETE"]
PATHS = ["/", "/a/b", "/a/c?x=1", "/github/hooks/push", "/rare"]
CLIENTS = ["192.0.2.1", "192.0.2.77", "198.51.100.9", "2001:db8::1"]
FILTERS = [
    "",
    "method:POST path:/github/*",
    "path:/rare",
    "path:/nowhere",
    "client:192.0.2.0/24 -method:GET",
    "header.x-kind=odd",
    "header.x-kind:* OR path:/rare",
    "replica:webapp-2 status:413",
    "size>=1kB",
    "body:needle",
    "json.a:1",
    "NOT path:/a/*",
    "needle",
    f"since:{24 * 3600}s until:1h path:/a/*",
    "truncated:true OR client:2001:db8::/32",
]


def some_id(ms: int, chance: random.Random) -> UUID:
    return UUID(int=ms << 80 | 0x7 << 76 | chance.getrandbits(12) << 64 | 0b10 << 62 | chance.getrandbits(62))


def some_record(chance: random.Random, ms: int | None = None, **columns: Any) -> Record:
    """A request like any: most are new, some came late, and a few have a clock that is far off."""
    if ms is None:
        ages = [chance.randrange(5000)] * 6 + [chance.randrange(HOUR_MS), chance.randrange(3 * DAY_MS), -30 * DAY_MS]
        ms = int(time.time() * 1000) - chance.choice(ages)
    kind = chance.choice([[], [], [], [["X-Kind", chance.choice(["even", "odd"])]]])
    body = chance.choice([b"", b"", b'{"a": 1}', b"a needle in it", b"x" * 2000])
    truncated = chance.random() < 0.1
    row = {
        "id": str(some_id(ms, chance)),
        "body_size": len(body),
        "peer": "192.0.2.1",
        "client": chance.choice(CLIENTS),
        "status": 413 if truncated else 200,
        "truncated": truncated,
        "scheme": "http",
        "http_version": "1.1",
        "method": chance.choice(METHODS),
        "target": chance.choice(PATHS),
        "headers": json.dumps([["Host", "h"], *kind]),
        "body": body,
        "body_sha256": None,
    }
    return Record(**{**row, **columns})


def some_records(number: int, **columns: Any) -> list[Record]:
    chance = random.Random(number)
    return [some_record(chance, **columns) for _ in range(number)]


class Place:
    """A database, who reads it, who fills the index, and who writes."""

    def __init__(self, settings: Settings, reads: Database, owner: "asyncpg.Connection[asyncpg.Record]") -> None:
        self.settings = settings
        self.database = reads
        self.owner = owner
        self.filling: Filling
        self._filler: Any = None

    async def fill_anew(self) -> None:
        """Another process takes over the filling: it knows nothing but what is in the database."""
        if self._filler:
            self._filler.terminate()
        self._filler = await asyncpg.connect(**login(self.settings, "index"), server_settings=index.CONNECTION)
        self.filling = Filling(self._filler)

    async def fill(self) -> None:
        """Until there is nothing left to do, however little has come."""
        while await self.filling.step():
            pass

    async def close(self) -> None:
        self._filler.terminate()

    @contextlib.asynccontextmanager
    async def writing(self) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
        connection = await asyncpg.connect(**login(self.settings, "capture"))
        try:
            yield connection
        finally:
            await connection.close()

    async def record(self, *records: Record) -> list[UUID]:
        """Commit them; returns their ids."""
        async with self.writing() as connection:
            await flush(connection, list(records))
        return [UUID(record.id) for record in records]

    async def plain(self, filter: str) -> list[UUID]:
        """The ids that match, newest first."""
        parameters = Parameters()
        sql = f"SELECT id FROM requests WHERE {condition(parse(filter), parameters)} ORDER BY id DESC"
        return [row["id"] for row in await self.owner.fetch(sql, *parameters.values)]

    async def pages(
        self,
        filter: str,
        limit: int,
        newest_first: bool = True,
        deadline_s: float = 30.0,
        meanwhile: Callable[[], Awaitable[object]] | None = None,
    ) -> list[UUID]:
        """The ids of all pages, one after the other."""
        expression, cursor = parse(filter), None
        found: list[UUID] = []
        for _ in range(1000):
            page = await Search(self.database, expression, limit, cursor, newest_first, deadline_s).run()
            check(page, limit)
            found += [row["id"] for row in page.rows]
            cursor = page.next
            if cursor is None:
                return found
            if meanwhile:
                await meanwhile()
        raise AssertionError("this does not end")


def check(page: Found, limit: int) -> None:
    """What holds of every page."""
    assert len(page.rows) <= limit
    assert page.next is None or page.reached_ms is not None
    assert (page.next is None) <= page.complete
    assert page.complete or page.next


async def flush(connection: "asyncpg.Connection[asyncpg.Record]", records: list[Record]) -> None:
    """Write as a replica does; with a transaction open, it stays open."""
    columns = list(zip(*records, strict=True))
    snapshot = await connection.fetchval("SELECT pg_current_snapshot()::text")
    await connection.fetch(QUERIES["flush"], *columns, "webapp-2", "[]", snapshot, 0)


def copy_dump(cluster: Cluster, old: Settings, new: Settings) -> None:
    """Restore a dump of one database into another one, which is empty."""
    environment = {**os.environ, "PGPASSWORD": PASSWORD}
    server = ["-h", str(cluster.folder), "-U", "gatebook", "-d"]
    dump = [binaries() / "pg_dump", *server, old.postgres_db]
    dumped = subprocess.run(dump, env=environment, capture_output=True, check=True).stdout
    restore = [binaries() / "psql", "-Xq", "-v", "ON_ERROR_STOP=1", *server, new.postgres_db]
    subprocess.run(restore, env=environment, input=dumped, stdout=subprocess.DEVNULL, check=True)


@contextlib.asynccontextmanager
async def place(settings: Settings) -> AsyncIterator[Place]:
    await (await connect(settings, "viewer", 30)).close()
    owner = await asyncpg.connect(
        **{**login(settings, "viewer"), "user": settings.postgres_user, "password": settings.postgres_password}
    )
    await owner.execute("SELECT make_day(current_date - ago) FROM generate_series(2, 5) AS ago")
    async with connected(settings) as reads:
        made = Place(settings, reads, owner)
        await made.fill_anew()
        try:
            yield made
        finally:
            await made.close()
            await owner.close()


def play(settings: Settings, story: Callable[[Place], Awaitable[T]]) -> T:
    """Run a story in a new place."""

    async def run() -> T:
        async with place(settings) as made:
            return await story(made)

    return asyncio.run(run())
