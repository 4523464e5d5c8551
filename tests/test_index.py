"""The index is filled behind the captures, whatever happens to the database or to whoever fills it."""

import asyncio
import contextlib
import json
import random
from collections.abc import Awaitable, Callable
from datetime import timedelta
from uuid import UUID

import pytest
from searched import DAY_MS, NOW_MS, Place, flush, place, play, some_id, some_record, some_records

from gatebook.viewer.index import filling
from gatebook.viewer.index import keeping as index
from gatebook.viewer.index.filling import Lost
from gatebook.viewer.index.keeping import keep_filling, pause_s

NOBODY = UUID(int=0)


async def until(condition: Callable[[], Awaitable[object]]) -> None:
    async with asyncio.timeout(60):
        while not await condition():
            await asyncio.sleep(0.02)


async def state(place: Place) -> tuple[int, UUID]:
    row = await place.owner.fetchrow("SELECT next, down_to FROM search_state WHERE epoch = epoch()")
    return (row["next"], row["down_to"]) if row else (0, UUID(int=2**128 - 1))


async def covered(place: Place) -> bool:
    """Whether all rows lie in blocks, and nothing is left to do."""
    next, down_to = await state(place)
    late = await place.owner.fetchval("SELECT count(*) FROM batches WHERE xid >= $1", next)
    return down_to == NOBODY and late == 0


@pytest.fixture
def eager(monkeypatch):
    """Nobody waits: neither for many requests nor for another try."""
    monkeypatch.setattr(filling, "_WAITED", timedelta(0))
    monkeypatch.setattr(index, "_IDLE_S", 0.01)
    monkeypatch.setattr(index, "_RETRY_S", 0.05)


def said(caplog) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "gatebook.viewer"]


@contextlib.asynccontextmanager
async def filled(place: Place):
    task = asyncio.create_task(keep_filling(place.settings))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait({task})


def test_what_was_there_and_what_comes_is_covered(eager, database):
    async def story(place: Place) -> None:
        old = await place.record(*some_records(1500))
        async with filled(place):
            await until(lambda: covered(place))
            new = await place.record(*some_records(1100))
            await until(lambda: covered(place))
        rows = await place.owner.fetchval("SELECT sum(rows) FROM search_blocks")
        assert rows >= len(old) + len(new)
        assert await place.pages("path:/rare", 500) == await place.plain("path:/rare")

    play(database, story)


def test_few_requests_wait_for_others_but_not_for_ever(database):
    """A block has a thousand rows, or has waited for an hour; until then searches look at the rows themselves."""

    async def story(place: Place) -> None:
        await place.fill()
        await place.record(*some_records(5))
        assert not await place.filling.step()
        assert len(await place.pages("", 10)) == 5
        await place.owner.execute("UPDATE batches SET written_at = now() - interval '61 minutes'")
        assert await place.filling.step()
        assert await covered(place)
        await place.record(*some_records(1024))
        assert await place.filling.step()
        assert await covered(place)

    play(database, story)


@pytest.mark.parametrize("many", [False, True])
def test_batches_that_tell_of_a_forgetting_are_passed_over(eager, database, monkeypatch, many):
    """They have no requests, be they alone, among others, or so many that the rest is covered roughly."""
    if many:
        monkeypatch.setattr(filling, "COMMITS", 4)

    async def story(place: Place) -> None:
        await place.fill()
        for number in range(12):
            await place.owner.execute("INSERT INTO batches (ids, newest) VALUES ('{}', '[]')")
            if number % 3 == 2:
                await place.record(*some_records(5))
        await place.fill()
        await place.owner.execute("INSERT INTO batches (ids, newest) VALUES ('{}', '[]')")
        await place.fill()
        assert await covered(place)
        assert await place.pages("path:/*", 50) == await place.plain("path:/*")

    play(database, story)


def test_when_too_many_requests_wait_it_is_noted_where_and_they_are_covered_later(eager, database, monkeypatch):
    """While captures are faster than the filling, searches learn in one look what stretches of time it leaves out."""
    monkeypatch.setattr(filling, "BEHIND", 2000)

    async def story(place: Place) -> None:
        rough = "SELECT count(*) FROM search_blocks WHERE terms IS NULL"
        await place.fill()
        for number in range(5):
            await place.record(*some_records(1000 + number))
        assert await place.filling.step()
        assert await place.owner.fetchval(rough) > 0
        next, _ = await state(place)
        assert await place.owner.fetchval("SELECT count(*) FROM batches WHERE xid >= $1", next) == 0
        assert await place.pages("path:/rare", 500) == await place.plain("path:/rare")
        await place.fill()
        assert await place.owner.fetchval(rough) == 0
        assert await place.pages("path:/rare", 500) == await place.plain("path:/rare")

    play(database, story)


def test_many_commits_of_few_requests_are_noted_too(eager, database, monkeypatch):
    """Beyond some thousands of commits a search would not look at all of them, and read everything instead."""
    monkeypatch.setattr(filling, "COMMITS", 30)

    async def story(place: Place) -> None:
        await place.fill()
        for record in some_records(40):
            await place.record(record)
        assert await place.filling.step()
        assert await place.owner.fetchval("SELECT sum(rows) FROM search_blocks WHERE terms IS NULL") == 30
        await place.fill()
        assert await covered(place)
        assert await place.pages("path:/rare", 500) == await place.plain("path:/rare")

    play(database, story)


def test_blocks_are_laid_together_though_commits_wait(eager, database):
    """Else a load that lasts would make more and more of them, which each search reads."""

    async def story(place: Place) -> None:
        await place.fill()
        await place.owner.execute(
            "INSERT INTO search_blocks (low, high, rows, terms)"
            " SELECT id, id, 1, '{1}' FROM (SELECT gen_random_uuid() AS id FROM generate_series(1, 200)) AS ids"
        )
        await place.record(*some_records(1100))
        assert await place.filling.step()
        assert await place.owner.fetchval("SELECT count(*) FROM search_chunks") == 1
        assert not await covered(place)

    play(database, story)


def test_a_commit_that_takes_long_is_waited_for(eager, database):
    """What was begun before it and what came after it: nothing that is still open is passed over."""

    async def story(place: Place) -> None:
        await place.fill()
        async with place.writing() as slow, slow.transaction():
            await flush(slow, some_records(3, target="/slow"))
            await place.record(*some_records(4, target="/quick"))
            await place.fill()
            assert not await covered(place)
            assert len(await place.pages("path:/quick", 10)) == 4
        assert len(await place.pages("path:/slow", 10)) == 3
        await place.fill()
        assert await covered(place)
        assert len(await place.pages("path:/slow", 10)) == 3

    play(database, story)


def test_one_fills_at_a_time_and_another_takes_over(eager, database):
    async def story(place: Place) -> None:
        holders = (
            "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted"
            " AND objid = (hashtext('gatebook.index')::bigint & 4294967295)::oid"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        )

        async def leader() -> int | None:
            found = await place.owner.fetch(holders)
            assert len(found) <= 1
            return found[0]["pid"] if found else None

        async with filled(place) as first:
            await until(leader)
            leading = await leader()
            async with filled(place):
                await place.record(*some_records(1200))
                await until(lambda: covered(place))
                assert await leader() == leading
                first.cancel()
                await until(lambda: leads(leader, leading))
                await place.record(*some_records(1201))
                await until(lambda: covered(place))

    async def leads(leader: Callable[[], Awaitable[int | None]], before: int | None) -> bool:
        return await leader() not in (None, before)

    play(database, story)


def test_a_state_that_is_emptied_meanwhile_is_not_written_over(eager, database):
    """Whoever writes requests without their batches has the index begun anew by emptying search_state."""

    async def story(place: Place) -> None:
        await place.record(*some_records(100))
        await place.filling.step()
        covering = place.filling._cover

        async def cover(*values):
            await place.owner.execute("DELETE FROM search_state")
            return await covering(*values)

        place.filling._cover = cover
        with pytest.raises(Lost):
            await place.filling.step()
        assert await state(place) == (0, UUID(int=2**128 - 1))
        await place.fill_anew()
        await place.fill()
        assert await covered(place)

    play(database, story)


def test_its_connection_is_killed_and_it_goes_on(eager, database):
    async def story(place: Place) -> None:
        kill = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'gatebook index'"
        await place.record(*some_records(5000))
        async with filled(place):
            killed = 0
            while killed < 5:
                killed += await place.owner.fetchval(f"{kill} AND datname = current_database()")
                await asyncio.sleep(0.05)
            await until(lambda: covered(place))
        assert await place.pages("path:/rare", 500) == await place.plain("path:/rare")

    play(database, story)


def test_the_database_is_restarted_and_it_goes_on(eager, own_cluster, caplog):
    """Nobody is told: whoever asks the database says that it is away."""

    async def story() -> None:
        settings = own_cluster.new_database()
        async with place(settings) as before:
            await before.record(*some_records(1500))
            task = asyncio.create_task(keep_filling(settings))
            await until(lambda: covered(before))
        own_cluster.stop()
        await asyncio.sleep(0.2)
        own_cluster.start()
        async with place(settings) as after:
            await after.record(*some_records(1501))
            await until(lambda: covered(after))
            assert len(await after.pages("", 500)) == 3001
        task.cancel()
        await asyncio.wait({task})

    asyncio.run(story())
    assert not said(caplog)


def test_trouble_that_lasts_is_said_once(eager, database, caplog):
    """A mistake in the database is no reason to end, nor to fill the log."""

    async def story(place: Place) -> None:
        await place.owner.execute("ALTER TABLE search_state RENAME TO gone")
        async with filled(place):
            await until(lambda: has_said(caplog))
            await asyncio.sleep(0.3)
            await place.owner.execute("ALTER TABLE gone RENAME TO search_state")
            await place.record(*some_records(1100))
            await until(lambda: covered(place))

    async def has_said(caplog) -> bool:
        return bool(said(caplog))

    play(database, story)
    assert said(caplog) == [
        'the search index is not filled: UndefinedTableError: relation "search_state" does not exist'
    ]


def test_a_step_that_does_not_end_is_said(eager, database, monkeypatch, caplog):
    monkeypatch.setattr(index, "_STEP_WITHIN_S", 3.0)  # what is not held up takes far less

    async def story(place: Place) -> None:
        async with filled(place):
            await until(lambda: covered(place))
            async with place.owner.transaction():
                await place.owner.execute("LOCK TABLE search_state IN ACCESS EXCLUSIVE MODE")
                async with asyncio.timeout(60):
                    while not said(caplog):
                        await asyncio.sleep(0.02)
            await place.record(*some_records(1100))
            await until(lambda: covered(place))

    play(database, story)
    assert said(caplog) == ["the search index is not filled: TooLong: a step took longer than 3 s"]


def test_blocks_of_days_that_were_dropped_are_forgotten(eager, database):
    async def story(place: Place) -> None:
        chance = random.Random(1)
        old = NOW_MS - 3 * DAY_MS
        await place.record(*(some_record(chance, old - n) for n in range(1100)))
        await place.record(*(some_record(chance, NOW_MS - n) for n in range(1100)))
        await place.fill()
        day = await place.owner.fetchval("SELECT to_char(to_timestamp($1) AT TIME ZONE 'UTC', 'YYYYMMDD')", old // 1000)
        before = await place.owner.fetchval("SELECT count(*) FROM search_blocks")
        await place.owner.execute(f"DROP TABLE requests_{day}")
        await place.filling.forget()
        assert 0 < await place.owner.fetchval("SELECT count(*) FROM search_blocks") < before
        assert await place.pages("path:/rare", 500) == await place.plain("path:/rare")

    play(database, story)


def test_large_requests_are_read_one_by_one(eager, database, monkeypatch):
    """A thousand of them at once would not fit into memory; they are found like any other."""
    monkeypatch.setattr(filling, "_LARGE_BYTES", 1000)

    async def story(place: Place) -> None:
        chance = random.Random(1)
        sizes = [10, 5000, 10, 5000]
        headers = [json.dumps([["X-Number", str(n)], ["X", "x" * size]]) for n, size in enumerate(sizes)]
        ids = await place.record(*(some_record(chance, NOW_MS - n, headers=each) for n, each in enumerate(headers)))
        await place.record(*(some_record(chance, NOW_MS + 1000 + n) for n in range(1000)))
        await place.fill()
        for number, id in enumerate(ids):
            assert await place.pages(f"header.x-number={number}", 5) == [id]

    play(database, story)


def test_ids_of_every_kind_are_covered(eager, database):
    """A clock far off, in both directions, and the first and the last id that there can be."""

    async def story(place: Place) -> None:
        chance = random.Random(1)
        ids = [some_id(ms, chance) for ms in (0, 1, NOW_MS, NOW_MS + 400 * DAY_MS, 2**48 - 1)]
        await place.record(*(some_record(chance, id=str(id), target="/odd") for id in ids[:3]))
        await place.fill()
        await place.record(*(some_record(chance, id=str(id), target="/odd") for id in ids[3:]))
        await place.fill()
        assert await covered(place)
        assert await place.pages("path:/odd", 2) == sorted(ids, reverse=True)
        assert await place.pages("path:/odd", 2, newest_first=False) == sorted(ids)

    play(database, story)


def test_it_rests_for_longer_than_it_works_when_requests_come_in_fast():
    assert pause_s(0.0, 0.0) == pause_s(0.0, 5000.0) == 1.0
    assert pause_s(0.1, 10.0) == pytest.approx(0.1)
    assert pause_s(0.1, 1000.0) == pytest.approx(4.9)


def test_commits_that_are_pruned_while_they_are_read_are_not_left_out(eager, database):
    """Whoever fills is a day behind, and housekeeping comes between its looks at the state and at the commits."""

    async def story(place: Place) -> None:
        await place.fill()
        await place.record(*some_records(50, target="/old"))
        await place.owner.execute("UPDATE batches SET written_at = now() - interval '25 hours'")
        await place.record(*some_records(50, target="/new"))
        look = filling.SQL["look"]
        real = place.filling._connection

        class Pruned:
            """The connection, whose answer to `look` is old when it comes."""

            def __getattr__(self, name: str) -> object:
                return getattr(real, name)

            async def fetch(self, sql: str, *values: object) -> object:
                rows = await real.fetch(sql, *values)
                if sql == look:
                    await place.owner.execute("SELECT keep_house()")
                return rows

        place.filling._connection = Pruned()
        with pytest.raises(Lost):
            await place.filling.step()
        place.filling._connection = real
        await place.fill()
        assert await place.pages("path:/old", 500) == await place.plain("path:/old")

    play(database, story)
