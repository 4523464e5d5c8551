"""Forgetting, on a real PostgreSQL: what is found is gone for good, the rest is as it was."""

import asyncio
import json
import random
import time
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from lines import id_of, line
from searched import FILTERS, NOW_MS, Place, play, some_record, some_records

from gatebook.app.writer import Writer
from gatebook.db.queries import QUERIES
from gatebook.filter import parse
from gatebook.keeping import forgetting as module
from gatebook.keeping import glance as glances
from gatebook.keeping.forgetting import Forgetting, glance
from gatebook.keeping.keeper import keeper
from gatebook.settings import Settings

Patch = pytest.MonkeyPatch
CHANCE = random.Random(7)


@pytest.fixture(autouse=True)
def no_log_to_wait_for(monkeypatch: Patch) -> None:
    monkeypatch.setattr(module, "_SETTLE_S", 0.0)


async def forget(place: Place, filter: str, reason: str | None = None, **options: Any) -> Forgetting:
    settings = options.pop("settings", place.settings)
    async with keeper(settings) as connection:
        forgetting = Forgetting(settings, connection, parse(filter), reason)
        await forgetting.run(place.database, options.pop("newest", None), options.pop("tell", lambda done: None))
        await forgetting.vacuum()
        return forgetting


async def ids(place: Place, table: str) -> set[UUID]:
    return {row["id"] for row in await place.owner.fetch(f"SELECT id FROM {table}")}


async def trail(place: Place) -> list[tuple[Any, ...]]:
    return [
        tuple(row) for row in await place.owner.fetch("SELECT act, who, about, requests, reason FROM trail ORDER BY id")
    ]


@pytest.mark.parametrize("filled", [True, False])
def test_what_a_filter_finds_is_gone_and_the_rest_is_found_as_before(
    database: Settings, monkeypatch: Patch, filled: bool
) -> None:
    """For each kind of filter, one after the other; the search index and the counts are right afterwards."""
    monkeypatch.setattr(module, "ROWS", 50)
    monkeypatch.setattr(module, "PORTION", 120)

    async def story(place: Place) -> None:
        await place.record(*some_records(3000))
        if filled:
            await place.fill()
        for filter in FILTERS[1:]:
            there, wanted, noted = (
                await ids(place, "requests"),
                set(await place.plain(filter)),
                await ids(place, "forgotten"),
            )
            done = await forget(place, filter)
            assert done.requests == len(wanted)
            assert await ids(place, "requests") == there - wanted
            assert await ids(place, "forgotten") == noted | wanted
            assert await place.pages(filter, 20) == []
        for filter in FILTERS:
            assert await place.pages(filter, 50) == await place.plain(filter)
        await place.fill()
        assert await place.pages("path:/*", 50) == await place.plain("path:/*")

    play(database, story)


def test_the_trail_has_the_fields_and_never_the_values(database: Settings) -> None:

    async def story(place: Place) -> None:
        await place.record(*some_records(40, target="/hunter2"), *some_records(3, target="/other"))
        await forget(place, "path:/hunter2 -header.x-hunter2:* (json.hunter2:1 OR NOT hunter3)", "asked for")
        assert await trail(place) == [("forgotten", "operator", "header json path text", 40, "asked for")]
        await forget(place, "path:/hunter2")  # nothing is done, so nothing is noted
        await forget(place, "path:/other")
        assert (await trail(place))[1:] == [("forgotten", "operator", "path", 3, None)]
        assert await place.owner.fetchval("SELECT count(DISTINCT act) FROM forgotten") == 2

    play(database, story)


def test_wherever_it_is_cut_short_what_is_gone_is_noted_and_the_same_command_goes_on(
    database: Settings, monkeypatch: Patch
) -> None:
    monkeypatch.setattr(module, "ROWS", 10)
    monkeypatch.setattr(module, "PORTION", 30)

    async def story(place: Place) -> None:
        await place.record(*some_records(200, target="/gone"), *some_records(20, target="/stays"))
        all_of_it = await ids(place, "requests")
        cut_in_between = 0
        for cut_after_s in (0.01, 0.02, 0.03, 0.05, 0.1, 0.15, 0.2, 0.3):
            forgetting = asyncio.ensure_future(forget(place, "path:/gone"))
            await asyncio.sleep(cut_after_s)
            forgetting.cancel()
            await asyncio.wait({forgetting})
            gone = all_of_it - await ids(place, "requests")
            assert await ids(place, "forgotten") == gone
            assert sum(line[3] for line in await trail(place)) == len(gone)
            marks = await place.owner.fetchval("SELECT count(*) FROM batches WHERE ids = '{}'")
            assert marks * 10 >= len(gone)
            cut_in_between += 0 < len(gone) < 200
        assert cut_in_between
        await forget(place, "path:/gone")
        assert len(await ids(place, "requests")) == 20 and len(await ids(place, "forgotten")) == 200

    play(database, story)


def test_what_came_after_one_has_looked_is_not_touched(database: Settings) -> None:

    async def story(place: Place) -> None:
        records = [some_record(CHANCE, NOW_MS - 5000 + number, target="/a?b") for number in range(10)]
        await place.record(*records)
        seen = await glance(place.database, parse("path:/a"), lambda done: None)
        assert (seen.requests, str(seen.newest), str(seen.oldest)) == (10, records[9].id, records[0].id)
        assert seen.paths == {"/a": 10} and seen.replicas == {"webapp-2": 10}
        await place.record(some_record(CHANCE, NOW_MS, target="/a"))
        assert (await forget(place, "path:/a", newest=seen.newest)).requests == 10
        assert len(await ids(place, "requests")) == 1

    play(database, story)


def test_what_batches_say_of_them_for_the_page_goes_first(database: Settings, monkeypatch: Patch) -> None:
    """Also when the rows stay, because it was cut short there."""

    async def never(self: Forgetting, ids: object) -> None:
        raise asyncpg.QueryCanceledError("cut short")

    async def story(place: Place) -> None:
        writer = Writer(place.settings)
        await writer.start()
        deadline = asyncio.get_running_loop().time() + 30
        for target in ("/a", "/b", "/a"):
            records = some_records(30, target=target)
            for record in records:
                await writer.write(
                    [record._replace(id=str(UUID(int=UUID(record.id).int ^ CHANCE.getrandbits(60))))], False, deadline
                )
        with monkeypatch.context() as patch:
            patch.setattr(Forgetting, "_delete", never)
            with pytest.raises(Exception, match="cut short"):
                await forget(place, "path:/a")
        said = [row[0] for row in await place.owner.fetch("SELECT newest FROM batches WHERE newest IS NOT NULL")]
        assert len(said) == 30 and all(json.loads(each)[0][2] == "/b" for each in said)
        assert await place.owner.fetchval("SELECT count(*) FROM requests") == 90
        await writer.close()

    play(database, story)


def test_dead_rows_go_from_the_disk_also_those_of_one_that_was_cut_short(
    database: Settings, monkeypatch: Patch
) -> None:

    async def dead(place: Place) -> int:
        await place.owner.execute("SELECT pg_stat_force_next_flush()")
        found: int = await place.owner.fetchval(
            "SELECT sum(n_dead_tup) FROM pg_stat_user_tables WHERE relname LIKE 'requests%' OR relname = 'batches'"
        )
        return found

    async def story(place: Place) -> None:
        await place.record(*some_records(300))
        with monkeypatch.context() as patch:
            patch.setattr(Forgetting, "vacuum", lambda self: asyncio.sleep(0))
            await forget(place, "path:/a/*")
        assert await dead(place) > 0
        await forget(place, "path:/a/*")
        assert await dead(place) == 0
        await forget(place, "path:/*")
        assert await dead(place) == 0

    play(database, story)


def test_captures_and_readers_do_not_wait_for_it_and_drains_look_elsewhere(database: Settings) -> None:
    """In the middle of a deletion, which somebody holds up, requests are recorded and found."""

    async def story(place: Place) -> None:
        gone = await place.record(*some_records(50, target="/gone"))
        async with place.writing() as capture, place.owner.transaction():
            await place.owner.execute("SELECT FROM requests WHERE id = $1 FOR UPDATE", gone[7])
            forgetting = asyncio.ensure_future(forget(place, "path:/gone"))
            async with asyncio.timeout(30):
                while await capture.fetchval(QUERIES["hold_off_forgetting"]):
                    await asyncio.sleep(0.01)
            began = time.monotonic()
            await place.record(*some_records(20, target="/new"))
            assert len(await place.pages("path:/new", 50)) == 20
            assert len(await place.pages("path:/gone", 100)) == 50
            assert time.monotonic() - began < 5
        assert (await forgetting).requests == 50

    play(database, story)


def test_the_log_is_looked_through_before_the_rows_go(database: Settings, tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    log.write_bytes(b"".join(line(number, NOW_MS) for number in range(10)))

    async def story(place: Place) -> None:
        await place.record(*(some_record(CHANCE, id=id_of(number, NOW_MS), target="/x") for number in range(5)))
        done = await forget(place, "path:/x", settings=replace(place.settings, access_log=log))
        assert (done.requests, done.lines, done.log_error) == (5, 5, None)
        assert [f"GET /{number} HTTP/1.1" in log.read_text() for number in range(10)] == [False] * 5 + [True] * 5
        await place.record(some_record(CHANCE, id=id_of(7, NOW_MS), target="/x"))
        done = await forget(place, "path:/x", settings=replace(place.settings, access_log=tmp_path / "nowhere"))
        assert done.requests == 1 and isinstance(done.log_error, FileNotFoundError)

    play(database, story)


def test_a_line_that_is_written_late_is_waited_for(database: Settings, tmp_path: Path) -> None:
    """An answer that is slow to leave is logged when it has left; one that came long ago has no line any more."""
    log = tmp_path / "access.log"
    now_ms = time.time_ns() // 1_000_000
    log.write_bytes(line(1, now_ms))

    async def story(place: Place) -> None:
        old = some_record(CHANCE, id=id_of(3, now_ms - 3_600_000), target="/x")
        await place.record(*(some_record(CHANCE, id=id_of(number, now_ms), target="/x") for number in (1, 2)), old)
        forgetting = asyncio.ensure_future(forget(place, "path:/x", settings=replace(place.settings, access_log=log)))
        async with asyncio.timeout(30):
            while await ids(place, "requests"):
                await asyncio.sleep(0.01)
        assert not forgetting.done()
        log.write_bytes(log.read_bytes() + line(2, now_ms))
        async with asyncio.timeout(30):
            assert ((await forgetting).requests, (await forgetting).lines) == (3, 2)
        assert "GET /" not in log.read_text()

    play(database, story)


def test_the_planner_knows_no_value_of_them_any_more(database: Settings) -> None:
    async def story(place: Place) -> None:
        await place.record(*some_records(300, target="/gone?a=victim"), *some_records(100, target="/stays"))
        await place.owner.execute("ANALYZE")
        known = "SELECT string_agg(stats::text, '') FROM pg_stats AS stats WHERE tablename ~ '^requests|^batches'"
        assert "victim" in await place.owner.fetchval(known)
        await forget(place, "path:/gone")
        assert "victim" not in await place.owner.fetchval(known) and "/stays" in await place.owner.fetchval(known)
        await forget(place, "path:/stays")
        assert "/stays" not in await place.owner.fetchval(known)

    play(database, story)


def test_what_is_told_at_a_glance_is_bounded(monkeypatch: Patch) -> None:
    monkeypatch.setattr(glances, "_VALUES", 3)
    seen = glances.Glance()
    for number in range(10):
        seen.add(UUID(int=100 - number), "webapp-1", f"/{number % 5}")
    assert (seen.requests, seen.newest, seen.oldest) == (10, UUID(int=100), UUID(int=91))
    assert seen.replicas == {"webapp-1": 10} and seen.paths == {"/0": 2, "/1": 2, "/2": 2}
