"""The load balancer's access log, all its pieces, read through a block at a time.

Rules: no line is read twice and none is left out, though the log is rotated meanwhile: all that there is is opened
before anything is read, access.log first, and told apart by inode. What is not of the span is skipped by the stamp,
which stands at a fixed place; only lines of the span are parsed.

Blocking: the callers are threads. Memory does not depend on the length of the log, nor on that of a line.
"""

import contextlib
import errno
import os
import time
from collections.abc import Container, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from gatebook.access_log.line import BEGIN, LONGEST_BYTES, STAMP
from gatebook.access_log.pieces import ended_before, opened, pieces
from gatebook.identity import request_uuid

_BLOCK_BYTES = 256 * 1024  # some hundred lines, a millisecond or two of work
_ID, _MOMENT = slice(10, 42), slice(43, 57)
_TRIES = 10  # to open it between two rotations
_PAUSE_EVERY = 256  # lines
_PAUSE_S = 0.0001
_TORN_PATIENCE_S = 0.5  # a line that is being written is whole long before


class Line(NamedTuple):
    """What is told of one request. `raw` has the rest: see `facts`."""

    id: str
    moment: bytes  # the time in its stamp, seconds and milliseconds
    status: int
    durability: str
    spool: str  # the id of the folder that it was spooled in
    retried: bool
    raw: bytes


class Block(NamedTuple):
    """The next lines of the span."""

    lines: list[Line]
    unreadable: int
    bytes: int  # read so far, in all


class Log:
    """The lines of `path` and its rotated pieces stamped from `since_ms` to `until_ms`, Unix milliseconds."""

    def __init__(self, path: Path, since_ms: int, until_ms: int) -> None:
        """Raises OSError when there is no log, or a piece of it may not be read."""
        self._since, self._until = moment(since_ms), moment(until_ms)
        self.begins_ms: int | None = None  # the first stamp of what was read
        self._files = _opened(path)
        self.rotated = len(self._files) > 1  # so that there may have been older pieces
        self.skipped = 0  # pieces from before the span
        while self._files and ended_before(self._files[0], since_ms):
            os.close(self._files.pop(0))
            self.skipped += 1
        self._sizes = [os.fstat(file).st_size for file in self._files]  # what comes later is of later requests
        self.bytes = sum(self._sizes)
        self._inside = True  # whether the line before was of the span: so is then one that cannot be read

    def close(self) -> None:
        while self._files:
            os.close(self._files.pop())

    def blocks(self, moments: Container[bytes] | None = None) -> Iterator[Block]:
        """The lines in the order written; with `moments`, only those of these times. May be asked again."""
        done = 0
        self._inside = not self.skipped
        for file, size in zip(self._files, self._sizes, strict=True):
            rest = b""
            for offset in range(0, size, _BLOCK_BYTES):
                piece = os.pread(file, min(_BLOCK_BYTES, size - offset), offset)
                *whole, rest = _separated(rest + piece)
                rest = rest[-LONGEST_BYTES:]
                done += len(piece)
                yield self._block(whole, moments, done)
            if rest:
                yield self._block(_separated(rest + _finished(file, size)), moments, done)

    def _block(self, raws: list[bytes], moments: Container[bytes] | None, done: int) -> Block:
        lines: list[Line] = []
        unreadable = 0
        for number, raw in enumerate(raws):
            if number % _PAUSE_EVERY == 0:
                time.sleep(_PAUSE_S)  # lets go of the interpreter, for whoever is being answered meanwhile
            stamp = STAMP.match(raw)
            if stamp and self.begins_ms is None:
                self.begins_ms = int(stamp[2].replace(b".", b""))
            if stamp and not self._is_inside(stamp[2]):
                continue
            if stamp and moments is not None and stamp[2] not in moments:
                continue
            line = _parsed(raw) if stamp else None
            if line:
                lines.append(line)
            elif raw and self._inside:
                unreadable += 1
        return Block(lines, unreadable, done)

    def _is_inside(self, stamped: bytes) -> bool:
        self._inside = self._since <= stamped <= self._until
        return self._inside


def facts(line: Line) -> dict[str, Any]:
    """What the log tells of a request, texts with one character per byte (latin-1)."""
    told: dict[str, Any] = orjson.loads(line.raw.decode("latin-1"))
    return told


def _parsed(raw: bytes) -> Line | None:
    try:
        told = _loaded(raw)
        request_id, moment = raw[_ID].decode(), raw[_MOMENT]
        return Line(
            request_uuid(request_id, moment.decode()),
            moment,
            told["status"],
            told["durability"],
            told.get("spool", ""),
            ", " in told["upstreams"] or " : " in told["upstreams"],
            raw,
        )
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return None


def _loaded(raw: bytes) -> Any:
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:  # nginx passes bytes beyond ASCII on as they are
        return orjson.loads(raw.decode("latin-1"))


def _separated(text: bytes) -> list[bytes]:
    """Its lines, the last one unfinished. Where nginx was killed, the next line begins within the torn one."""
    lines = text.split(b"\n")
    if text.count(BEGIN) > sum(line.startswith(BEGIN) for line in lines):
        lines = text.replace(b"\n" + BEGIN, BEGIN).replace(BEGIN, b"\n" + BEGIN).removeprefix(b"\n").split(b"\n")
    return lines


def _finished(file: int, size: int) -> bytes:
    """What is still being written of the last line; nothing, if nobody goes on with it."""
    deadline = time.monotonic() + _TORN_PATIENCE_S
    while time.monotonic() < deadline:
        more, newline, _ = os.pread(file, _BLOCK_BYTES, size).partition(b"\n")
        if newline:
            return more
        time.sleep(0.02)
    return b""


class _Rotated(Exception):
    """Nothing was there, or it was rotated so often meanwhile that it has to be opened anew."""


def _opened(path: Path) -> list[int]:
    """Every piece, the oldest first. Raises OSError, also when there is none."""
    for _ in range(_TRIES):
        with contextlib.suppress(_Rotated):
            return _opened_once(path)
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))


def _opened_once(path: Path) -> list[int]:
    files: list[int] = []  # the newest first: if the oldest are deleted meanwhile, that leaves no gap
    try:
        _open(path, files)  # not there for a moment, when it has just been renamed
        current = len(files)
        for piece in reversed(pieces(path)):
            _open(piece, files)
        if current and any(os.path.samestat(os.fstat(files[0]), os.fstat(file)) for file in files[1:]):
            os.close(files.pop(0))  # it was renamed meanwhile, and is among the pieces
        elif current and not os.fstat(files[0]).st_nlink:  # renamed and even deleted: its place is not known
            raise _Rotated
        if not files:
            raise _Rotated
    except BaseException:
        for file in files:
            os.close(file)
        raise
    return files[::-1]


def _open(path: Path, files: list[int]) -> None:
    """Add it to `files`, if it is there."""
    with contextlib.suppress(FileNotFoundError):
        files.append(opened(path))


def moment(ms: int) -> bytes:
    """As it stands in a stamp, where the bytes are in the order of time (until the year 2286)."""
    return b"%010d.%03d" % divmod(min(max(ms, 0), 9_999_999_999_999), 1000)
