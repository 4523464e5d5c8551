"""A load of verifiable requests from a process of its own, and what its clients saw.

    with load(stack.url) as running:
        running.until(lambda: running.acknowledged > 1000, "a thousand answers")
        ...
    running.outcomes    # one for each request, once the block has ended

The block begins when every client can have had an answer, and ends only after requests have got through once more.
"""

import contextlib
import json
import os
import secrets
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from local_stack import until

from faults.clients import ACKNOWLEDGED

CLIENTS = 64
PATIENCE_S = 60.0


class Outcome(NamedTuple):
    """What became of one request, as its client saw it."""

    number: int
    outcome: str  # see clients.py
    id: str
    replica: str
    began: float  # monotonic clock, seconds
    ended: float
    why: str  # what an error's answer says

    @property
    def acknowledged(self) -> bool:
        return self.outcome in ACKNOWLEDGED


class Load:
    """What a load has done so far; may be asked while it runs."""

    def __init__(self, url: str, clients: int, folder: Path) -> None:
        self.run = secrets.token_hex(4)  # in every token of it
        self.clients = clients
        place = urlsplit(url)
        self.authority = f"{place.hostname}:{place.port}"
        self.outcomes: list[Outcome] = []
        self._so_far: Counter[str] = Counter()
        self._file = folder / "outcomes"
        words = [str(place.hostname), str(place.port), self.run, str(clients), str(self._file)]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "faults.clients", *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        )  # fmt: skip
        self._listening = threading.Thread(target=self._listen)
        self._listening.start()

    @property
    def acknowledged(self) -> int:
        return sum(self._so_far[outcome] for outcome in ACKNOWLEDGED)

    def seen(self, outcome: str) -> int:
        """How often a request had this outcome."""
        return self._so_far[outcome]

    def until(self, condition: Callable[[], Any], what: str, longest_s: float = PATIENCE_S) -> None:
        """Wait for `condition`; fails, saying how far the load is, when that takes too long or the load has died."""

        def met() -> bool:
            assert self._process.poll() is None, f"the clients have ended: {self._process.returncode}"
            return bool(condition())

        try:
            until(met, what, longest_s)
        except AssertionError as error:
            raise AssertionError(f"{error}; so far {dict(self._so_far)}") from None

    def until_more(self, acknowledged: int, longest_s: float = PATIENCE_S) -> None:
        """Wait for so many more acknowledged answers."""
        wanted = self.acknowledged + acknowledged
        self.until(lambda: self.acknowledged >= wanted, f"{acknowledged} more acknowledged answers", longest_s)

    def stop(self) -> None:
        """Begin no more requests, wait for the last answers, read the outcomes."""
        assert self._process.stdin
        self._process.stdin.close()
        code = self._process.wait(PATIENCE_S)
        self._listening.join()
        assert code == 0, f"the clients ended with {code}"
        with self._file.open() as lines:
            self.outcomes = [_outcome(line) for line in lines]

    def kill(self) -> None:
        """Leave nothing behind, whatever has happened."""
        assert self._process.stdin
        self._process.kill()
        self._process.stdin.close()
        self._process.wait()
        self._listening.join()

    def _listen(self) -> None:
        assert self._process.stdout
        with self._process.stdout as lines:
            for line in lines:
                self._so_far = Counter(json.loads(line))


@contextlib.contextmanager
def load(url: str, clients: int = CLIENTS) -> Iterator[Load]:
    """Requests to `url`, so many at a time, for as long as the block runs."""
    with TemporaryDirectory(prefix="gatebook-load-") as folder:
        running = Load(url, clients, Path(folder))
        try:
            running.until_more(4 * clients)
            yield running
            running.until_more(4 * clients)
            running.stop()
        finally:
            running.kill()


def _outcome(line: str) -> Outcome:
    number, outcome, id, replica, began, ended, why = line.rstrip("\n").split("\t")
    return Outcome(int(number), outcome, id, replica, float(began), float(ended), why)
