"""The load balancer's log: what was sent is taken out of the lines of forgotten requests, in place."""

import os
import random
import re
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lines import id_of, line

from gatebook.access_log import span as log_span
from gatebook.access_log.span import LATEST_MS
from gatebook.keeping import lines
from gatebook.viewer.audit.access_log import Log

NOON = 1_763_899_200_123  # 2025-11-23T12:00:00.123Z in Unix milliseconds


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "access.log"


def told(path: Path) -> list[dict[str, Any]]:
    return [orjson.loads(raw.decode("latin-1")) for raw in path.read_bytes().splitlines()]


def test_request_line_and_peer_are_overwritten_and_all_else_stays(path: Path) -> None:
    path.write_bytes(line(1, NOON) + line(2, NOON, request='GET /"s\\u00e9cret\\" HTTP/1.1') + line(3, NOON))
    size, before = path.stat().st_size, told(path)
    assert lines.forget(path, [id_of(2, NOON), id_of(9, NOON)]) == {id_of(2, NOON)}
    after = told(path)
    assert path.stat().st_size == size and after[0] == before[0] and after[2] == before[2]
    assert set(after[1]["request"]) | set(after[1]["peer"]) == {"-"}
    assert {**after[1], "request": "", "peer": ""} == {**before[1], "request": "", "peer": ""}
    assert lines.forget(path, [id_of(2, NOON)]) == {id_of(2, NOON)}  # twice does no harm
    assert told(path) == after


@pytest.mark.parametrize("block", [64, 4096])
def test_they_are_found_in_every_piece_and_whatever_the_order(
    path: Path, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    """Lines come as late after their stamp as they may; the audit reads the same of them as before."""
    monkeypatch.setattr(lines, "_BLOCK_BYTES", block)
    monkeypatch.setattr(log_span, "_BLOCK_BYTES", 128)
    chance = random.Random(block)
    stamps = [NOON + number * 1000 for number in range(600)]
    late = sorted((ms + chance.choice((0, 0, 1000, LATEST_MS)), number, ms) for number, ms in enumerate(stamps))
    for piece in range(3):
        name = path if piece == 2 else path.with_name(f"access.log.{piece + 1}")
        name.write_bytes(b"".join(line(number, ms) for _, number, ms in late[piece * 200 : piece * 200 + 200]))
        os.utime(name, ((late[piece * 200 + 199][0]) / 1000,) * 2)
    gone = {number for number in range(600) if chance.random() < 0.3}
    assert lines.forget(path, [id_of(number, stamps[number]) for number in gone]) == {
        id_of(number, stamps[number]) for number in gone
    }
    log = Log(path, 0, NOON * 2)
    for each in (each for block in log.blocks() for each in block.lines):
        assert each.id in {id_of(number, ms) for _, number, ms in late}
        raw = orjson.loads(each.raw)
        number = next(number for _, number, ms in late if id_of(number, ms) == each.id)
        assert raw["request"] == ("-" * len(f"GET /{number} HTTP/1.1") if number in gone else f"GET /{number} HTTP/1.1")
    log.close()


@given(st.binary(max_size=60), st.binary(max_size=60), st.integers(0, 400))
def test_where_the_load_balancer_was_killed_only_the_torn_line_is_touched(
    tmp_path_factory: pytest.TempPathFactory, sent: bytes, next_sent: bytes, kept: int
) -> None:
    """The next line begins within the torn one, which ends anywhere."""
    path = tmp_path_factory.getbasetemp() / "torn.log"
    torn = line(1, NOON, request=sent.decode("latin-1"))[:-1][:kept]
    whole = line(2, NOON, request=next_sent.decode("latin-1"))
    path.write_bytes(torn + whole)
    lines.forget(path, [id_of(1, NOON)])
    now = path.read_bytes()
    assert now.endswith(whole) and len(now) == len(torn + whole)
    said = re.search(rb'"request":"((?:[^"\\]|\\.)*)', now[: len(torn)])
    assert not said or set(said[1]) <= set(b"-\\")


def test_a_log_that_may_not_be_written_or_is_not_there_is_said_so(path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        lines.forget(path, [id_of(1, NOON)])
    assert lines.forget(path, []) == set()
    path.mkdir()
    with pytest.raises(OSError, match="directory"):
        lines.forget(path, [id_of(1, NOON)])
