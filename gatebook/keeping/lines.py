"""Takes what a client sent out of the load balancer's log: the request lines and peers of forgotten requests.

Rules: they are overwritten in place, with as many bytes, so that nothing in the log moves while nginx appends to it and
others read it; the rest of each line stays, since the audit needs it. Doing it twice does no harm.
"""

import contextlib
import errno
import os
import re
from collections.abc import Collection, Iterator
from pathlib import Path

from gatebook.access_log.line import BEGIN, LONGEST_BYTES, MTIME_LAG_S, STAMP, opened
from gatebook.access_log.pieces import pieces
from gatebook.access_log.span import span
from gatebook.identity import request_uuid, unix_ms

_BLOCK_BYTES = 1024 * 1024
_STAMP_BYTES = 57  # of what STAMP matches
_USUAL_BYTES = 4096  # of a line
_SENT = re.compile(rb'"(?:request|peer)":"((?:[^"\\]|\\.)*+)')


def forget(log: Path, ids: Collection[str]) -> set[str]:
    """Overwrite what the lines of `ids` in `log` and its rotated pieces say of them; returns those that it found.

    Blocking. Raises OSError when the log cannot be read or written.
    """
    if not ids:
        return set()
    since_ms, until_ms = unix_ms(min(ids)), unix_ms(max(ids))
    wanted = {_digits(id): id for id in ids}
    found: set[str] = set()
    for file in _opened(log):
        try:
            about = os.fstat(file)
            if (about.st_mtime + MTIME_LAG_S) * 1000 < since_ms:
                break  # nor are they in older ones
            found |= _forget(file, span(file, about.st_size, since_ms, until_ms), wanted)
        finally:
            os.close(file)
    return found


def _forget(file: int, between: tuple[int, int], wanted: dict[bytes, str]) -> set[str]:
    found = set()
    for at, id in _stamped(file, *between, wanted):
        line = _line(file, at)
        for sent in _SENT.finditer(line):
            os.pwrite(file, b"-" * len(sent[1]), at + sent.start(1))
        found.add(id)
    if found:
        os.fsync(file)
    return found


def _stamped(file: int, begin: int, end: int, wanted: dict[bytes, str]) -> Iterator[tuple[int, str]]:
    """Where the lines of these begin, of those that begin from `begin` to `end`."""
    for offset in range(begin, end, _BLOCK_BYTES):
        block = os.pread(file, _BLOCK_BYTES + _STAMP_BYTES, offset)
        for stamp in STAMP.finditer(block):
            id = wanted.get(stamp[1][4:19])
            if id and stamp.start() < _BLOCK_BYTES and request_uuid(stamp[1].decode(), stamp[2].decode()) == id:
                yield offset + stamp.start(), id


def _digits(id: str) -> bytes:
    """What the id has of nginx's request id: its digits from the 5th to the 19th."""
    return id.replace("-", "")[17:].encode()


def _line(file: int, at: int) -> bytes:
    """The line that begins there; where nginx was killed, the next one begins within it."""
    line = b""
    for length in (_USUAL_BYTES, LONGEST_BYTES):
        line = os.pread(file, length, at)
        if b"\n" in line:
            break
    whole = line.partition(b"\n")[0]
    next_begins = whole.find(BEGIN, 1)
    return whole if next_begins < 0 else whole[:next_begins]


def _opened(path: Path) -> Iterator[int]:
    """Every piece, the newest first, to be written in. What is renamed meanwhile comes twice."""
    is_there = False
    for place in _pieces(path):
        with contextlib.suppress(FileNotFoundError):  # when it has just been renamed, or deleted
            file = opened(place, os.O_RDWR)
            is_there = True
            yield file
    if not is_there:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))


def _pieces(path: Path) -> Iterator[Path]:
    yield path
    yield from reversed(pieces(path))  # looked for after the first was opened, so that none is left out
