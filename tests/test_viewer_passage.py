"""The passage of a request: its line is found wherever it is, quickly, and no other is taken for it."""

import asyncio
import os
import random
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import jsonschema_rs
import pytest
from lines import clock, id_of, line, request_id
from viewer import Viewer, is_problem

from gatebook.access_log import span as log_span
from gatebook.access_log.span import LATEST_MS
from gatebook.settings import Settings
from gatebook.viewer import passage
from gatebook.viewer.passage import Passages, find

NOON = 1_763_899_200_123  # 2025-11-23T12:00:00.123Z in Unix milliseconds


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "access.log"


def found(path: Path, number: int, ms: int) -> dict[str, Any] | None:
    return find(path, id_of(number, ms), threading.Event())


def written(path: Path, content: bytes, last_ms: int) -> None:
    path.write_bytes(content)
    os.utime(path, (last_ms / 1000, last_ms / 1000))


def test_a_line_tells_every_try_and_what_came_of_it(path: Path) -> None:
    tried = {"upstreams": "unix:/a.sock, unix:/b.sock : 10.0.0.1:80", "upstream_statuses": "502, 504 : 200"}
    path.write_bytes(line(1, NOON) + line(2, NOON, **tried, replica="b", durability="spooled", seconds=0.31))
    assert found(path, 2, NOON) == {
        "attempts": [
            {"upstream": "unix:/a.sock", "status": 502},
            {"upstream": "unix:/b.sock", "status": 504},
            {"upstream": "10.0.0.1:80", "status": 200},
        ],
        "seconds": 0.31,
        "received_bytes": 140,
        "sent_bytes": 320,
        "status": 200,
        "durability": "spooled",
        "replica": "b",
    }
    told = found(path, 1, NOON)
    assert told and told["attempts"] == [{"upstream": "unix:/run/webapp-1.sock", "status": 200}]
    assert found(path, 3, NOON) is found(path, 1, NOON + 1) is None


def test_who_was_never_handed_on_has_no_attempts(path: Path) -> None:
    path.write_bytes(line(1, NOON, status=400, upstreams="", upstream_statuses="", durability="", replica=""))
    told = found(path, 1, NOON)
    assert told and told["attempts"] == [] and (told["status"], told["durability"]) == (400, "")
    path.write_bytes(line(1, NOON, upstreams="replicas", upstream_statuses="-"))
    told = found(path, 1, NOON)
    assert told and told["attempts"] == [{"upstream": "replicas", "status": None}]


@pytest.mark.parametrize("block", [64, 300, 5000, 256 * 1024])
def test_every_line_is_found_though_lines_come_late_and_pieces_are_many(
    path: Path, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    """What the search leaves out has none of them: written up to the latest, at most times of one, and far apart."""
    for module in (passage, log_span):
        monkeypatch.setattr(module, "_BLOCK_BYTES", max(block, 128))
    chance = random.Random(block)
    stamps = [NOON + chance.choice((0, 7, 40_000, 10**6)) * number for number in range(300)]
    late = [(ms + chance.choice((0, 0, 1000, LATEST_MS)), number, ms) for number, ms in enumerate(stamps)]
    order = sorted(late)
    for place in range(0, len(order), 60):
        some = order[place : place + 60]
        content = b"".join(line(number, ms, request="GET /" + "x" * chance.randrange(300)) for _, number, ms in some)
        is_current = place + 60 >= len(order)
        written(path if is_current else path.with_name(f"access.log.{1 + place}"), content, some[-1][0])
    assert all(found(path, number, ms) for number, ms in enumerate(stamps))
    assert not any(found(path, 1000 + number, ms) for number, ms in enumerate(stamps))


def test_only_what_may_hold_it_is_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hour = 3_600_000
    for piece in range(5):
        lines = [line(piece * 10_000 + number, NOON + piece * hour + number * 300) for number in range(10_000)]
        written(
            path if piece == 4 else path.with_name(f"access.log.{piece}"), b"".join(lines), NOON + (piece + 1) * hour
        )
    read, pread = 0, os.pread

    def counted(file: int, size: int, offset: int) -> bytes:
        nonlocal read
        piece = pread(file, size, offset)
        read += len(piece)
        return piece

    monkeypatch.setattr(os, "pread", counted)
    for module in (passage, log_span):
        monkeypatch.setattr(module, "_BLOCK_BYTES", 4096)
    assert found(path, 25_000, NOON + 2 * hour + 5000 * 300)
    assert read < path.stat().st_size / 10


def test_what_clients_write_is_taken_for_no_stamp(path: Path) -> None:
    """The digits of a request id may stand in any target; nginx escapes the quotation marks around them."""
    forged = "GET /" + f'{{"stamp":"{request_id(7)} {clock(NOON)}","status":200' + " HTTP/1.1"
    path.write_bytes(line(1, NOON, request=f"GET /{request_id(7)} HTTP/1.1") * 3 + line(2, NOON, request=forged))
    assert found(path, 7, NOON) is None
    path.write_bytes(path.read_bytes() + line(7, NOON))
    assert found(path, 7, NOON)


def test_a_torn_line_is_none_and_hides_no_other(path: Path) -> None:
    torn = line(1, NOON)[:150]
    path.write_bytes(torn + line(2, NOON) + b"\0" * 5000 + line(3, NOON) + line(4, NOON)[:-1] + b"\n" + torn)
    assert found(path, 1, NOON) is None
    assert found(path, 2, NOON) and found(path, 3, NOON) and found(path, 4, NOON)


def test_long_lines_and_bytes_beyond_ascii_are_read(path: Path) -> None:
    raw = line(2, NOON, request="GET /?").replace(b"/?", b"/\xff")  # as nginx writes it
    path.write_bytes(line(1, NOON, request="GET /" + "é" * 100_000) + raw)
    assert found(path, 1, NOON) and found(path, 2, NOON)


def test_ids_of_other_kinds_are_not_in_it(path: Path) -> None:
    path.write_bytes(line(1, NOON))
    assert find(path, str(uuid4()), threading.Event()) is None


def test_a_piece_that_has_just_been_renamed_is_found(path: Path) -> None:
    path.with_name("access.log.5").write_bytes(line(1, NOON))
    assert found(path, 1, NOON)
    path.with_name("access.log.5").rename(path.with_name("access.log.x"))
    with pytest.raises(FileNotFoundError):
        found(path, 1, NOON)
    os.mkfifo(path)
    with pytest.raises(OSError, match="not a regular file"):
        found(path, 1, NOON)


def test_a_search_can_be_stopped(path: Path) -> None:
    path.write_bytes(line(1, NOON))
    stop = threading.Event()
    stop.set()
    assert find(path, id_of(1, NOON), stop) is None


def test_who_leaves_stops_the_search_and_the_next_one_gets_its_turn(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_bytes(line(1, NOON))
    stopped: list[bool] = []

    def slow(log: Path, id: str, stop: threading.Event) -> dict[str, Any] | None:
        stopped.append(stop.wait(10))
        return None

    async def story() -> None:
        passages = Passages(path)
        with monkeypatch.context() as patch:
            patch.setattr(passage, "find", slow)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await passages.of(UUID(id_of(1, NOON)))
        assert stopped == [True]
        assert await passages.of(UUID(id_of(1, NOON)))

    asyncio.run(story())


def test_of_a_new_request_the_line_is_waited_for(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time_ns() // 10**6
    path.write_bytes(b"")

    async def story() -> None:
        with monkeypatch.context() as patch:
            patch.setattr(passage, "SETTLE_S", 20.0)  # it may take as long as the machine needs
            asking = asyncio.create_task(Passages(path).of(UUID(id_of(1, now))))
            await asyncio.sleep(0.4)
            await asyncio.to_thread(path.write_bytes, line(1, now))
            assert await asking
        assert await Passages(path).of(UUID(id_of(2, now + 10**9))) is None  # nor for ever, of one to come

    asyncio.run(story())


@pytest.fixture
def viewer(database: Settings, path: Path) -> Iterator[Viewer]:
    viewer = Viewer(replace(database, access_log=path))
    yield viewer
    viewer.close()


def test_it_is_answered_as_described_or_with_a_problem(viewer: Viewer, path: Path) -> None:
    id = id_of(1, NOON)
    assert is_problem(viewer.get(f"/_/api/requests/{id}/passage"), 503)
    path.write_bytes(line(2, NOON))
    assert is_problem(viewer.get(f"/_/api/requests/{id}/passage"), 404)
    assert is_problem(viewer.get("/_/api/requests/x/passage"), 400)
    path.write_bytes(line(1, NOON))
    answer = viewer.get(f"/_/api/requests/{id}/passage")
    assert answer.status_code == 200
    document = viewer.get("/_/api/openapi.json").json()
    schema = {"$ref": "#/components/schemas/Passage", "components": document["components"]}
    jsonschema_rs.Draft202012Validator(schema, validate_formats=True).validate(answer.json())
