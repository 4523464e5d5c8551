"""Tries one input after the other on a target, and goes on from those that got somewhere new.

Rule: the same seed, corpus and number of tries give the same inputs. An input that takes more than HANG_S of processor
time hangs.
"""

import signal
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from types import FrameType
from zlib import crc32

from fuzz import changes, corpus, seen
from fuzz.target import Target

HANG_S = 3.0  # of an input of at most changes.LONGEST bytes, which takes some milliseconds
_SHRINK_S = 5.0
_LONGEST_KEPT = 600  # bytes of what is kept for getting somewhere new


class Hangs(BaseException):
    """It took too long; no Exception, so that no handler takes it for one of its own."""


@dataclass(frozen=True)
class Failure:
    """What an input did."""

    target: str
    data: bytes
    error: str  # the kind and the place, alike for all inputs that meet the same mistake
    trace: str


@dataclass
class Run:
    """What came of trying."""

    target: str
    tries: int = 0
    seconds: float = 0.0
    blocks: int = 0  # of the package that were run; 0 where nothing watches
    new: list[bytes] = field(default_factory=list)  # inputs that got somewhere new
    failure: Failure | None = None

    @property
    def per_second(self) -> float:
        return self.tries / self.seconds if self.seconds else 0.0


def tried(target: Target, data: bytes) -> Failure | None:
    """What is wrong with the target, seen by this input."""
    try:
        with _bounded():
            target.check(data)
    except (Exception, Hangs) as error:
        return Failure(target.name, data, _where(error), traceback.format_exc())
    return None


def replayed(target: Target) -> Iterator[Failure]:
    """Everything that is kept."""
    for data in (*target.seeds, *corpus.read(target.name)):
        if failure := tried(target, data):
            yield failure


def run(target: Target, seed: int, seconds: float, tries: int = 1 << 60) -> Run:
    """Until the first failure, which is shrunk, or until the time or the tries are over."""
    random = Random(seed ^ crc32(target.name.encode()))
    words = (*changes.WORDS, *target.words, *target.words, *target.words)
    pool = [*target.seeds, *corpus.read(target.name)] or [b""]
    done, known, started = Run(target.name), 0, time.monotonic()
    waiting = list(pool)
    while done.tries < tries and (waiting or time.monotonic() - started < seconds):
        data = waiting.pop() if waiting else changes.changed(random, _one_of(random, pool), pool, words)
        seen.forget()
        done.tries += 1
        if failure := tried(target, data):
            done.failure = _shrunk(target, failure)
            break
        blocks = seen.blocks()
        if blocks & ~known:
            known |= blocks
            if data not in pool:
                pool.append(data)
                done.new.append(data)
    done.seconds, done.blocks = time.monotonic() - started, seen.count(known)
    return done


def keep_new(done: Run) -> int:
    """Adds what got somewhere new to the corpus, if it is short; returns how many."""
    short = [data for data in done.new if len(data) <= _LONGEST_KEPT]
    for data in short:
        corpus.keep(done.target, data)
    return len(short)


def _one_of(random: Random, pool: list[bytes]) -> bytes:
    """Rather one of the last, from where more is new."""
    if random.random() < 0.3:
        return pool[-1 - min(int(random.expovariate(0.2)), len(pool) - 1)]
    return random.choice(pool)


@contextmanager
def _bounded() -> Iterator[None]:
    """By processor time: others may be busy as well."""

    def hangs(_: int, frame: FrameType | None) -> None:
        raise Hangs(f"{HANG_S:g} s of processor time")

    before = signal.signal(signal.SIGVTALRM, hangs)
    signal.setitimer(signal.ITIMER_VIRTUAL, HANG_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def _where(error: BaseException) -> str:
    """Of a hang, only that it is one: it may be interrupted anywhere."""
    if isinstance(error, Hangs):
        return "Hangs"
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {last.name}, line {last.lineno}"


def _shrunk(target: Target, failure: Failure) -> Failure:
    """The same with as few bytes as can be found in some seconds."""
    deadline = time.monotonic() + _SHRINK_S
    size = len(failure.data) // 2
    while size:
        at = 0
        while at < len(failure.data) and time.monotonic() < deadline:
            found = tried(target, failure.data[:at] + failure.data[at + size :])
            if found and found.error == failure.error:
                failure = found
            else:
                at += size
        size //= 2
    return failure
