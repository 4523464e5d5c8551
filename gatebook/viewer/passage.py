"""The passage of one request through the load balancer: its line in the access log, found among millions.

Rules: a part of the log is left out only where the line cannot be (access_log/span.py). The rest is looked through for
the digits that the id has of nginx's request id, a block at a time, so that memory is bounded, and whoever asked can
have it stopped.
"""

import asyncio
import os
import re
import threading
import time
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson

from gatebook.access_log import line
from gatebook.access_log.line import BEGIN, STAMP
from gatebook.access_log.pieces import ended_before, newest_first
from gatebook.access_log.span import span
from gatebook.identity import request_uuid, unix_ms

LONGEST_S = 20.0  # to find it in, or to give up; 1 GiB that is in memory takes 0.4 s
SETTLE_S = 2.0  # after which a line has been written, if its request was answered at once
_AGAIN_S = 0.25
_BLOCK_BYTES = 256 * 1024
_BETWEEN_TRIES = re.compile(", | : ")  # the second, where nginx began anew


class Passages:
    """Finds the passage of a request, of one at a time."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._turn = asyncio.Semaphore(1)

    async def of(self, id: UUID) -> dict[str, Any] | None:
        """As schema.Passage describes it; None if the log does not have it. Of a new request it is waited for.

        Raises TimeoutError when it took too long, else OSError when the log cannot be read.
        """
        patience_until = time.monotonic() + SETTLE_S
        async with asyncio.timeout(LONGEST_S):
            while True:
                async with self._turn:
                    found = await _in_thread(self._log, str(id))
                is_new = time.time() - unix_ms(str(id)) / 1000 < SETTLE_S
                if found or not is_new or time.monotonic() > patience_until:
                    return found
                await asyncio.sleep(_AGAIN_S)


async def _in_thread(log: Path, id: str) -> dict[str, Any] | None:
    """Who is cancelled has the thread stopped, and waits for that: it takes a block."""
    stop = threading.Event()
    finding = asyncio.ensure_future(asyncio.to_thread(find, log, id, stop))
    try:
        return await asyncio.shield(finding)
    finally:
        stop.set()
        await asyncio.wait({finding})


def find(log: Path, id: str, stop: threading.Event) -> dict[str, Any] | None:
    """What `log` and its rotated pieces tell of a request. Blocking; raises OSError."""
    if UUID(id).version != 7:
        return None
    for file in newest_first(log):
        try:
            if ended_before(file, unix_ms(id)):
                return None  # nor is it in older ones
            for text in _lines(file, *span(file, os.fstat(file).st_size, unix_ms(id), unix_ms(id)), id, stop):
                if found := _told(text, id):
                    return found
        finally:
            os.close(file)
    return None


def _lines(file: int, begin: int, end: int, id: str, stop: threading.Event) -> Iterator[bytes]:
    """The lines that may be of this request, of those that begin from `begin` to `end`."""
    digits = line.digits(id)
    before = len(BEGIN) + 4
    for offset in range(begin, end + before, _BLOCK_BYTES):
        if stop.is_set():
            return
        block = os.pread(file, _BLOCK_BYTES + len(digits) - 1, offset)
        found = block.find(digits)
        while found >= 0:
            if offset + found >= before:
                yield line.at(file, offset + found - before)
            found = block.find(digits, found + 1)


def _told(text: bytes, id: str) -> dict[str, Any] | None:
    """As schema.Passage has it, if this is the line of that request and whole. Texts have a character per byte."""
    stamp = STAMP.match(text)
    if not stamp or request_uuid(stamp[1].decode(), stamp[2].decode()) != id:
        return None
    try:
        log = orjson.loads(text.decode("latin-1"))
        return {
            "attempts": _attempts(log["upstreams"], log["upstream_statuses"]),
            "seconds": log["seconds"],
            "received_bytes": log["received"],
            "sent_bytes": log["sent"],
            "status": log["status"],
            "durability": log["durability"],
            "replica": log["replica"],
        }
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return None


def _attempts(upstreams: str, statuses: str) -> list[dict[str, Any]]:
    """Each try in turn; nginx writes 502 or 504 where there was no answer."""
    tries = zip_longest(*(_BETWEEN_TRIES.split(text) if text else [] for text in (upstreams, statuses)), fillvalue="")
    return [{"upstream": upstream, "status": int(status) if status.isdecimal() else None} for upstream, status in tries]
