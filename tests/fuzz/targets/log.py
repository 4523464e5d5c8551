"""The load balancer's access log, with what clients wrote into it and what a crash left of it."""

import os
import tempfile
import threading
from pathlib import Path

import orjson
from lines import BEGIN, id_of, line

from fuzz.target import target
from gatebook.viewer import passage
from gatebook.viewer.audit import access_log

_MS = 1_795_435_200_000
_FOLDER = tempfile.TemporaryDirectory(prefix="gatebook-fuzz-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None)
_LINES = [line(number, _MS + number) for number in range(3)]


@target(
    "log",
    [BEGIN, b"\n", b"\\u00ff", b'"', b"}", b'"status":200', b'"upstreams":"', *_LINES],
    [*_LINES, b"".join(_LINES), _LINES[0][:50] + _LINES[1]],
)
def log(data: bytes) -> None:
    """Lines that are whole are read, whatever lies between them; nothing else is taken for one of them."""
    text = line(7, _MS) + data + b"\n" + line(8, _MS + 1)
    file = Path(_FOLDER.name, "access.log")
    file.write_bytes(text)
    read = access_log.Log(file, 0, _MS * 2)
    try:
        found = [one for block in read.blocks() for one in block.lines]
        unreadable = sum(block.unreadable for block in read.blocks())
    finally:
        read.close()
    ids = [one.id for one in found]
    assert ids[0] == id_of(7, _MS) and ids[-1] == id_of(8, _MS + 1)
    assert len(found) + unreadable <= 2 + data.count(b"\n") + 1 + data.count(BEGIN)
    for one in found:
        assert orjson.loads(one.raw.decode("latin-1"))["stamp"].encode() in text
        access_log.facts(one)
    for number in (7, 8):
        told = passage.find(file, id_of(number, _MS + number - 7), threading.Event())
        assert told and told["status"] == 200 and told["replica"] == "webapp-1"
    assert passage.find(file, id_of(9, _MS), threading.Event()) is None or BEGIN in data
