"""The replica's connection to a real PostgreSQL: what it writes, and how it comes back."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import asyncpg
import pytest
from postgres import PASSWORD, Cluster

from gatebook.app.capture import Record, request_uuid
from gatebook.app.journal import NotRecorded
from gatebook.app.recent import NIL
from gatebook.app.writer import Writer
from gatebook.settings import Settings

T = TypeVar("T")


def record(number: int) -> Record:
    id = request_uuid(f"{number:019x}".ljust(32, "0"), f"{time.time():.3f}")
    return Record(id, 0, "192.0.2.1", "192.0.2.1", 200, False, "http", "1.1", "GET", f"/{number}", "[]", b"", None)


def play(database: Settings, story: Callable[[Writer], Awaitable[T]]) -> T:
    async def run() -> T:
        writer = Writer(database)
        await writer.start()
        try:
            return await story(writer)
        finally:
            await writer.close()

    return asyncio.run(run())


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.02)


def test_what_another_try_has_brought_is_not_brought_again(database: Settings, cluster: Cluster) -> None:
    """The batch holds an id that is there, one twice, and new ones: each is one row, and in one batch."""
    first, second, third = record(1), record(2), record(3)

    async def story(writer: Writer) -> None:
        await writer.write([first], [], NIL, 0)
        seen = await writer.write([third, first, second, third], [], NIL, 24)
        assert [row.target for row in seen] == ["/1"]  # the snapshot is the one before the batch
        assert await writer.write([second], [first.id], NIL, 24)  # nothing new to write, still something to see

    play(database, story)
    targets = cluster.psql("SELECT target FROM requests ORDER BY target", database.postgres_db)
    assert targets.splitlines() == ["/1", "/2", "/3"]
    assert cluster.psql("SELECT sum(cardinality(ids)) FROM batches", database.postgres_db) == "3"


def test_two_replicas_with_the_same_retries_in_other_orders_do_not_wait_for_each_other(
    database: Settings, cluster: Cluster
) -> None:
    async def run() -> None:
        writers = [Writer(database), Writer(database)]
        for writer in writers:
            await writer.start()
        for turn in range(20):
            batch = [record(turn * 100 + number) for number in range(50)]
            await asyncio.gather(
                writers[0].write(batch, [], NIL, 0), writers[1].write(list(reversed(batch)), [], NIL, 0)
            )
        for writer in writers:
            await writer.close()

    asyncio.run(run())
    assert cluster.psql("SELECT count(*) FROM requests", database.postgres_db) == "1000"


def test_an_idle_replica_comes_back_by_itself(own_cluster: Cluster) -> None:
    """Nothing is written meanwhile: health would else stay bad, and with it a replica that gets no requests."""
    database = own_cluster.new_database()

    async def story(writer: Writer) -> None:
        own_cluster.stop()
        await until(lambda: not writer.ready)
        own_cluster.start()
        await until(lambda: writer.ready)
        await writer.write([record(1)], [], NIL, 0)

    play(database, story)


def test_a_database_that_was_made_anew_is_migrated(own_cluster: Cluster) -> None:
    database = own_cluster.new_database()

    async def story(writer: Writer) -> None:
        own_cluster.psql(f"DROP DATABASE {database.postgres_db} WITH (FORCE)")
        own_cluster.psql(f"CREATE DATABASE {database.postgres_db}")
        await until(lambda: not writer.ready)
        await until(lambda: writer.ready)
        await writer.write([record(1)], [], NIL, 0)

    play(database, story)
    assert own_cluster.psql("SELECT count(*) FROM requests", database.postgres_db) == "1"


def test_what_the_database_refuses_is_not_recorded_and_the_next_batch_is(database: Settings) -> None:
    async def story(writer: Writer) -> None:
        owner = await asyncpg.connect(
            host=database.postgres_host, user="gatebook", password=PASSWORD, database=database.postgres_db
        )
        await owner.execute("ALTER TABLE requests ADD CONSTRAINT no_disk CHECK (target <> '/1')")
        await owner.close()
        with pytest.raises(NotRecorded, match="refused to write"):
            await writer.write([record(1), record(2)], [], NIL, 0)
        await writer.write([record(3)], [], NIL, 0)

    play(database, story)
