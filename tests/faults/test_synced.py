"""A kill proves that a crash loses nothing; this proves that it is on the disk, so that a power cut does not either.

strace(1) sees every byte that a replica reads and writes, and every sync, all in one order: what its file shows as one
line had nothing between its beginning and its end. Between a request's arrival and its answer there is a whole sync.
"""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
from local_stack import Stack, until

from faults.on_database import hung
from faults.strace import traced
from faults.trial import tree
from gatebook.identity import request_uuid

REQUESTS = 40
AT_ONCE = 4

_WATCHED = "trace=read,readv,recvfrom,recvmsg,write,writev,sendto,sendmsg,fsync,fdatasync"
_STAMP = re.compile(r"Gatebook Stamp: ([0-9a-f]{32}) (\d+\.\d{3}) ")
_ID = re.compile(r"HTTP/1\.1 200 OK.*Gatebook-Id: ([0-9a-f-]{36})")
_SYNC = re.compile(r"(\d+) +(?:f(?:data)?sync\(\d+(?P<begun>.*)|<\.\.\. f(?:data)?sync resumed>.*= (?P<ended>\S+).*)")


def test_a_committed_answer_leaves_only_after_a_sync_of_postgresql(own_stack: Stack, tmp_path: Path) -> None:
    own_stack.up("--scale", 1)
    replica, database = (psutil.Process(own_stack.part(name)["pid"]) for name in ("webapp-1", "db"))
    trace = tmp_path / "trace"
    with traced([replica, *tree(database)], "-s", "400", "-e", _WATCHED, "-o", str(trace)):
        durabilities = _send(own_stack)
    assert durabilities == {"committed"}
    _assert_synced(trace.read_text(), not_by={thread.id for thread in replica.threads()})


def test_a_spooled_answer_leaves_only_after_a_sync_of_the_spool(own_stack: Stack, tmp_path: Path) -> None:
    own_stack.up("--scale", 1)
    replica = psutil.Process(own_stack.part("webapp-1")["pid"])
    trace = tmp_path / "trace"
    with hung(own_stack):
        until(lambda: _durability(own_stack, "/") == "spooled", "the database is seen to be away")
        with traced([replica], "-s", "400", "-e", _WATCHED, "-o", str(trace)):
            durabilities = _send(own_stack)
    assert durabilities == {"spooled"}
    _assert_synced(trace.read_text(), not_by=set())


def _send(stack: Stack) -> set[str]:
    """A few requests at a time, so that some are written in one batch; how they were kept."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return set(pool.map(lambda number: _durability(stack, f"/synced/{number}"), range(REQUESTS)))


def _durability(stack: Stack, target: str) -> str:
    answer = stack.send("POST", target, b"body")
    return f"{answer.headers['Gatebook-Durability']}"


def _assert_synced(trace: str, not_by: set[int]) -> None:
    lines = trace.splitlines()
    arrived = {request_uuid(*found.groups()): at for at, line in enumerate(lines) if (found := _STAMP.search(line))}
    answered = {found[1]: at for at, line in enumerate(lines) if (found := _ID.search(line))}
    syncs = list(_syncs(lines, not_by))
    assert len(arrived) >= REQUESTS
    assert arrived.keys() == answered.keys()
    for id, at in arrived.items():
        assert any(at < begun <= ended < answered[id] for begun, ended in syncs), f"{id} was answered without a sync"


def _syncs(lines: list[str], not_by: set[int]) -> Iterator[tuple[int, int]]:
    """On which lines each sync that went well began and ended."""
    begun: dict[int, int] = {}
    for at, line in enumerate(lines):
        found = _SYNC.fullmatch(line)
        if not found or int(found[1]) in not_by:
            continue
        if found["ended"] == "0":
            yield begun.pop(int(found[1])), at
        elif found["begun"] and found["begun"].endswith("= 0"):
            yield at, at
        elif found["begun"]:
            begun[int(found[1])] = at
