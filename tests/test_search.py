"""A search finds exactly what a plain SELECT finds, however far the index has come, and takes only its share."""

import asyncio
import json
import random
import re
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from uuid import UUID

import asyncpg
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from searched import (
    DAY_MS,
    FILTERS,
    HOUR_MS,
    NOW_MS,
    Place,
    copy_dump,
    flush,
    place,
    play,
    some_id,
    some_record,
    some_records,
)

from gatebook.filter import parse
from gatebook.viewer import database as database_module
from gatebook.viewer.database import QUERIES, Database, Unavailable
from gatebook.viewer.index import blocks, filling
from gatebook.viewer.search import Search, candidates, search, walk

WRITERS = 3
DEEDS = st.one_of(
    st.tuples(st.just("write"), st.integers(0, WRITERS - 1), st.integers(1, 12)),
    st.tuples(st.just("commit"), st.integers(0, WRITERS - 1)),
    st.tuples(st.just("roll back"), st.integers(0, WRITERS - 1)),
    st.tuples(st.just("fill"), st.integers(1, 6)),
    st.tuples(st.just("interrupt"), st.floats(0, 0.01)),
    st.tuples(st.just("reset"), st.sampled_from(["epoch", "pruned", "empty"])),
    st.tuples(
        st.just("search"), st.sampled_from(FILTERS), st.integers(1, 7), st.booleans(), st.sampled_from([0.0, 30.0])
    ),
)


@pytest.fixture
def small(monkeypatch):
    """Blocks, chunks, windows and what is asked of them are so small that a few rows make many."""
    monkeypatch.setattr(filling, "ROWS", 4)
    monkeypatch.setattr(filling, "COMMITS", 3)
    monkeypatch.setattr(filling, "BLOCKS", 3)
    monkeypatch.setattr(filling, "BEHIND", 12)
    monkeypatch.setattr(filling, "_LARGE_BYTES", 30)
    monkeypatch.setattr(blocks, "ROWS", 4)
    monkeypatch.setattr(blocks, "_TERMS", 60)
    monkeypatch.setattr(candidates, "_CHUNKS", 2)
    monkeypatch.setattr(candidates, "_ENOUGH", 3)
    monkeypatch.setattr(search, "_FIRST_ROWS", 2)
    monkeypatch.setattr(walk, "_MOST_ROWS", 8)


class Life:
    """Deeds of several replicas, of the filling and of searches, as they come."""

    def __init__(self, place: Place, writers: list["asyncpg.Connection[asyncpg.Record]"], seed: int) -> None:
        self.place = place
        self.writers = writers
        self.open: list[asyncpg.transaction.Transaction | None] = [None] * len(writers)
        self.chance = random.Random(seed)

    async def write(self, writer: int, rows: int) -> None:
        """In a transaction that stays open, until it is committed or rolled back."""
        if self.open[writer]:
            await self.commit(writer)
        transaction = self.writers[writer].transaction()
        await transaction.start()
        self.open[writer] = transaction
        await flush(self.writers[writer], [some_record(self.chance) for _ in range(rows)])

    async def commit(self, writer: int) -> None:
        transaction, self.open[writer] = self.open[writer], None
        if transaction:
            await transaction.commit()

    async def roll_back(self, writer: int) -> None:
        transaction, self.open[writer] = self.open[writer], None
        if transaction:
            await transaction.rollback()

    async def fill(self, steps: int) -> None:
        for _ in range(steps):
            await self.place.filling.step()

    async def interrupt(self, after_s: float) -> None:
        """The process that fills dies in the middle of it, and another one goes on."""
        try:
            async with asyncio.timeout(after_s):
                await self.fill(20)
        except TimeoutError:
            await self.place.fill_anew()

    async def reset(self, how: str) -> None:
        owner = self.place.owner
        if how == "epoch":
            await owner.execute("UPDATE search_state SET epoch = 'another'")
        elif how == "pruned":
            pruned = "(SELECT coalesce(max(xid), '1') FROM batches WHERE xid < pg_snapshot_xmin(pg_current_snapshot()))"
            await owner.execute(f"UPDATE batches_pruned SET last = {pruned}")
            await owner.execute("DELETE FROM batches WHERE xid <= (SELECT last FROM batches_pruned)")
        else:
            await owner.execute("DELETE FROM search_state")

    async def search(self, filter: str, limit: int, newest_first: bool, deadline_s: float) -> None:
        before = await self.place.plain(filter)
        found = await self.place.pages(filter, limit, newest_first, deadline_s)
        assert found == (before if newest_first else before[::-1])

    async def search_meanwhile(self, filter: str) -> None:
        """Rows arrive and the index is filled between the pages: those that were there are found all the same."""

        async def meanwhile() -> None:
            writer = self.chance.randrange(WRITERS)
            await self.write(writer, 2)
            await self.commit(self.chance.randrange(WRITERS))
            await self.fill(2)

        before = set(await self.place.plain(filter))
        found = await self.place.pages(filter, 3, meanwhile=meanwhile)
        after = set(await self.place.plain(filter))
        assert found == sorted(set(found), reverse=True)
        assert before <= set(found) <= after


@pytest.fixture(scope="module")
def lasting(cluster) -> Iterator[tuple[asyncio.Runner, Place]]:
    """A place that lasts for the module, and the loop that it lives in."""
    runner = asyncio.Runner()
    context = place(cluster.new_database())
    made = runner.run(context.__aenter__())
    yield runner, made
    runner.run(context.__aexit__(None, None, None))
    runner.close()


async def live(place: Place, deeds: list[tuple], seed: int) -> None:
    await place.owner.execute("TRUNCATE requests, batches, search_blocks, search_chunks, search_state")
    await place.owner.execute("UPDATE batches_pruned SET last = '0'")
    async with place.writing() as first, place.writing() as second, place.writing() as third:
        life = Life(place, [first, second, third], seed)
        for name, *values in deeds:
            await getattr(life, name.replace(" ", "_"))(*values)
        for filter in FILTERS:
            await life.search(filter, 5, True, 30.0)
        await life.search_meanwhile("NOT path:/rare")
        await life.search_meanwhile("method:POST OR path:/rare")


@given(st.lists(DEEDS, min_size=5, max_size=40), st.integers(0, 10**6))
@hypothesis_settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_search_gives_what_a_plain_select_gives(small, lasting, deeds, seed):
    """In order, each once, page by page, both ways, whatever is in blocks, in chunks, or in neither."""
    runner, place = lasting
    runner.run(live(place, deeds, seed))


def test_blocks_of_a_dump_do_not_count_where_it_is_restored(small, cluster):
    """Its transactions are not those of the new database, where others have the same numbers."""
    old, new = cluster.new_database(), cluster.new_database()

    async def before(place: Place) -> None:
        await place.record(*some_records(30, target="/old"))
        await place.fill()
        # Its cluster has had more transactions than the new one.
        await place.owner.execute("UPDATE search_state SET next = '1000000000'")

    async def after(place: Place) -> None:
        ids = await place.record(*some_records(30, target="/new"))
        for filter in ("path:/new", "path:/old", "path:/new OR path:/old"):
            assert await place.pages(filter, 7) == await place.plain(filter)
        await place.fill()
        assert await place.pages("path:/new", 7) == sorted(ids, reverse=True)
        assert await place.pages("path:/old", 7) == await place.plain("path:/old")

    play(old, before)
    copy_dump(cluster, old, new)
    play(new, after)


def test_a_search_that_has_no_time_goes_on_from_where_it_was(small, database):
    """Each answer has looked at something, says how far, and the next one goes on from there."""

    async def story(place: Place) -> None:
        await place.record(*some_records(60))
        found, cursor, answers, reached = [], None, 0, None
        while answers == 0 or cursor:
            page = await Search(place.database, parse("body:needle"), 50, cursor, deadline_s=0.0).run()
            found += [row["id"] for row in page.rows]
            answers += 1
            assert page.complete == (page.next is None)
            assert page.reached_ms is None or reached is None or page.reached_ms <= reached
            cursor, reached = page.next, page.reached_ms
        assert found == await place.plain("body:needle")
        assert answers > 3

    play(database, story)


def test_progress_only_grows(small, database):
    async def story(place: Place) -> None:
        await place.record(*some_records(200))
        await place.fill()
        for filter in ("body:nowhere", "method:POST -path:/*", "path:/rare body:nowhere"):
            for newest_first in (True, False):
                looking = Search(place.database, parse(filter), 50, newest_first=newest_first)
                seen = [looking.progress]
                while await looking._walk.step() is not None:
                    seen.append(looking.progress)
                    assert looking.so_far["progress"] == round(looking.progress, 3)
                assert seen == sorted(seen) and looking.progress == 1.0
                assert seen[0] == 0.0 and len(set(seen)) > 2  # just after midnight, today is next to nothing

    play(database, story)


def test_a_page_holds_no_more_bytes_than_it_may(database, monkeypatch):
    """Clients decide how long headers are. A page has one row at least, and the pages together have all."""
    monkeypatch.setattr(search, "PAGE_BYTES", 5000)

    async def story(place: Place) -> None:
        chance = random.Random(1)
        headers = [json.dumps([["X", "x" * size]]) for size in (10, 3000, 10, 9000, 10, 10, 4980, 10)]
        ids = await place.record(*(some_record(chance, NOW_MS - n, headers=each) for n, each in enumerate(headers)))
        found, cursor, sizes = [], None, []
        while not found or cursor:
            page = await Search(place.database, parse("header.x:x"), 50, cursor).run()
            found += [row["id"] for row in page.rows]
            sizes.append(sum(len(row["headers"]) for row in page.rows[:-1]))
            cursor = page.next
        assert found == sorted(ids, reverse=True)
        assert max(sizes) < 5000 and len(sizes) == 3

    play(database, story)


def test_bodies_are_read_only_when_the_filter_asks_for_them(database):
    """What is kept of large bodies beside the table stays there, unread."""

    async def story(place: Place) -> None:
        chance = random.Random(1)
        for number in range(20):
            await place.record(some_record(chance, NOW_MS - number, body=chance.randbytes(100_000)))

        async def read_aside(filter: str) -> int:
            before = await toast_blocks(place)
            await place.pages(filter, 50)
            return await toast_blocks(place) - before

        for filter in ("", "path:/*", "header.host:h", "size>1MB", "status:413", "NOT method:GET"):
            assert await read_aside(filter) == 0, filter
        assert await read_aside("body:nowhere") > 100

    play(database, story)


async def toast_blocks(place: Place) -> int:
    """How many blocks were read of what lies beside the table; the viewer's connections have told all they know."""
    for _ in range(database_module.CONNECTIONS):
        await place.database.fetch("SELECT pg_stat_force_next_flush()")
    await place.database.fetch("SELECT 1")
    return await place.owner.fetchval(
        "SELECT sum(toast_blks_read + toast_blks_hit) FROM pg_statio_user_tables WHERE relname LIKE 'requests%'"
    )


def test_a_search_opens_only_the_days_it_needs(database):
    """With a year of days, the newest page opens these days and a day in the past opens two."""

    async def story(place: Place) -> None:
        await place.owner.execute("SELECT make_day(current_date - ago) FROM generate_series(6, 365) AS ago")
        chance = random.Random(1)
        for ago in range(0, 360, 7):
            await place.record(*(some_record(chance, NOW_MS - ago * DAY_MS - n) for n in range(20)))
        await place.fill()
        half = NOW_MS - 180 * DAY_MS
        past = f"since:{utc_of(half - 2 * HOUR_MS)} until:{utc_of(half)}"
        cursor = some_id(half, chance)
        assert await days_opened(place, "", None) <= 12
        assert await days_opened(place, "path:/*", None) <= 12
        assert await days_opened(place, past, None) <= 2
        assert await days_opened(place, "", cursor) <= 2
        assert await days_opened(place, "", cursor, newest_first=False) <= 2
        assert await days_opened(place, f"id:{cursor}", None) <= 1

    play(database, story)


async def days_opened(place: Place, filter: str, cursor: UUID | None, newest_first: bool = True) -> int:
    """How many partitions are in the plan of the first window."""
    plans: list[str] = []

    class Explaining(Database):
        async def window(self, sql: str, values: list[object], within_s: float, wait_s: float) -> list[asyncpg.Record]:
            plans.append("\n".join(row[0] for row in await self.fetch(f"EXPLAIN {sql}", *values)))
            return await super().window(sql, values, within_s, wait_s)

    await Search(Explaining(place.database._pool), parse(filter), 5, cursor, newest_first).run()
    return len(set(re.findall(r" on (requests_\w+)", plans[0])))


def utc_of(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def test_a_search_that_is_cancelled_leaves_nothing_behind(cluster, database):
    """Its query ends on the server as well, and its connection is good for the next one."""

    async def story(place: Place) -> None:
        await place.record(some_record(random.Random(1)))
        assert len(await place.pages("", 5)) == 1
        for _ in range(2 * database_module.CONNECTIONS):
            with cluster.locked("requests", database.postgres_db):
                looking = asyncio.create_task(Search(place.database, parse("body:x"), 5).run())
                await until(lambda: waiting(place), 1)
                looking.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await looking
                await until(lambda: waiting(place), 0)
        assert len(await place.pages("", 5)) == 1

    play(database, story)


def test_no_more_than_four_searches_hold_connections(cluster, database):
    """The others wait for their turn, and whoever wants a single request does not wait for any of them."""

    async def story(place: Place) -> None:
        await place.record(some_record(random.Random(1)))
        await place.pages("", 5)
        with cluster.locked("requests", database.postgres_db):
            looking = [asyncio.create_task(Search(place.database, parse("body:x"), 5).run()) for _ in range(12)]
            await until(lambda: waiting(place), database_module.WALKS)
            assert await place.database.fetch(QUERIES["days"])
            assert await waiting(place) == database_module.WALKS
        for each in looking:
            assert (await each).complete

    play(database, story)


def test_a_search_that_waits_for_its_turn_in_vain_says_so(cluster, database, monkeypatch):
    async def story(place: Place) -> None:
        await place.record(some_record(random.Random(1)))
        await place.pages("", 5)
        with cluster.locked("requests", database.postgres_db):
            looking = [asyncio.create_task(Search(place.database, parse("body:x"), 5).run()) for _ in range(4)]
            await until(lambda: waiting(place), database_module.WALKS)
            with pytest.raises(Unavailable, match="too many searches at once"):
                await Search(place.database, parse("body:x"), 5, deadline_s=0.2).run()
        await asyncio.gather(*looking)

    play(database, story)


def test_a_window_that_takes_too_long_is_tried_with_fewer_rows(cluster, database, monkeypatch):
    """Some rows take longer than others: a search slows down, and is no failure."""
    monkeypatch.setattr(walk, "_PATIENCE_S", 0.2)

    async def story(place: Place) -> None:
        await place.record(*some_records(20))
        expected = await place.plain("body:needle")
        await place.pages("", 5)
        with cluster.locked("requests", database.postgres_db):
            looking = asyncio.create_task(Search(place.database, parse("body:needle"), 50, deadline_s=30).run())
            await until(lambda: waiting(place), 1)
            await asyncio.sleep(0.3)
        assert [row["id"] for row in (await looking).rows] == expected

    play(database, story)


def test_a_search_that_never_sees_a_row_says_that_it_takes_too_long(cluster, database, monkeypatch):
    monkeypatch.setattr(walk, "_PATIENCE_S", 0.1)

    async def story(place: Place) -> None:
        await place.pages("", 5)
        with cluster.locked("requests", database.postgres_db), pytest.raises(Unavailable, match="too long"):
            await Search(place.database, parse("body:x"), 5, deadline_s=0.3).run()
        assert (await Search(place.database, parse("body:x"), 5).run()).complete

    play(database, story)


async def waiting(place: Place) -> int:
    """How many of the viewer's connections are busy."""
    return await place.owner.fetchval(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND usename = 'gatebook_viewer'"
        " AND state = 'active'"
    )


async def until(count: Callable[[], Awaitable[int]], wanted: int) -> None:
    async with asyncio.timeout(30):
        while await count() != wanted:
            await asyncio.sleep(0.02)


def test_a_request_with_twenty_thousand_headers_is_found_by_each(database):
    """However large it is, it is one request in one block, and its neighbours are found as well."""

    async def story(place: Place) -> None:
        chance = random.Random(1)
        many = json.dumps([[f"X-{number}", str(number)] for number in range(20_000)])
        [odd] = await place.record(some_record(chance, NOW_MS - DAY_MS, headers=many))
        await place.record(*(some_record(chance, NOW_MS - DAY_MS - 600_000 + n) for n in range(1200)))
        await place.record(*(some_record(chance, NOW_MS - n) for n in range(1200)))
        await place.fill()
        assert await place.owner.fetchval("SELECT count(*) FROM search_blocks") > 1
        assert await place.pages("header.x-19999=19999", 5) == [odd]
        assert await place.pages("header.x-0=1", 5) == []
        assert await place.pages("path:/rare", 100) == await place.plain("path:/rare")

    play(database, story)
