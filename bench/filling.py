"""What filling the search index costs the captures: `python -m bench.filling`.

One local stack under load, in turn with its index filled and not: whoever holds the lock of the filling keeps it from
being filled. What was not filled meanwhile waits, so that there is always something to do when it is.
"""

import argparse
import contextlib
import statistics
import time
from collections.abc import Iterator

from bench.load import Request, Run, measure
from bench.pair import show
from bench.systems import Gatebook, free_port, scratch

_LOCK = "hashtext('gatebook.index')"
_KILL = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE usename = 'gatebook_index' AND datname = current_database()"
)
_FILLING = (
    "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid)"
    " WHERE locktype = 'advisory' AND granted AND usename = 'gatebook_index'"
)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.filling", description=__doc__.splitlines()[0])
    parser.add_argument("--connections", default="16,64,256")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=4)
    chosen = parser.parse_args()
    requests = [Request("page", "GET", "/", 0), Request("post", "POST", "/some/path", 1024)]
    with scratch() as folder, Gatebook(folder / "stack", free_port()) as gatebook:
        for request in requests:
            for connections in map(int, chosen.connections.split(",")):
                compare(gatebook, request, connections, chosen.rounds, chosen.seconds)


def compare(gatebook: Gatebook, request: Request, connections: int, rounds: int, seconds: float) -> None:
    runs: dict[str, list[Run]] = {"filled": [], "not": []}
    before = indexed(gatebook)
    for number in range(rounds):
        for name in (("not", "filled"), ("filled", "not"))[number % 2]:
            with nobody_fills(gatebook) if name == "not" else somebody_fills(gatebook):
                runs[name].append(measure(gatebook.system(), request, connections, seconds))
    rates = {name: statistics.median(run.per_second for run in each) for name, each in runs.items()}
    took = indexed(gatebook) - before
    print(
        f"{request.name}: filled / not = {rates['filled'] / rates['not']:.3f}, {took:,} rows indexed meanwhile",
        flush=True,
    )
    show(connections, {"this": runs["not"], "other": runs["filled"]})


def indexed(gatebook: Gatebook) -> int:
    """How many rows are in blocks, roughly."""
    with gatebook.connected() as cursor:
        cursor.execute(
            "SELECT (SELECT coalesce(sum(rows), 0) FROM search_blocks WHERE terms IS NOT NULL)"
            " + (SELECT coalesce(sum(length(blocks) / 36), 0) * 1024 FROM search_chunks)"
        )
        return int(cursor.fetchone()[0])


@contextlib.contextmanager
def nobody_fills(gatebook: Gatebook) -> Iterator[None]:
    """Take the lock from whoever has it, for as long as the block runs."""
    with gatebook.connected() as cursor:
        cursor.execute(_KILL)
        cursor.execute(f"SELECT pg_advisory_lock({_LOCK})")
        yield


@contextlib.contextmanager
def somebody_fills(gatebook: Gatebook) -> Iterator[None]:
    """Wait until the viewer does."""
    with gatebook.connected() as cursor:
        held = 0
        while not held:
            time.sleep(0.1)
            cursor.execute(_FILLING)
            held = cursor.fetchone()[0]
    yield


if __name__ == "__main__":
    main()
