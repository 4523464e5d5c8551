"""The replica's connection to a real PostgreSQL: what it writes, and how it comes back."""

import asyncio
import contextlib
import dataclasses
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from importlib import resources
from typing import TypeVar

import asyncpg
import pytest
from postgres import PASSWORD, Cluster

from gatebook.app import writer as writer_module
from gatebook.app.capture import Record
from gatebook.app.journal import NotRecorded
from gatebook.app.page import Page, Seen
from gatebook.app.recent import Recent
from gatebook.app.writer import Unwritable, Writer
from gatebook.identity import request_uuid
from gatebook.settings import Settings

T = TypeVar("T")


async def owner(database: Settings) -> "asyncpg.Connection[asyncpg.Record]":
    return await asyncpg.connect(
        host=database.postgres_host, user="gatebook", password=PASSWORD, database=database.postgres_db
    )


def targets(rows: list[Seen]) -> dict[str, str]:
    """Which replica took which target."""
    return {row.target: row.replica for row in rows}


def record(number: int) -> Record:
    id = request_uuid(f"{number:019x}".ljust(32, "0"), f"{time.time():.3f}")
    return Record(id, 0, "192.0.2.1", "192.0.2.1", 200, False, "http", "1.1", "GET", f"/{number}", "[]", b"", None)


async def write(writer: Writer, records: list[Record], wants_others: bool) -> list[Seen]:
    return await writer.write(records, wants_others, asyncio.get_running_loop().time() + 30)


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
        await write(writer, [first], False)
        seen = await write(writer, [third, first, second, third], True)
        assert {row.target for row in seen} == {"/2", "/3"}  # the first was told before
        assert await write(writer, [second], True) == []  # nothing new to write, nothing new to see

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
            await asyncio.gather(write(writers[0], batch, False), write(writers[1], list(reversed(batch)), False))
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
        await write(writer, [record(1)], False)

    play(database, story)


def test_a_database_that_was_made_anew_is_migrated(own_cluster: Cluster) -> None:
    database = own_cluster.new_database()

    async def story(writer: Writer) -> None:
        own_cluster.psql(f"DROP DATABASE {database.postgres_db} WITH (FORCE)")
        own_cluster.psql(f"CREATE DATABASE {database.postgres_db}")
        await until(lambda: not writer.ready)
        await until(lambda: writer.ready)
        await write(writer, [record(1)], False)

    play(database, story)
    assert own_cluster.psql("SELECT count(*) FROM requests", database.postgres_db) == "1"


def test_what_the_database_refuses_is_not_recorded_and_the_next_batch_is(database: Settings) -> None:
    async def story(writer: Writer) -> None:
        database_owner = await owner(database)
        await database_owner.execute("ALTER TABLE requests ADD CONSTRAINT no_disk CHECK (target <> '/1')")
        await database_owner.close()
        with pytest.raises(Unwritable, match=r"will not take it: CheckViolationError: new row.*\"no_disk\"$"):
            await write(writer, [record(1), record(2)], False)
        await write(writer, [record(3)], False)

    play(database, story)


@contextlib.asynccontextmanager
async def two_writers(database: Settings) -> AsyncIterator[tuple[Writer, Writer]]:
    one, two = Writer(named(database, "webapp-1")), Writer(named(database, "webapp-2"))
    await one.start()
    await two.start()
    try:
        yield one, two
    finally:
        await one.close()
        await two.close()


def named(database: Settings, replica: str) -> Settings:
    return dataclasses.replace(database, replica=replica)


def test_a_write_brings_what_others_have_written_since_it_was_last_wanted(database: Settings) -> None:
    """Once each, whether or not something was written in between; the own rows always."""

    async def run() -> None:
        async with two_writers(database) as (one, two):
            await write(two, [record(1)], False)
            await write(two, [record(2)], False)
            assert targets(await write(one, [record(3)], False)) == {"/3": "webapp-1"}
            assert targets(await write(one, [record(4)], True)) == {
                "/4": "webapp-1",
                "/1": "webapp-2",
                "/2": "webapp-2",
            }
            assert targets(await write(one, [record(5)], True)) == {"/5": "webapp-1"}
            others = {f"/{number}": "webapp-1" for number in (3, 4, 5)}
            assert others.items() <= targets(await write(two, [], True)).items()

    asyncio.run(run())


def test_a_commit_that_was_under_way_at_the_last_read_is_brought_by_the_next(database: Settings) -> None:
    """Transactions do not end in the order in which they began."""

    async def run() -> None:
        one, slow = Writer(named(database, "webapp-1")), await owner(database)
        await one.start()
        late = record(1)
        await slow.execute("BEGIN")
        await slow.execute(
            "INSERT INTO batches (ids, newest) VALUES ($1, $2)",
            [late.id],
            json.dumps([[late.id, "GET", "/late", "192.0.2.1", "webapp-2", 0]]),
        )
        assert targets(await write(one, [record(2)], True)) == {"/2": "webapp-1"}
        assert targets(await write(one, [record(3)], True)) == {"/3": "webapp-1"}
        await slow.execute("COMMIT")
        assert targets(await write(one, [record(4)], True)) == {"/4": "webapp-1", "/late": "webapp-2"}
        assert targets(await write(one, [record(5)], True)) == {"/5": "webapp-1"}
        await slow.close()
        await one.close()

    asyncio.run(run())


def test_after_a_long_time_the_table_is_read_because_batches_are_pruned(
    database: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        async with two_writers(database) as (one, two):
            await write(one, [record(1)], True)
            await write(two, [record(2)], False)
            pruner = await owner(database)
            await pruner.execute("DELETE FROM batches")
            await pruner.close()
            monkeypatch.setattr(writer_module, "_BATCHES_LAST_S", 0.0)
            assert "/2" in targets(await write(one, [record(3)], True))

    asyncio.run(run())


@pytest.mark.parametrize("many", [True, False])
def test_where_the_batches_do_not_tell_the_table_is_read(
    database: Settings, monkeypatch: pytest.MonkeyPatch, many: bool
) -> None:
    """More of them than are looked at, or one of a release that did not note what it wrote."""
    monkeypatch.setattr(writer_module, "_LATE_BATCHES", 5)

    async def run() -> None:
        async with two_writers(database) as (one, two):
            for number in range(1, 7 if many else 3):
                await write(two, [record(number)], False)
            if not many:
                database_owner = await owner(database)
                await database_owner.execute("UPDATE batches SET newest = NULL")
                await database_owner.close()
            written = {f"/{number}": "webapp-2" for number in range(1, 7 if many else 3)}
            assert targets(await write(one, [record(9)], True)) == {"/9": "webapp-1", **written}
            assert targets(await write(one, [record(10)], True)) == {"/10": "webapp-1"}

    asyncio.run(run())


def test_what_was_written_while_it_was_away_is_brought(own_cluster: Cluster) -> None:
    database = own_cluster.new_database()

    async def story(writer: Writer) -> None:
        await write(writer, [record(1)], True)
        own_cluster.stop()
        await until(lambda: not writer.ready)
        own_cluster.start()
        await until(lambda: writer.ready)
        assert targets(await write(writer, [record(2)], True)) == {"/1": "webapp-1", "/2": "webapp-1"}

    play(named(database, "webapp-1"), story)


async def forget(forgetter: "asyncpg.Connection[asyncpg.Record]", *records: Record) -> None:
    """As a command that forgets does it."""
    ids = [record.id for record in records]
    act = await forgetter.fetchval("INSERT INTO trail (act, who, about) VALUES ('forgotten', '', '') RETURNING id")
    async with forgetter.transaction():
        await forgetter.execute("UPDATE batches SET newest = NULL WHERE ids && $1", ids)
        await forgetter.execute("DELETE FROM requests WHERE id = ANY ($1)", ids)
        await forgetter.execute("INSERT INTO forgotten SELECT unnest($1::uuid[]), $2", ids, act)
        await forgetter.execute("INSERT INTO batches (ids, newest) VALUES ('{}', '[]')")


def test_what_is_forgotten_is_known_no_more_and_older_requests_take_its_place(
    database: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when the connection was lost meanwhile, or more was written than is looked at."""
    monkeypatch.setattr(writer_module, "_LATE_BATCHES", 5)

    async def run() -> None:
        recent = Recent(Page())
        async with two_writers(database) as (one, two):
            one = Writer(named(database, "webapp-1"), recent=recent)
            await one.start()
            forgetter = await owner(database)
            records = [record(number) for number in range(40)]
            await write(two, records, False)
            recent.learn(await write(one, [], True))
            await forget(forgetter, *records[35:])
            recent.learn(await write(one, [], True))
            assert recent.ids == [each.id for each in reversed(records[10:35])]
            await forget(forgetter, records[34])
            for number in range(6):
                await write(two, [record(100 + number)], False)
            recent.learn(await write(one, [], True))
            assert records[34].id not in recent.ids and records[33].id in recent.ids
            await forget(forgetter, records[33])
            await forgetter.execute("DELETE FROM batches")
            await forgetter.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename <> 'gatebook'"
            )
            await until(lambda: not one.ready)
            await until(lambda: one.ready)
            recent.learn(await write(one, [], True))
            assert records[33].id not in recent.ids and records[32].id in recent.ids
            await forgetter.close()
            await one.close()

    asyncio.run(run())


def test_what_comes_out_of_a_spool_and_was_forgotten_is_not_written(database: Settings, cluster: Cluster) -> None:
    """It had been committed, though the replica did not learn of it."""
    was_there, new = record(1), record(2)

    async def story(writer: Writer) -> None:
        deadline = asyncio.get_running_loop().time() + 30
        await write(writer, [was_there], False)
        forgetter = await owner(database)
        await forget(forgetter, was_there)
        await writer.write([was_there, new], False, deadline, "webapp-9")
        await writer.write([was_there], False, deadline, "webapp-9")
        await writer.write([new], False, deadline, "webapp-9")  # once more
        async with forgetter.transaction():
            await forgetter.execute("SELECT pg_advisory_xact_lock(hashtext('gatebook.forgotten'))")
            with pytest.raises(NotRecorded, match="being forgotten just now"):
                await writer.write([record(3)], False, deadline, "webapp-9")
            await write(writer, [record(4)], False)  # captures do not wait for that
        await writer.write([record(5)], False, deadline, "webapp-9")
        await forgetter.close()

    play(database, story)
    rows = cluster.psql("SELECT target, replica FROM requests ORDER BY target", database.postgres_db)
    assert [row.partition("|")[0] for row in rows.splitlines()] == ["/2", "/4", "/5"]
    assert "/2|webapp-9" in rows


@pytest.mark.parametrize("wrong", [{"method": "\ud800"}, {"body_size": 2**63}, {"peer": "nobody"}, {"headers": "{"}])
def test_what_cannot_be_drained_leaves_no_transaction_open(
    database: Settings, cluster: Cluster, wrong: dict[str, object]
) -> None:
    """Whoever finds it wrong, PostgreSQL, its driver or we: what is captured next is committed."""

    async def story(writer: Writer) -> None:
        deadline = asyncio.get_running_loop().time() + 30
        with pytest.raises((Unwritable, TypeError)):
            await writer.write([record(1)._replace(**wrong)], False, deadline, "webapp-9")
        await write(writer, [record(2)], False)
        assert cluster.psql("SELECT target FROM requests", database.postgres_db) == "/2"

    play(database, story)


def test_a_flush_costs_the_same_however_many_days_are_kept(database: Settings) -> None:
    """It opens no partition but those that it writes to: reading them all took 4 ms with a year of them."""

    async def story(writer: Writer) -> None:
        database_owner = await owner(database)
        await database_owner.execute("SELECT make_day(current_date + ahead) FROM generate_series(8, 60) AS ahead")
        await write(writer, [record(1)], True)
        await database_owner.execute("BEGIN; LOCK TABLE requests_default IN ACCESS EXCLUSIVE MODE")
        partitions = await database_owner.fetch(
            "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'requests'::regclass"
        )
        today = f"requests_{datetime.now(UTC):%Y%m%d}"
        for [name] in partitions:
            if name != today:
                await database_owner.execute(f"LOCK TABLE {name} IN ACCESS EXCLUSIVE MODE")
        await write(writer, [record(2)], True)  # would wait for the locks, and be refused
        await database_owner.execute("ROLLBACK")
        await database_owner.close()

    play(database, story)


def test_the_driver_still_asks_what_we_answer_for_it() -> None:
    """`_is_array_iterable` in asyncpg's source is what the writer makes short; if it changes, look again."""
    source = resources.files("asyncpg").joinpath("protocol/codecs/array.pyx").read_text()
    assert "isinstance(obj, IterableABC) and" in source
    assert asyncpg.protocol.protocol.IterableABC == (list, tuple)
