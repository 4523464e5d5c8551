"""Blocks and chunks say "no" only when it is true, and seldom "maybe" for nothing."""

import itertools
import random
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st
from searched import DAY_MS, FILTERS, NOW_MS, some_id, some_records

from gatebook.filter import FIELDS, parse, terms
from gatebook.viewer.index.blocks import BLOCKS, HASHES, ROWS, Block, Chunk, Cutter, entries, maybe, walked
from gatebook.viewer.search.asked import Asked

TERMS = st.integers(-(2**31), 2**31 - 1)
SETS = st.lists(st.sets(TERMS, min_size=1, max_size=30), min_size=1, max_size=BLOCKS)


def laid(sets: list[set[int]]) -> Chunk:
    chunk = Chunk([len(each) for each in sets])
    for number, each in enumerate(sets):
        chunk.add(UUID(int=number), UUID(int=number + 1), number, each)
    return chunk


def asked(chunk: Chunk, terms: list[int]) -> dict[int, int]:
    """What candidates.sql reads of a chunk, and what is made of it."""
    slices = b""
    for term in terms:
        at, step = walked(term)
        for n in range(HASHES):
            place = (at + n * step) % chunk.positions * 16
            slices += chunk.bits[place : place + 16]
    return maybe(slices, terms)


@given(SETS)
def test_a_chunk_never_says_no_to_what_a_block_has(sets):
    chunk = laid(sets)
    for number, each in enumerate(sets):
        assert all(found >> number & 1 for found in asked(chunk, list(each)).values())


def test_a_chunk_seldom_says_maybe_to_what_a_block_has_not():
    """One time in 40,000; a block with far more terms than the others spoils only its own answers."""
    chance = random.Random(1)
    sets = [{chance.getrandbits(32) - 2**31 for _ in range(500 if number else 20_000)} for number in range(BLOCKS)]
    others = [chance.getrandbits(32) - 2**31 for _ in range(1000)]
    found = asked(laid(sets), others).values()
    assert sum((mask >> 1).bit_count() for mask in found) < len(others) * BLOCKS / 15_000


def test_a_chunk_tells_where_its_blocks_lie():
    chunk = laid([{1}, {2}, {3}])
    assert sorted(entries(chunk.blocks, 0b101)) == [(0, 1, 0), (2, 3, 2)]
    assert sorted(entries(chunk.blocks, -1)) == [(0, 1, 0), (1, 2, 1), (2, 3, 2)]


@given(st.lists(st.tuples(st.integers(0, 3 * DAY_MS), st.sets(TERMS, max_size=200)), max_size=60), st.booleans())
def test_each_request_is_in_a_block_that_has_its_terms(requests, apart):
    chance = random.Random(1)
    ordered = sorted((some_id(NOW_MS - age, chance), terms) for age, terms in requests)
    cutter, made = Cutter(apart), []
    for id, has in ordered:
        if full := cutter.add(id, has):
            made.append(full)
    made += [cutter.last] if cutter.last else []
    assert sum(block.rows for block in made) == len(ordered)
    for id, has in ordered:
        assert any(block.low <= id <= block.high and has <= block.terms for block in made)
    for before, after in itertools.pairwise(made):
        assert before.high < after.low


def test_blocks_are_short_in_rows_in_terms_and_when_others_lie_between_in_time():
    def cut(requests: list[tuple[UUID, set[int]]], apart: bool = False) -> list[int]:
        cutter = Cutter(apart)
        full = [cutter.add(id, has) for id, has in requests]
        return [block.rows for block in [*full, cutter.last] if block]

    ids = [some_id(NOW_MS + n, random.Random(n)) for n in range(2500)]
    assert cut([(id, {1}) for id in ids]) == [ROWS, ROWS, 2500 - 2 * ROWS]
    assert cut([(id, set(range(n * 10_000, n * 10_000 + 10_000))) for n, id in enumerate(ids[:4])]) == [1, 1, 1, 1]
    assert cut([(id, set(range(20_000))) for id in ids[:2]]) == [1, 1]
    minutes = [(some_id(NOW_MS + n * 61_000, random.Random(n)), {1}) for n in range(3)]
    assert cut(minutes) == [3]
    assert cut(minutes, apart=True) == [1, 1, 1]


def test_whatever_a_filter_asks_of_blocks_is_understood():
    """And those that a request is in are chosen, whenever it matches: their terms are all of its own and others."""
    for filter in [*FILTERS, *(field.example for field in FIELDS)]:
        asking = Asked(parse(filter), first=1)
        assert asking.chosen(dict.fromkeys(asking.terms, 0b1)) & 0b1, filter
    asking = Asked(parse("(method:POST path:/a OR client:192.0.2.0/24) header.a:*"), first=7)
    assert asking.sql and "$7" in asking.sql
    assert asking.chosen(dict.fromkeys(asking.terms, 0)) == 0


def test_a_request_is_chosen_by_its_own_terms():
    for record in some_records(50):
        row = {**record._asdict(), "replica": "webapp-2"}
        asking = Asked(parse(f"method:{record.method} client:{record.client} replica:webapp-2"), first=1)
        having = {term: 1 if term in terms(row) else 0 for term in asking.terms}
        assert asking.chosen(having) == 1


def test_a_block_lies_from_its_lowest_to_its_highest():
    ids = [UUID(int=n) for n in (5, 3, 9)]
    block = Block(ids[0], ids[0])
    for id in ids:
        block.add(id, {id.int})
    assert (block.low, block.high, block.rows, block.terms) == (UUID(int=3), UUID(int=9), 3, {3, 5, 9})
