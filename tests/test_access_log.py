"""The load balancer's log as the audit reads it: every line once, whatever becomes of its pieces."""

import contextlib
import os
import threading
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lines import BEGIN, id_of, line

from gatebook.viewer.audit import access_log
from gatebook.viewer.audit.access_log import Line, Log, facts

NOON = 1_763_899_200_123  # 2025-11-23T12:00:00.123Z in Unix milliseconds
ALWAYS = (0, NOON * 2)


@contextlib.contextmanager
def opened(path: Path, since_ms: int = ALWAYS[0], until_ms: int = ALWAYS[1]) -> Iterator[Log]:
    log = Log(path, since_ms, until_ms)
    try:
        yield log
    finally:
        log.close()


def read(path: Path, *span: int) -> tuple[list[Line], int]:
    """Its lines, and how many cannot be read."""
    with opened(path, *span) as log:
        blocks = list(log.blocks())
        assert not blocks or blocks[-1].bytes == log.bytes
    return [line for block in blocks for line in block.lines], sum(block.unreadable for block in blocks)


def numbers(found: tuple[list[Line], int]) -> list[int]:
    """Which of the lines these are, when all could be read."""
    lines, unreadable = found
    assert unreadable == 0
    return [int(facts(line)["request"].split("/")[1].split()[0]) for line in lines]


@pytest.fixture(autouse=True, scope="module")
def impatient() -> Iterator[None]:
    """Nobody goes on writing a torn line here, but where a test does so itself, at once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(access_log, "_TORN_PATIENCE_S", 0.05)
        yield


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "access.log"


def test_a_line_tells_what_the_load_balancer_wrote(path: Path) -> None:
    path.write_bytes(
        line(1, NOON, durability="spooled", spool="0123456789abcdef", status=413)
        + line(2, NOON, upstreams="unix:/a, unix:/b")
        + line(3, NOON, upstreams="unix:/a : unix:/b")
        + line(4, NOON, upstreams="", durability="", status=400)
    )
    lines, _ = read(path)
    assert [found.id for found in lines] == [id_of(number, NOON) for number in (1, 2, 3, 4)]
    assert [found.retried for found in lines] == [False, True, True, False]
    assert (lines[0].status, lines[0].durability, lines[0].spool) == (413, "spooled", "0123456789abcdef")
    assert facts(lines[1])["request"] == "GET /2 HTTP/1.1"


def test_the_pieces_are_read_in_the_order_of_their_numbers_and_then_the_log(path: Path) -> None:
    for number, name in enumerate(["access.log.9", "access.log.10", "access.log.11", "access.log"]):
        path.with_name(name).write_bytes(line(number, NOON))
    for other in ("access.log.gz", "access.log.9.gz", "error.log", "access.log.", "access.log.1x"):
        path.with_name(other).write_bytes(line(77, NOON))
    assert numbers(read(path)) == [0, 1, 2, 3]
    path.unlink()  # it has just been renamed, and the load balancer has not made another yet
    assert numbers(read(path)) == [0, 1, 2]


@given(
    st.lists(st.binary(max_size=60).map(lambda text: text.decode("latin-1")), max_size=30),
    st.lists(st.integers(0, 30), max_size=4),
    st.integers(1, 700),
)
def test_every_line_is_read_once_however_they_lie_in_pieces_and_blocks(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], cuts: list[int], block_bytes: int
) -> None:
    path = tmp_path_factory.mktemp("log") / "access.log"
    written = [line(number, NOON + number, request=f"GET /{number} {text}") for number, text in enumerate(texts)]
    cuts = sorted(min(cut, len(written)) for cut in cuts)
    bounds = zip([0, *cuts], [*cuts, len(written)], strict=True)
    for number, (start, end) in enumerate(bounds):
        name = "access.log" if number == len(cuts) else f"access.log.{number}"
        path.with_name(name).write_bytes(b"".join(written[start:end]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(access_log, "_BLOCK_BYTES", block_bytes)
        assert numbers(read(path)) == list(range(len(texts)))


def test_only_the_span_is_read_to_the_millisecond(path: Path) -> None:
    path.write_bytes(b"".join(line(offset, NOON + offset) for offset in range(9)))
    assert numbers(read(path, NOON + 3, NOON + 5)) == [3, 4, 5]
    with opened(path, NOON + 3, NOON + 5) as log:
        list(log.blocks())
        assert (log.begins_ms, log.skipped, log.rotated) == (NOON, 0, False)


def test_a_piece_that_was_written_before_the_span_is_not_read(path: Path) -> None:
    for number in range(3):
        piece = path.with_name(f"access.log.{number}")
        piece.write_bytes(line(number, NOON + number * 60_000) * 10)
        os.utime(piece, (0, NOON // 1000 + number * 60))
    path.write_bytes(line(3, NOON + 180_000))
    with opened(path, NOON + 100_000, ALWAYS[1]) as log:
        assert (log.skipped, log.rotated) == (2, True)
        assert log.bytes == 11 * len(line(0, NOON))


def test_asked_again_for_some_times_it_gives_their_lines(path: Path) -> None:
    path.write_bytes(b"".join(line(offset, NOON + offset) for offset in range(9)))
    with opened(path) as log:
        assert sum(len(block.lines) for block in log.blocks()) == 9
        again = [line for block in log.blocks({access_log.moment(NOON + at) for at in (2, 7)}) for line in block.lines]
    assert [found.id for found in again] == [id_of(at, NOON + at) for at in (2, 7)]


# Torn lines


@pytest.mark.parametrize("kept", [1, 9, 10, 11, 42, 57, 58, 100, 200])
def test_where_nginx_was_killed_one_line_is_unreadable_and_the_next_one_is_not(path: Path, kept: int) -> None:
    torn = line(1, NOON)[:kept]
    for following in (b"", line(2, NOON), b"\n" + line(2, NOON)):
        path.write_bytes(line(0, NOON) + torn + following)
        lines, unreadable = read(path)
        assert [found.id for found in lines] == [id_of(number, NOON) for number in ([0, 2] if following else [0])]
        assert unreadable == 1


def test_a_torn_line_of_another_time_is_not_counted(path: Path) -> None:
    """Its own stamp tells, or else the line before it."""
    for kept in (20, 100):
        path.write_bytes(line(1, NOON) + line(2, NOON)[:kept] + line(3, NOON + 1000))
        lines, unreadable = read(path, NOON + 500, ALWAYS[1])
        assert (len(lines), unreadable) == (1, 0)
        path.write_bytes(line(1, NOON + 1000) + line(2, NOON + 1000)[:kept] + line(3, NOON))
        lines, unreadable = read(path, NOON + 500, ALWAYS[1])
        assert (len(lines), unreadable) == (1, 1)


def test_a_torn_line_at_the_beginning_of_the_span_is_of_it_only_without_older_pieces(path: Path) -> None:
    path.write_bytes(line(0, NOON)[:20] + line(1, NOON))
    assert read(path, NOON, ALWAYS[1])[1] == 1
    older = path.with_name("access.log.1")
    older.write_bytes(line(2, NOON - 60_000))
    os.utime(older, (0, NOON // 1000 - 60))
    assert read(path, NOON, ALWAYS[1])[1] == 0


def test_a_line_that_is_being_written_is_waited_for(path: Path) -> None:
    whole = line(1, NOON)
    path.write_bytes(line(0, NOON) + whole[:100])
    with opened(path) as log, path.open("ab") as nginx:
        blocks = log.blocks()
        first = next(blocks)
        nginx.write(whole[100:] + line(2, NOON))
        nginx.flush()
        rest = list(blocks)
    assert [found.id for block in [first, *rest] for found in block.lines] == [id_of(0, NOON), id_of(1, NOON)]
    assert sum(block.unreadable for block in rest) == 0


@pytest.mark.parametrize("overlap", [0, 5, 50])
def test_what_a_crash_of_the_machine_left_is_one_unreadable_line(path: Path, overlap: int) -> None:
    """Zeros, however many, without the memory for them; the next line may begin at the end of a block."""
    path.write_bytes(line(0, NOON))
    os.truncate(path, 200 * access_log._BLOCK_BYTES - overlap)
    with path.open("ab") as file:
        file.write(line(1, NOON) + line(2, NOON))
    tracemalloc.start()
    lines, unreadable = read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [found.id for found in lines] == [id_of(number, NOON) for number in range(3)]
    assert unreadable == 1
    assert peak < path.stat().st_size / 2


def test_bytes_beyond_ascii_hide_no_line(path: Path) -> None:
    """nginx escapes quotation marks and control characters, and leaves the rest as the client sent it."""
    raw = line(0, NOON, request="GET /@ HTTP/1.1").replace(b"@", bytes(range(0x7F, 0x100)))
    path.write_bytes(raw)
    [found], unreadable = read(path)
    assert unreadable == 0
    assert facts(found)["request"] == f"GET /{''.join(map(chr, range(0x7F, 0x100)))} HTTP/1.1"


def test_a_client_cannot_forge_a_line(path: Path) -> None:
    forged = line(1, NOON).decode().strip()
    path.write_bytes(line(0, NOON, request=f"GET /{forged} HTTP/1.1"))
    [found], unreadable = read(path)
    assert (found.id, unreadable) == (id_of(0, NOON), 0)
    assert BEGIN.decode() in facts(found)["request"]


# What becomes of the files meanwhile


def test_while_it_is_rotated_and_pruned_no_line_comes_twice_and_none_is_left_out(path: Path) -> None:
    """A writer does as nginx and the stack do: rename, write on into that, open a new one, delete the oldest."""
    written, reads, ended = 0, 0, threading.Event()

    def write() -> None:
        nonlocal written
        names = iter(range(10**9))
        pieces: list[Path] = []
        file = path.open("ab", buffering=0)
        while not ended.is_set():
            for at in range(40):
                if at == 30:
                    pieces.append(path.with_name(f"access.log.{next(names)}"))
                    path.rename(pieces[-1])
                file.write(line(written, NOON + written))
                written += 1
            file.close()
            file = path.open("ab", buffering=0)
            if len(pieces) > 8:
                pieces.pop(0).unlink()
        file.close()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        while reads < 100:
            if before := written:
                found = numbers(read(path))
                assert found == list(range(found[0], found[-1] + 1))
                assert found[-1] >= before - 1
                reads += 1
    finally:
        ended.set()
        writer.join()


def test_what_is_deleted_after_it_was_opened_is_still_read(path: Path) -> None:
    for name in ("access.log.1", "access.log.2", "access.log"):
        path.with_name(name).write_bytes(line(0, NOON))
    with opened(path) as log:
        for name in ("access.log.1", "access.log.2", "access.log"):
            path.with_name(name).unlink()
        assert sum(len(block.lines) for block in log.blocks()) == 3


def test_what_is_no_log_is_refused_and_nothing_stays_open(path: Path) -> None:
    before = psutil.Process().num_fds()
    with pytest.raises(FileNotFoundError):
        read(path)
    with pytest.raises(FileNotFoundError):
        read(path / "nowhere" / "access.log")
    path.mkdir()
    with pytest.raises(OSError, match="not a regular file"):
        read(path)
    path.rmdir()
    os.mkfifo(path)
    with pytest.raises(OSError, match="not a regular file"):
        read(path)
    path.unlink()
    path.write_bytes(line(0, NOON))
    path.with_name("access.log.1").mkdir()
    with pytest.raises(OSError, match="not a regular file"):
        read(path)
    assert psutil.Process().num_fds() == before


def test_an_empty_log_has_no_lines(path: Path) -> None:
    path.touch()
    assert read(path) == ([], 0)
