"""The audit's verdict, on a real database, real spools and logs as nginx writes them."""

import asyncio
import contextlib
import itertools
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from gate import Gate
from hypothesis import given, settings
from hypothesis import strategies as st
from lines import id_of, line
from postgres import Cluster

from gatebook.settings import Settings
from gatebook.viewer.audit import Audit, access_log, audit, recorded, repeats
from gatebook.viewer.audit.repeats import Repeats
from gatebook.viewer.audit.verdict import OUTCOMES, Verdict

HOUR_MS = 3600 * 1000
DAY_MS = 24 * HOUR_MS
KEPT, DROPPED = 10, 20  # days ago: one that has a partition, one that had


@pytest.fixture(autouse=True, scope="module")
def at_once() -> Iterator[None]:
    """Nobody else writes these logs, so there is nothing to wait for; blocks are small, so that there are several."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(audit, "SETTLE_S", 0.0)
        patch.setattr(access_log, "_BLOCK_BYTES", 2000)
        patch.setattr(access_log, "_TORN_PATIENCE_S", 0.0)
        yield


@pytest.fixture(scope="module")
def shared(cluster: Cluster) -> Iterator[Gate]:
    """Beside the days about now, one long ago that has a partition, and one that had."""
    gate = Gate(cluster.new_database())
    for days in (KEPT, DROPPED):
        gate.run(gate.owner.execute("SELECT make_day((now() AT TIME ZONE 'UTC')::date - $1::int)", days))
    dropped = datetime.fromtimestamp(gate.now_ms / 1000 - DROPPED * 86400, UTC)
    gate.run(gate.owner.execute(f"DROP TABLE requests_{dropped:%Y%m%d}"))
    yield gate
    gate.close()


@pytest.fixture
def gate(shared: Gate) -> Gate:
    shared.clear()
    return shared


def seen(verdict: Verdict) -> dict[str, int]:
    """Its counts, but for the zeros."""
    return {name: count for name, count in verdict.counts.items() if count}


def several(gate: Gate, count: int = 20) -> list[int]:
    """Times of so many requests, the last of them a minute ago."""
    return [gate.now_ms - 60_000 - number * 7 for number in range(count)][::-1]


def test_all_that_was_acknowledged_and_is_in_the_table_is_proven(gate: Gate) -> None:
    times = several(gate)
    gate.write(*(line(number, ms) for number, ms in enumerate(times)))
    gate.record(*(id_of(number, ms) for number, ms in enumerate(times)))
    verdict = gate.audit()
    assert verdict.proven
    assert seen(verdict) == {"acknowledged": 20, "recorded": 20}
    assert (verdict.from_ms, verdict.log_lines, verdict.log_bytes) == (times[0], 20, gate.log.stat().st_size)
    assert "Of 20 requests acknowledged" in verdict.sentence()
    assert "none is missing and none came twice: 20 in the table." in verdict.sentence()


def test_one_that_is_gone_from_the_table_is_missing_and_told_of(gate: Gate) -> None:
    times = several(gate)
    gate.write(*(line(number, ms) for number, ms in enumerate(times)))
    gate.record(*(id_of(number, ms) for number, ms in enumerate(times)))
    gone = id_of(7, times[7])
    gate.run(gate.owner.execute("DELETE FROM requests WHERE id = $1", gone))
    verdict = gate.audit()
    assert not verdict.proven
    assert seen(verdict) == {"acknowledged": 20, "recorded": 19, "missing": 1}
    [told] = verdict.missing
    assert told == {
        "id": gone,
        "received_at": datetime.fromtimestamp(times[7] / 1000, UTC).isoformat(timespec="milliseconds")[:-6] + "Z",
        "request": "GET /7 HTTP/1.1",
        "peer": "127.0.0.1",
        "replica": "webapp-1",
        "durability": "committed",
        "status": 200,
    }
    assert "1 is missing" in verdict.sentence()


def test_of_many_that_are_missing_a_hundred_are_told_of(gate: Gate) -> None:
    gate.write(*(line(number, ms) for number, ms in enumerate(several(gate, 150))))
    verdict = gate.audit()
    assert (verdict.counts["missing"], len(verdict.missing)) == (150, 100)


def test_what_lies_in_a_spool_is_spooled(gate: Gate) -> None:
    [first, second] = several(gate, 2)
    spool = gate.spool(id_of(0, first))
    gate.write(*(line(n, ms, durability="spooled", spool=spool) for n, ms in enumerate([first, second])))
    verdict = gate.audit()
    assert seen(verdict) == {"acknowledged": 2, "spooled": 1, "missing": 1}
    assert "1 in a spool" in verdict.sentence()


def test_what_went_into_a_spool_that_cannot_be_seen_is_unknown_and_said_so(gate: Gate) -> None:
    [ms] = several(gate, 1)
    spool = gate.spool(id_of(5, ms))
    gate.write(line(0, ms, durability="spooled", spool="0123456789abcdef"))
    assert seen(gate.audit()) == {"acknowledged": 1, "unknown": 1}
    assert gate.audit().proven
    assert "which is not proven" in gate.audit().sentence()
    gate.write(line(0, ms, durability="spooled", spool=spool), line(1, ms))
    assert seen(gate.audit()) == {"acknowledged": 2, "missing": 2}
    blind = replace(gate.settings, spool=gate.settings.spool / "nowhere")
    assert seen(gate.audit(settings=blind)) == {"acknowledged": 2, "missing": 1, "unknown": 1}
    for file in gate.settings.spool.glob("*.sqlite"):
        file.write_bytes(b"no database" * 1000)
    assert seen(gate.audit()) == {"acknowledged": 2, "missing": 1, "unknown": 1}


def test_what_is_drained_while_it_is_looked_for_is_recorded(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not in the table yet, and then not in the spool any more."""
    times = several(gate, 3)
    gate.write(*(line(number, ms, durability="spooled", spool="x") for number, ms in enumerate(times)))
    look = audit._seen_in_spools

    def drained_first(folder: Path, ids: set[str]) -> tuple[str | None, set[str]]:
        asyncio.run_coroutine_threadsafe(gate._insert(tuple(ids)), gate._runner.get_loop()).result(10)
        return look(folder, ids)

    monkeypatch.setattr(audit, "_seen_in_spools", drained_first)
    assert seen(gate.audit()) == {"acknowledged": 3, "recorded": 3}


def test_what_is_drained_after_it_was_seen_in_the_spool_has_its_line(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It counts as spooled, and its row is not taken for one that nobody acknowledged."""
    times = several(gate, 3)
    spool = gate.spool(*(id_of(number, ms) for number, ms in enumerate(times)))
    gate.write(*(line(number, ms, durability="spooled", spool=spool) for number, ms in enumerate(times)))
    count_repeats = Audit._count_repeats

    async def drained_before(self: Audit, log: access_log.Log) -> None:
        await gate._insert(tuple(id_of(number, ms) for number, ms in enumerate(times)))
        await count_repeats(self, log)

    monkeypatch.setattr(Audit, "_count_repeats", drained_before)
    assert seen(gate.audit()) == {"acknowledged": 3, "spooled": 3}


def test_what_was_dropped_with_its_day_is_expired(gate: Gate) -> None:
    kept, dropped = gate.now_ms - KEPT * DAY_MS, gate.now_ms - DROPPED * DAY_MS
    never = gate.now_ms - 400 * DAY_MS  # of a day that never had a partition
    gate.write(line(0, never), line(1, dropped), line(2, kept), line(3, kept))
    gate.record(id_of(2, kept))
    verdict = gate.audit()
    assert seen(verdict) == {"acknowledged": 4, "recorded": 1, "expired": 1, "missing": 2}
    assert [told["request"] for told in verdict.missing] == ["GET /0 HTTP/1.1", "GET /3 HTTP/1.1"]


def test_what_an_operator_had_forgotten_is_missed_by_nobody_wherever_a_copy_lies(gate: Gate) -> None:
    times = several(gate, 4)
    ids = [id_of(number, ms) for number, ms in enumerate(times)]
    gate.write(*(line(number, ms) for number, ms in enumerate(times)))
    gate.record(ids[0])
    gate.forget(*ids[:3])  # the first one came once more, and is there
    gate.spool(ids[2])
    verdict = gate.audit()
    assert seen(verdict) == {"acknowledged": 4, "recorded": 1, "forgotten": 2, "missing": 1}
    assert [told["id"] for told in verdict.missing] == [ids[3]]
    assert "2 forgotten since, as the trail tells" in verdict.sentence()


def test_refusals_and_retries_are_counted_and_prove_nothing(gate: Gate) -> None:
    times = several(gate, 6)
    gate.write(
        line(0, times[0], upstreams="unix:/a, unix:/b"),
        line(1, times[1], status=413, upstreams="unix:/a : unix:/b"),
        line(2, times[2], status=503, durability="", upstreams="unix:/a, unix:/b : unix:/a"),
        line(3, times[3], status=400, durability="", upstreams=""),
        line(4, times[4], status=499, durability="committed"),  # its client had gone
        line(5, times[5], status=504, durability=""),
    )
    gate.record(id_of(0, times[0]), id_of(1, times[1]), id_of(5, times[5]))  # the last one was written all the same
    assert seen(gate.audit()) == {"acknowledged": 2, "recorded": 2, "retried": 3, "refused": 2, "rejected": 1}


def test_rows_without_a_line_are_unlogged(gate: Gate) -> None:
    times = several(gate, 9)
    gate.write(*(line(number, times[number]) for number in range(5)))
    gate.record(*(id_of(number, ms) for number, ms in enumerate(times)))
    gate.record(id_of(100, times[0] - 1), id_of(101, gate.now_ms + 60_000))  # before the log, and after the span
    verdict = gate.audit()
    assert verdict.proven
    assert seen(verdict) == {"acknowledged": 5, "recorded": 5, "unlogged": 4}
    assert "4 rows have no line in the log" in verdict.sentence()


def test_where_the_log_was_pruned_its_first_seconds_name_no_row(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was written beside them, by another process of the load balancer, may stand in the piece that is gone."""
    monkeypatch.setattr(audit, "SETTLE_S", 0.1)
    times = [gate.now_ms - 60_000 + number * 50 for number in range(5)]  # 0.2 s
    gate.log.with_name("access.log.1").write_bytes(line(0, times[0]))
    gate.write(line(2, times[2]), line(4, times[4]))
    gate.record(*(id_of(number, ms) for number, ms in enumerate(times)))
    assert seen(gate.audit()) == {"acknowledged": 3, "recorded": 3, "unlogged": 1}  # the fourth, not the second


def test_an_id_that_was_acknowledged_twice_is_found_however_far_apart(gate: Gate) -> None:
    times = several(gate, 200)
    lines = [line(number, ms) for number, ms in enumerate(times)]
    gate.write(*lines, lines[0], lines[0], lines[150])
    gate.record(*(id_of(number, ms) for number, ms in enumerate(times)))
    verdict = gate.audit()
    assert not verdict.proven
    assert seen(verdict) == {"acknowledged": 203, "recorded": 203, "twice": 3}
    assert verdict.twice == sorted([id_of(0, times[0]), id_of(150, times[150])])


def test_a_row_that_is_there_twice_is_found(database: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """It cannot be, so the key that forbids it is taken away."""
    monkeypatch.setattr(recorded, "_ROWS_A_QUESTION", 3)
    with contextlib.closing(Gate(database)) as gate:
        gate.run(gate.owner.execute("ALTER TABLE requests DROP CONSTRAINT requests_pkey"))
        times = several(gate, 8)
        ids = [id_of(number, ms) for number, ms in enumerate(times)]
        gate.write(*(line(number, ms) for number, ms in enumerate(times)))
        gate.record(*ids, ids[2], ids[2], ids[7])
        verdict = gate.audit()
    assert not verdict.proven
    assert seen(verdict) == {"acknowledged": 8, "recorded": 8, "twice": 3}


def test_only_the_span_is_audited(gate: Gate) -> None:
    old, new = gate.now_ms - 2 * HOUR_MS, gate.now_ms - HOUR_MS // 2
    gate.write(line(0, old), line(1, new))
    gate.record(id_of(1, new), id_of(2, old))
    verdict = gate.audit(3600)
    assert seen(verdict) == {"acknowledged": 1, "recorded": 1}
    assert abs(verdict.from_ms - (time.time_ns() // 10**6 - HOUR_MS)) < 60_000
    assert "does not reach back" not in verdict.sentence()
    verdict = gate.audit(10 * 3600)
    assert (verdict.from_ms, verdict.counts["missing"]) == (old, 1)
    assert "the log does not reach back to" in verdict.sentence()


def test_the_span_begins_with_the_earliest_line_wherever_that_stands(gate: Gate) -> None:
    """Each process of the load balancer writes what it has when it likes."""
    times = several(gate, 3)
    gate.write(line(2, times[2]), line(1, times[1]), line(0, times[0]))
    gate.record(*(id_of(number, ms) for number, ms in enumerate(times)))
    verdict = gate.audit()
    assert (verdict.from_ms, seen(verdict)) == (times[0], {"acknowledged": 3, "recorded": 3})


def test_where_nothing_was_acknowledged_nothing_is_claimed(gate: Gate) -> None:
    gate.write()
    verdict = gate.audit()
    assert verdict.proven and seen(verdict) == {}
    assert "there was nothing to prove" in verdict.sentence()


def test_a_log_that_is_not_there_is_an_error(gate: Gate) -> None:
    with pytest.raises(FileNotFoundError):
        gate.audit()


def test_beyond_what_it_can_tell_apart_it_says_so(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repeats, "_WORDS", 1)
    monkeypatch.setattr(repeats, "_MOST_SUSPECTS", 10)
    times = several(gate, 100)
    gate.write(*(line(number, ms) for number, ms in enumerate(times)))
    gate.record(*(id_of(number, ms) for number, ms in enumerate(times)))
    verdict = gate.audit()
    assert seen(verdict) == {"acknowledged": 100, "recorded": 100}
    assert "too many lines" in verdict.sentence()


@given(st.lists(st.integers(0, 2**48 - 1), max_size=200), st.integers(1, 4))
def test_an_id_that_came_before_is_always_suspected(noises: list[int], words: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(repeats, "_WORDS", words)
        found = Repeats()
        ids = [f"01234567-89ab-7def-8000-{noise:012x}" for noise in [*noises, *noises[::3]]]
        for id in ids:
            found.add(id)
    assert found.suspects >= {id for id, times in Counter(ids).items() if times > 1}


# Against a plain reconciliation, all in memory


@dataclass(frozen=True)
class Happened:
    """One request: what became of it, and what the log says."""

    ms: int  # before now
    answer: tuple[int, str]
    recorded: bool
    spooled: bool
    forgotten: bool
    seen_folder: bool  # the one whose id the line has is the viewer's
    retried: bool
    times_logged: int
    kept: int | None  # bytes of its line, torn (fewer would not show where it began); None: whole


requests = st.builds(
    Happened,
    ms=st.builds(
        int.__add__,
        st.sampled_from([0, 2 * HOUR_MS, KEPT * DAY_MS, DROPPED * DAY_MS, 400 * DAY_MS]),
        st.integers(60_000, 62_000),
    ),
    answer=st.sampled_from([
        *[(200, "committed"), (200, "spooled")] * 3, (413, "committed"), (413, "spooled"),
        (503, ""), (502, ""), (400, ""), (405, ""), (499, ""), (499, "committed"), (200, ""),
    ]),
    recorded=st.sampled_from([True, True, False]),
    spooled=st.sampled_from([True, False, False]),
    forgotten=st.sampled_from([True, False, False, False]),
    seen_folder=st.booleans(),
    retried=st.booleans(),
    times_logged=st.sampled_from([1, 1, 1, 1, 0, 2, 3]),
    kept=st.one_of(st.none(), st.none(), st.none(), st.integers(10, 200)),
)  # fmt: skip


@given(
    st.lists(requests, max_size=60),
    st.randoms(use_true_random=False),
    st.sampled_from([None, None, 3600, 5 * 3600, 15 * 86400]),
    st.sampled_from([1, 8, 1 << 21]),
)
@settings(max_examples=100, deadline=None)
def test_its_counts_are_those_of_a_plain_reconciliation(
    shared: Gate, happened: list[Happened], random: Any, since_s: int | None, words: int
) -> None:
    shared.clear()
    now = shared.now_ms
    ids = {id_of(n, now - each.ms): each for n, each in enumerate(happened)}
    shared.record(*(id for id, each in ids.items() if each.recorded))
    shared.forget(*(id for id, each in ids.items() if each.forgotten))
    folder = shared.spool(*(id for id, each in ids.items() if each.spooled)) if happened else ""
    logged = [n for n, each in enumerate(happened) for _ in range(each.times_logged)]
    random.shuffle(logged)
    told = [_told(happened[n], n, now, folder) for n in logged]
    _write(shared.log, told, random)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(repeats, "_WORDS", words)
        verdict = shared.audit(since_s)
    assert dict(verdict.counts) == plain(happened, logged, now, verdict)


def _told(each: Happened, number: int, now: int, folder: str) -> bytes:
    status, durability = each.answer
    spool = (folder if each.seen_folder else "f" * 16) if durability == "spooled" else ""
    upstreams = "unix:/a, unix:/b" if each.retried else "unix:/a"
    whole = line(number, now - each.ms, status=status, durability=durability, spool=spool, upstreams=upstreams)
    return whole if each.kept is None else whole[: each.kept]


def _write(path: Path, lines: list[bytes], random: Any) -> None:
    """Into a log of up to three pieces."""
    cuts = sorted(random.randrange(len(lines) + 1) for _ in range(random.randrange(3)))
    for number, (start, end) in enumerate(itertools.pairwise([0, *cuts, len(lines)])):
        name = path if number == len(cuts) else path.with_name(f"{path.name}.{number}")
        name.write_bytes(b"".join(lines[start:end]))


def plain(happened: list[Happened], logged: list[int], now: int, verdict: Verdict) -> dict[str, int]:
    """The same counts by sets, in the order of the definitions."""
    counts = Counter(dict.fromkeys(OUTCOMES, 0))
    inside, begins, named, acknowledged = True, None, set(), Counter()
    for n in logged:
        each, ms = happened[n], now - happened[n].ms
        if each.kept is None or each.kept >= 58:  # its stamp can be read
            begins = ms if begins is None else begins
            inside = verdict.asked_from_ms <= ms <= verdict.until_ms
        if not inside:
            continue
        if each.kept is not None:
            counts["unreadable"] += 1
            continue
        named.add(n)
        counts["retried"] += each.retried
        status, durability = each.answer
        if status in (200, 413) and durability:
            acknowledged[n] += 1
            counts["acknowledged"] += 1
            counts[_whereabouts(each)] += 1
        elif status >= 500:
            counts["refused"] += 1
        elif status >= 400 and not durability:
            counts["rejected"] += 1
    counts["twice"] = sum(times - 1 for times in acknowledged.values())
    begins = max(verdict.asked_from_ms, verdict.until_ms if begins is None else begins)
    rows = {n for n, each in enumerate(happened) if each.recorded and begins <= now - each.ms <= verdict.until_ms}
    counts["unlogged"] = len(rows - named)
    return dict(counts)


def _whereabouts(each: Happened) -> str:
    if each.recorded:
        return "recorded"
    if each.forgotten:
        return "forgotten"
    if each.spooled:
        return "spooled"
    if each.ms // DAY_MS == DROPPED:
        return "expired"
    return "missing" if each.answer[1] == "committed" or each.seen_folder else "unknown"
