"""Takes what a client sent out of the load balancer's log: the request lines and peers of forgotten requests.

Rules: they are overwritten in place, with as many bytes, so that nothing in the log moves while nginx appends to it and
others read it; the rest of each line stays, since the audit needs it. Doing it twice does no harm.
"""

import os
import re
from collections.abc import Collection, Iterator
from pathlib import Path

from gatebook.access_log import line
from gatebook.access_log.line import STAMP
from gatebook.access_log.pieces import ended_before, newest_first
from gatebook.access_log.span import span
from gatebook.identity import request_uuid, unix_ms

_BLOCK_BYTES = 1024 * 1024
_STAMP_BYTES = 57  # of what STAMP matches
_SENT = re.compile(rb'"(?:request|peer)":"([^"\\]*+(?:\\.[^"\\]*+)*)')


def forget(log: Path, ids: Collection[str]) -> set[str]:
    """Overwrite what the lines of `ids` in `log` and its rotated pieces say of them; returns those that it found.

    Blocking. Raises OSError when the log cannot be read or written.
    """
    if not ids:
        return set()
    since_ms, until_ms = unix_ms(min(ids)), unix_ms(max(ids))
    wanted = {line.digits(id): id for id in ids}
    found: set[str] = set()
    for file in newest_first(log, os.O_RDWR):
        try:
            if ended_before(file, since_ms):
                break  # nor are they in older ones
            found |= _forget(file, span(file, os.fstat(file).st_size, since_ms, until_ms), wanted)
        finally:
            os.close(file)
    return found


def _forget(file: int, between: tuple[int, int], wanted: dict[bytes, str]) -> set[str]:
    found = set()
    for at, id in _stamped(file, *between, wanted):
        for sent in _SENT.finditer(line.at(file, at)):
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
