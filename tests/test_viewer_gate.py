"""The state of the gate: what is wrong is said, whatever is away, and soon."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from fake_replica import Fake, ok, play
from parts import short_folder
from viewer import NOON, Viewer, uuid7

from gatebook import spool
from gatebook.app.capture import Record
from gatebook.settings import Settings, read
from gatebook.viewer.audit.verdict import OUTCOMES, Verdict
from gatebook.viewer.database import connected
from gatebook.viewer.gate import Gate, Seen, Shared, judged

READY = ok(b'{"state":"ready"}\n')
NOT_READY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"
RECORD = Record("", 0, "::1", "::1", 200, False, "http", "1.1", "GET", "/", "[]", b"", None)
WELL = Seen(
    3, 0, spool.Depth(rows=0, bytes=0, files=0, oldest=None), spool_limit=1000, database=True, audit=None, oldest=None
)


def verdict(**counts: int) -> Verdict:
    told = {**dict.fromkeys(OUTCOMES, 0), "acknowledged": 7, **counts}
    return Verdict(NOON, NOON + 1000, 0, 100, 7, told, [], [], False, NOON / 1000)


@pytest.fixture
def folder() -> Iterator[Path]:
    with short_folder() as path:
        yield path


@contextlib.asynccontextmanager
async def looking(**environment: str) -> AsyncIterator[Gate]:
    """A gate without a database."""
    settings = read({"POSTGRES_HOST": "/nowhere", "GATEBOOK_SPOOL": "/nowhere", **environment})
    async with connected(settings) as database:
        yield Gate(settings, database, lambda: None)


def test_nothing_wrong_is_no_words() -> None:
    assert judged(WELL) == ("ok", "")
    assert judged(WELL._replace(audit=verdict(recorded=7), spool=None)) == ("ok", "")


@pytest.mark.parametrize(
    ("seen", "status", "words"),
    [
        (WELL._replace(answering=2, silent=1), "warning", "1 of 3 replicas does not answer."),
        (
            WELL._replace(answering=2, silent=1, silent_names=("webapp-2",)),
            "warning",
            "1 of 3 replicas does not answer: webapp-2.",
        ),
        (WELL._replace(answering=1, silent=2), "warning", "2 of 3 replicas do not answer."),
        (WELL._replace(answering=0, silent=3), "trouble", "No replica answers, so requests are refused."),
        (WELL._replace(spool=spool.Depth(1, 9, 1, None)), "warning", "Requests wait in the spool to be written."),
        (
            WELL._replace(database=False, spool=spool.Depth(5, 9, 1, None)),
            "trouble",
            "The database does not answer the viewer, and what comes in waits in the spool.",
        ),
        (
            WELL._replace(database=False),
            "trouble",
            "The database does not answer the viewer, and what comes in waits in the spool.",
        ),
        (
            WELL._replace(database=False, answering=0, silent=1, audit=verdict(missing=1200, twice=1)),
            "trouble",
            "No replica answers, so requests are refused; the database does not answer the viewer; "
            "the last audit found 1,200 missing and 1 twice.",
        ),
        (
            WELL._replace(spool=spool.Depth(0, 810, 0, None)),
            "trouble",
            "The spool is 81% full, and when it is full requests are refused.",
        ),
        (WELL._replace(audit=verdict(missing=1)), "trouble", "The last audit found 1 missing."),
    ],
)
def test_all_that_is_wrong_is_one_sentence_and_as_bad_as_the_worst(seen: Seen, status: str, words: str) -> None:
    assert judged(seen) == (status, words)


def test_it_is_told_as_described_while_the_database_is_away(folder: Path) -> None:
    kept = spool.Spool(folder / "spool", 10**9)
    kept.prepare()
    kept.append("webapp-1", [RECORD._replace(id="1"), RECORD._replace(id="2")])

    async def story() -> None:
        nonlocal state
        async with (
            Fake(READY).at(folder / "1.sock"),
            Fake(NOT_READY).at(folder / "2.sock"),
            Fake(b"", hangs=True).at(folder / "3.sock"),
            looking(PROXY_UPSTREAM=f"unix:{folder}/*.sock", GATEBOOK_SPOOL=str(folder / "spool")) as gate,
        ):
            state = await gate.state()

    state: dict[str, Any]
    play(story)
    kept.close()
    assert state["replicas"] == {"answering": 1, "silent": 2, "silent_names": ("2", "3")}
    assert (state["spool"]["rows"], state["spool"]["files"]) == (2, 1) and state["spool"]["bytes"] > 0
    assert state["status"] == "trouble" and not state["database"]
    assert state["last_audit"] is state["oldest"] is None


def test_a_spool_that_cannot_be_read_is_null_and_no_reason_to_worry() -> None:
    async def story() -> None:
        async with looking(PROXY_UPSTREAM="unix:/nowhere") as gate:
            state = await gate.state()
            assert state["spool"] is None and "spool is" not in state["words"]
            assert state["replicas"] == {"answering": 0, "silent": 1, "silent_names": ("nowhere",)}

    play(story)


def test_a_hundred_who_look_cost_one_look_a_second(folder: Path) -> None:
    async def story() -> None:
        fake = Fake(READY)
        async with fake.at(folder / "1.sock"), looking(PROXY_UPSTREAM=f"unix:{folder}/1.sock") as gate:
            first = await asyncio.gather(*(gate.state() for _ in range(100)))
            assert await gate.state() == first[0] and len(fake.asked) == 1
            await asyncio.sleep(1.05)
            assert (await gate.state())["checked_at"] > first[0]["checked_at"] and len(fake.asked) == 2

    play(story)


def test_who_leaves_takes_nothing_from_the_others_and_a_failure_is_not_kept() -> None:
    calls = 0

    async def work() -> int:
        nonlocal calls
        calls += 1
        await asyncio.sleep(0.01)
        if calls == 1:
            raise ValueError
        return calls

    async def story() -> None:
        shared = Shared(work, lasts_s=60)
        with pytest.raises(ValueError):
            await shared.result()
        leaving, staying = asyncio.create_task(shared.result()), asyncio.create_task(shared.result())
        await asyncio.sleep(0)
        leaving.cancel()
        assert await staying == await shared.result() == 2

    play(story)


@pytest.fixture
def viewer(database: Settings) -> Iterator[Viewer]:
    viewer = Viewer(database)
    yield viewer
    viewer.close()


def test_the_database_the_oldest_request_and_the_last_audit_are_told(viewer: Viewer) -> None:
    for tail in (3, 1, 2):
        viewer.record(uuid7(NOON + 1000 * tail, tail))
    app: Any = viewer.app
    while not hasattr(app, "state"):  # what wraps it
        app = app._app
    app.state.last_audit = verdict(recorded=7)
    state = viewer.get("/_/api/gate").json()
    assert state["database"] and state["oldest"] == "2026-11-23T12:00:01.123Z"
    assert state["last_audit"]["finished_at"] == "2026-11-23T12:00:00.123Z" and state["last_audit"]["proven"]
    assert state["last_audit"]["sentence"].startswith("Of 7 requests acknowledged")
    document = viewer.get("/_/api/openapi.json").json()
    schema = {"$ref": "#/components/schemas/Gate", "components": document["components"]}
    jsonschema_rs.Draft202012Validator(schema, validate_formats=True).validate(state)
    assert viewer.request("HEAD", "/_/api/gate").status_code == 200
    assert viewer.get("/_/api/gate", since="1h").status_code == 400
