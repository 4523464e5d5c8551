"""Acknowledged ⊆ stored ⊆ attempted: what a load's clients were told, held against what is in the table.

Rule: nothing is remembered of a request but its number; what its row has to be is computed anew (request.py), so a row
that was changed anywhere on its way is noticed.
"""

import contextlib
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from local_stack import Stack, until

from faults.clients import NOBODY
from faults.load import Load
from faults.request import Row, number_in, request, row

DRAINED_WITHIN_S = 120.0
SHOWN = 5  # examples of each kind of trouble

# Text as psql's COPY writes it: no column of ours holds a character that it would escape.
_ROWS = """COPY (
    SELECT id, method, target, headers, body_size, octet_length(body), encode(sha256(body), 'hex'), status
    FROM requests WHERE id >= id_floor(now() - interval '2 hours') AND target LIKE '%{run}-%'
) TO STDOUT"""


class Findings(NamedTuple):
    """What a load's requests came to. Empty `troubles` are what is promised."""

    attempted: int
    acknowledged: int
    spooled: int  # among the acknowledged
    stored: int  # rows
    lost: int  # acknowledged, but not there under the id that was told
    twice: int  # requests with more than one row, ids told to more than one request
    altered: int  # rows that are not what was sent
    strangers: int  # rows of this load's that nobody sent
    errors: Counter[str]
    reasons: Counter[str]  # what the answers of some said
    longest_gap_s: float  # between two acknowledged answers, whoever's
    slowest_s: float  # of the acknowledged
    troubles: list[str]


def drain(stack: Stack) -> list[str]:
    """Wait until nothing is left in the spools; says so when something is."""
    with contextlib.suppress(AssertionError):
        until(lambda: stack.spooled() == 0, "the spools to be drained", DRAINED_WITHIN_S, every_s=0.1)
    left = stack.spooled()
    return [f"{left} rows are left in the spools after {DRAINED_WITHIN_S:g} s"] if left else []


def find(stack: Stack, load: Load) -> Findings:
    """Hold the outcomes of a load that has ended against the table. Drain the spools before."""
    told = {outcome.number: outcome.id for outcome in load.outcomes if outcome.acknowledged}
    sent = {outcome.number for outcome in load.outcomes if outcome.outcome != NOBODY}
    rows, lost, altered, strangers, twice = 0, dict(told), [], [], []
    seen: set[int] = set()
    for id, found in stored(stack, load.run):
        rows += 1
        number = number_in(found.target, load.run)
        if number not in sent:
            strangers.append(f"{id} {found.target}")
            continue
        assert number is not None
        if number in seen:
            twice.append(f"request {number} has a second row, {id}")
        seen.add(number)
        if lost.get(number) == id:
            del lost[number]
        if found != row(request(load.run, number), load.authority):
            altered.append(f"{id} is {found}")
    twice += [f"{id} was told to {count} requests" for id, count in Counter(told.values()).items() if count > 1]
    return Findings(
        attempted=len(load.outcomes),
        acknowledged=len(told),
        spooled=sum(outcome.outcome == "spooled" for outcome in load.outcomes),
        stored=rows,
        lost=len(lost),
        twice=len(twice),
        altered=len(altered),
        strangers=len(strangers),
        errors=Counter(outcome.outcome for outcome in load.outcomes if not outcome.acknowledged),
        reasons=Counter(outcome.why for outcome in load.outcomes if outcome.why),
        longest_gap_s=_longest_gap_s(load),
        slowest_s=max((outcome.ended - outcome.began for outcome in load.outcomes if outcome.acknowledged), default=0),
        troubles=[
            f"{name} {len(examples)}: {list(examples)[:SHOWN]}"
            for name, examples in (
                ("lost", [f"request {number}, told {id}" for number, id in lost.items()]),
                ("twice", twice),
                ("altered", altered),
                ("never sent", strangers),
            )
            if examples
        ],
    )


def stored(stack: Stack, run: str) -> Iterator[tuple[str, Row]]:
    """The id and the content of every row of a load."""
    with stack.start("psql", "--", "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", _ROWS.format(run=run)) as psql:
        assert psql.stdout
        for line in psql.stdout:
            id, *columns = line.rstrip("\n").split("\t")
            assert len(columns) == len(Row._fields), line
            yield id, Row(*columns)
    assert psql.returncode == 0, psql.returncode


def _longest_gap_s(load: Load) -> float:
    answers = sorted(outcome.ended for outcome in load.outcomes if outcome.acknowledged)
    return max((later - earlier for earlier, later in pairwise(answers)), default=0)
