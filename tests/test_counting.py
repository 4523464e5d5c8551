"""Counts over time and by a column: exact, added up in as many answers as it takes."""

import random

import asyncpg
import pytest
from searched import FILTERS, HOUR_MS, NOW_MS, Place, play, some_record, some_records

from gatebook.filter import Parameters, condition, parse
from gatebook.filter.sql import PATH
from gatebook.viewer.database import Database
from gatebook.viewer.index import blocks, filling
from gatebook.viewer.search import counting, walk
from gatebook.viewer.search.counting import BY, Count, Counted

COLUMNS = {"path": PATH, "client": "host(client)", None: "NULL"}


@pytest.fixture
def small(monkeypatch):
    """A few rows make many blocks and windows."""
    monkeypatch.setattr(filling, "ROWS", 4)
    monkeypatch.setattr(filling, "BLOCKS", 3)
    monkeypatch.setattr(blocks, "ROWS", 4)
    monkeypatch.setattr(counting, "_FIRST_ROWS", 3)
    monkeypatch.setattr(walk, "_MOST_ROWS", 16)
    monkeypatch.setattr(counting, "_ROWS_OF_STEPS", 16)


async def plain(place: Place, filter: str, by: str | None, step_s: int | None) -> dict:
    """The same by one statement over all rows: how many, and how many bytes, by start and value."""
    parameters = Parameters()
    where = condition(parse(filter), parameters)
    start = f"floor(extract(epoch FROM received_at) / {step_s})::bigint * {step_s * 1000}" if step_s else "NULL"
    rows = await place.owner.fetch(
        f"SELECT {start} AS start, {COLUMNS.get(by, by)} AS value, count(*) AS count, sum(body_size) AS bytes"
        f" FROM requests WHERE {where} GROUP BY 1, 2",
        *parameters.values,
    )
    return {(row["start"], row["value"]): (row["count"], row["bytes"]) for row in rows}


def added(answers: list[Counted]) -> dict:
    total: dict = {}
    for answer in answers:
        for group in answer.groups:
            count, size = total.get((group.start_ms, group.value), (0, 0))
            total[group.start_ms, group.value] = (count + group.count, size + group.bytes)
    return total


@pytest.mark.parametrize("filled", [False, True])
def test_counts_are_those_of_a_plain_select(small, database, filled):
    """By each column and by none, over time and not, whatever is in blocks."""

    async def story(place: Place) -> None:
        await place.record(*some_records(150))
        if filled:
            await place.fill()
        await place.record(*some_records(20, target="/late"))
        for filter in FILTERS:
            for by, step_s in [(None, None), (None, 3600), *((each, None) for each in BY), ("path", 60), ("status", 1)]:
                counted = await Count(place.database, parse(filter), by, step_s).run()
                assert added([counted]) == await plain(place, filter, by, step_s), (filter, by, step_s)
                assert counted.others == 0 and counted.complete and counted.next is None

    play(database, story)


def test_a_count_that_has_no_time_is_the_first_part_of_the_whole(small, database):
    async def story(place: Place) -> None:
        await place.record(*some_records(120))
        await place.fill()
        answers, cursor = [], None
        while not answers or cursor:
            answer = await Count(place.database, parse("NOT path:/rare"), "path", 60, cursor, deadline_s=0.0).run()
            assert answer.complete == (answer.next is None) == (answer.reached_ms is None)
            answers.append(answer)
            cursor = answer.next
        assert len(answers) > 3
        assert added(answers) == await plain(place, "NOT path:/rare", "path", 60)

    play(database, story)


def test_the_most_frequent_values_have_groups_and_the_others_a_number(database):
    """Groups come by start, and the largest first."""

    async def story(place: Place) -> None:
        for number in range(1, 6):
            await place.record(*some_records(number * 10, target=f"/{number}"))
        counting = Count(place.database, parse(""), "path", None, most=2)
        counted = await counting.run()
        assert [(group.value, group.count) for group in counted.groups] == [("/5", 50), ("/4", 40)]
        assert counted.others == 60
        assert counting.so_far == {"progress": 1.0, "reached": None, "found": 150}
        over_time = await Count(place.database, parse(""), "path", 3600, most=2).run()
        assert over_time.others == 60
        starts = [group.start_ms for group in over_time.groups]
        assert starts == sorted(starts) and {group.value for group in over_time.groups} == {"/4", "/5"}

    play(database, story)


def test_too_many_groups_end_a_count_and_the_next_one_goes_on(small, database, monkeypatch):
    """Whoever asks for every second of a year cannot fill the memory."""
    monkeypatch.setattr(counting, "_GROUPS", 20)

    async def story(place: Place) -> None:
        await place.record(*some_records(150))
        answers, cursor = [], None
        while not answers or cursor:
            answers.append(await Count(place.database, parse(""), "path", 1, cursor).run())
            cursor = answers[-1].next
            assert len(answers[-1].groups) < 40
        assert len(answers) > 2
        assert added(answers) == await plain(place, "", "path", 1)

    play(database, story)


def test_values_beyond_a_thousand_in_a_window_are_counted_among_the_others(database, monkeypatch):
    monkeypatch.setattr(counting, "_VALUES", 3)

    async def story(place: Place) -> None:
        for number in range(1, 6):
            await place.record(*some_records(number * 10, target=f"/{number}"))
        counted = await Count(place.database, parse(""), "path", None).run()
        assert [(group.value, group.count) for group in counted.groups] == [("/5", 50), ("/4", 40), ("/3", 30)]
        assert counted.others == 30

    play(database, story)


def test_a_value_that_is_frequent_in_sum_alone_is_counted_in_every_part(small, database):
    """A part of a count tells all of its values, not the most frequent ones of that part."""

    async def story(place: Place) -> None:
        targets = ["/steady" if number % 5 == 0 else f"/{number // 2}" for number in range(200)]
        records = some_records(200)
        await place.record(*(record._replace(target=target) for record, target in zip(records, targets, strict=True)))
        answers = [await Count(place.database, parse(""), "path", None, deadline_s=0, most=3).run()]
        while answers[-1].next:
            count = Count(place.database, parse(""), "path", None, answers[-1].next, deadline_s=0, most=3)
            answers.append(await count.run())
        assert len(answers) > 3
        assert added(answers)[None, "/steady"][0] == 40

    play(database, story)


def test_an_answer_has_some_thousand_groups_however_many_there_are(database, monkeypatch):
    """Each request of another second; the next answer goes on."""
    monkeypatch.setattr(counting, "_GROUPS", 500)
    monkeypatch.setattr(counting, "_FIRST_ROWS", 100)
    monkeypatch.setattr(counting, "_ROWS_OF_STEPS", 200)

    async def story(place: Place) -> None:
        chance = random.Random(1)
        await place.record(*(some_record(chance, NOW_MS - number * 1000) for number in range(3000)))
        answers, cursor = [], None
        while not answers or cursor:
            answers.append(await Count(place.database, parse(""), None, 1, cursor).run())
            cursor = answers[-1].next
        assert max(len(answer.groups) for answer in answers) < 700
        assert added(answers) == await plain(place, "", None, 1)

    play(database, story)


def test_a_count_of_what_is_rare_reads_no_more_than_the_blocks_that_may_have_it(small, database):
    """The planner must not read all that lies between them and then throw it away."""
    plans: list[str] = []

    class Explaining(Database):
        async def window(self, sql: str, values: list[object], within_s: float, wait_s: float) -> list[asyncpg.Record]:
            if "generate_subscripts" in sql and "requests" in sql:
                plans.append("\n".join(row[0] for row in await self.fetch(f"EXPLAIN {sql}", *values)))
            return await super().window(sql, values, within_s, wait_s)

    async def story(place: Place) -> None:
        chance = random.Random(1)
        for age_ms in (0, HOUR_MS):
            await place.record(some_record(chance, NOW_MS - age_ms, target="/seldom"))
            await place.record(*(some_record(chance) for _ in range(150)))
        await place.fill()
        counted = await Count(Explaining(place.database._pool), parse("path:/seldom"), None, None).run()
        assert [group.count for group in counted.groups] == [2]
        assert plans and not any("Join Filter" in plan or "Seq Scan" in plan for plan in plans)

    play(database, story)
