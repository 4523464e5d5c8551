"""`/_/api/audit`: how an audit is answered, from the real application on a real database."""

import asyncio
import contextlib
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from gate import Gate
from lines import id_of, line
from postgres import Cluster

from gatebook.viewer.api import application as api
from gatebook.viewer.api import schema, told
from gatebook.viewer.audit import Audit, audit, recorded
from gatebook.viewer.database import connected

AUDIT = "/_/api/audit"
BY_LINES = {"Accept": "application/x-ndjson"}


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """As slow as needed to be seen at work."""
    monkeypatch.setattr(audit, "SETTLE_S", 0.2)
    monkeypatch.setattr(told, "TELL_EVERY_S", 0.05)


@pytest.fixture(scope="module")
def shared(cluster: Cluster) -> Iterator[Gate]:
    gate = Gate(cluster.new_database())
    yield gate
    gate.close()


@pytest.fixture
def gate(shared: Gate) -> Gate:
    """Three acknowledged requests, of which the table has two."""
    shared.clear()
    times = [shared.now_ms - 60_000 + number for number in range(3)]
    shared.write(*(line(number, ms) for number, ms in enumerate(times)))
    shared.record(*(id_of(number, times[number]) for number in range(2)))
    return shared


def get(gate: Gate, *paths: str, headers: dict[str, str] | None = None, method: str = "GET") -> Any:
    """The answers of one application to these, asked all at once; of one path, its answer."""

    async def ask() -> list[httpx.Response]:
        transport = httpx.ASGITransport(api.application(gate.settings, gate.database), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://gate") as client:
            return await asyncio.gather(*(client.request(method, path, headers=headers) for path in paths))

    answers: list[httpx.Response] = gate.run(ask())
    return answers if len(answers) > 1 else answers[0]


def is_problem(answer: httpx.Response, status: int) -> dict[str, str]:
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text
    document: dict[str, str] = answer.json()
    assert document["detail"] and document["hint"]
    return document


def test_it_is_answered_as_the_schema_says(gate: Gate) -> None:
    answer = get(gate, f"{AUDIT}?since=1h")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.headers["cache-control"] == "no-store"
    found = schema.Audit.model_validate_json(answer.content)
    assert list(answer.json()) == [field.alias or name for name, field in schema.Audit.model_fields.items()]
    assert list(answer.json()["counts"]) == list(schema.AuditCounts.model_fields)
    assert not found.proven
    assert (found.counts.acknowledged, found.counts.recorded, found.counts.missing) == (3, 2, 1)
    assert found.missing[0].request == "GET /2 HTTP/1.1"
    assert (found.until - found.from_).total_seconds() < 3600
    assert found.sentence.count(".") > 0 and found.sentence.endswith(".")


def test_meanwhile_blanks_keep_the_connection_alive(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(told, "BLANK_EVERY_S", 0.03)
    text = get(gate, AUDIT).text
    assert text.startswith("  ") and json.loads(text)["counts"]["missing"] == 1


def test_by_lines_it_tells_how_far_it_is_and_then_what_it_found(gate: Gate) -> None:
    answer = get(gate, AUDIT, headers=BY_LINES)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/x-ndjson")
    assert answer.headers["x-accel-buffering"] == "no"
    *progress, last = map(json.loads, answer.text.splitlines())
    assert progress and all(set(line) == {"progress", "lines", "missing"} for line in progress)
    schema.Audit.model_validate(last["audit"])


def test_what_it_found_is_in_the_metrics(gate: Gate) -> None:
    async def story() -> str:
        transport = httpx.ASGITransport(api.application(gate.settings, gate.database))
        async with httpx.AsyncClient(transport=transport, base_url="http://gate") as client:
            assert "gatebook_audit" not in (await client.get("/_/metrics")).text
            await client.get(AUDIT)
            return (await client.get("/_/metrics")).text

    text = gate.run(story())
    assert 'gatebook_audit_requests{outcome="missing"} 1.0' in text
    assert "gatebook_audit_timestamp_seconds " in text


@pytest.mark.parametrize("since", ["", "1", "h", "1 h", "1w", "-1h", "0s", "1h1m", "٣h", "9" * 30 + "s"])
def test_what_is_no_duration_is_refused(gate: Gate, since: str) -> None:
    problem = is_problem(get(gate, f"{AUDIT}?since={since}"), 400)
    assert "since" in problem["detail"] and "15m" in problem["hint"]


@pytest.mark.parametrize("since", ["30s", "15m", "1h", "7d", "999999999d"])
def test_a_duration_is_understood(gate: Gate, since: str) -> None:
    assert get(gate, f"{AUDIT}?since={since}").json()["counts"]["missing"] == (0 if since == "30s" else 1)


def test_a_parameter_that_is_not_known_is_refused(gate: Gate) -> None:
    is_problem(get(gate, f"{AUDIT}?until=1h"), 400)


def test_without_a_log_it_is_said_what_to_try(gate: Gate) -> None:
    gate.log.unlink()
    problem = is_problem(get(gate, AUDIT), 503)
    assert str(gate.log) in problem["detail"] and "GATEBOOK_ACCESS_LOG" in problem["hint"]
    is_problem(get(gate, AUDIT, headers=BY_LINES), 503)


def test_without_a_database_it_is_refused_at_once(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away() -> None:
        async with connected(replace(gate.settings, postgres_host="/nowhere")) as nothing:
            monkeypatch.setattr(gate, "database", nothing)
            transport = httpx.ASGITransport(api.application(gate.settings, nothing))
            async with httpx.AsyncClient(transport=transport, base_url="http://gate") as client:
                answer = await client.get(AUDIT)
        is_problem(answer, 503)
        assert answer.headers["retry-after"] == "1"

    gate.run(away())


def test_one_runs_at_a_time(gate: Gate) -> None:
    answers = get(gate, AUDIT, AUDIT, AUDIT)
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409]
    for answer in answers:
        if answer.status_code == 409:
            assert "another audit is running" in is_problem(answer, 409)["detail"]


def test_head_is_answered_without_an_audit(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(Audit, "run")
    answer = get(gate, AUDIT, method="HEAD")
    assert (answer.status_code, answer.headers["content-type"], answer.content) == (200, "application/json", b"")


@pytest.fixture
def cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks the database what is absent loses the connection."""
    monkeypatch.setattr(recorded, "_PATIENCE_S", (0.01,))
    cut = "SELECT pg_terminate_backend(pg_backend_pid()), $1::uuid[], $2::uuid, $3::uuid"
    monkeypatch.setitem(recorded.SQL, "absent_ids", cut)


@pytest.mark.parametrize("headers", [{}, BY_LINES])
def test_what_goes_wrong_on_the_way_is_told_in_place_of_the_audit(
    gate: Gate, cut_off: None, monkeypatch: pytest.MonkeyPatch, headers: dict[str, str]
) -> None:
    monkeypatch.setattr(told, "BLANK_EVERY_S", 0.05)
    answer = get(gate, AUDIT, headers=headers)
    assert answer.status_code == 200
    document = json.loads(answer.text.splitlines()[-1])
    assert list(document) == ["error"]
    assert (document["error"]["status"], document["error"]["detail"]) == (503, "the database is away")


@pytest.mark.parametrize("headers", [{}, BY_LINES])
def test_what_goes_wrong_before_there_was_anything_to_tell_has_its_status(
    gate: Gate, cut_off: None, monkeypatch: pytest.MonkeyPatch, headers: dict[str, str]
) -> None:
    monkeypatch.setattr(told, "TELL_EVERY_S", 30.0)
    answer = get(gate, AUDIT, headers=headers)
    assert is_problem(answer, 503)["detail"] == "the database is away" and answer.headers["retry-after"] == "1"


def test_a_log_that_is_gone_when_it_is_to_be_read_is_told_too(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    check = Audit.check

    async def and_then_it_goes(self: Audit) -> None:
        await check(self)
        gate.log.unlink()

    monkeypatch.setattr(Audit, "check", and_then_it_goes)
    monkeypatch.setattr(told, "BLANK_EVERY_S", 0.03)
    assert "GATEBOOK_ACCESS_LOG" in get(gate, AUDIT).json()["error"]["hint"]


def test_a_database_that_is_restarted_meanwhile_is_waited_for(own_cluster: Cluster) -> None:
    async def story(gate: Gate) -> Any:
        running = asyncio.create_task(Audit(gate.settings, gate.database, None).run())
        await asyncio.to_thread(own_cluster.stop)
        while not gate.database._away:  # it has asked in vain
            await asyncio.sleep(0.01)
        await asyncio.to_thread(own_cluster.start)
        return await running

    with contextlib.closing(Gate(own_cluster.new_database())) as gate:
        ms = gate.now_ms - 60_000
        gate.write(line(0, ms))
        gate.record(id_of(0, ms))
        assert gate.run(story(gate)).counts["recorded"] == 1
