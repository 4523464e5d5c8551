"""One fault on a real stack under load: struck, recovered from, and then everything is counted."""

import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

import psutil
from local_stack import Stack, runs, until

from faults import checks
from faults.checks import Findings
from faults.clients import BUSY, CUT, NOBODY, TORN
from faults.load import Load, Outcome, load

ROUND_WITHIN_S = 600.0  # between two, on a slow machine


class Form(NamedTuple):
    """How often and how long a fault strikes, in seconds, and how much goes on around it."""

    rounds: int  # of a fault that is over quickly
    acknowledged: int  # answers, at least, around one fault
    database_hangs_s: float
    database_unreachable_s: float
    disk_full_s: float
    disk_slow_s: float
    replica_hangs_s: float = 10.0  # longer than the load balancer waits
    database_unreachable_by_one_s: float = 8.0  # the others look for what to drain every two


SHORT = Form(1, 2_000, database_hangs_s=4, database_unreachable_s=4, disk_full_s=2, disk_slow_s=3)
LONG = Form(4, 40_000, database_hangs_s=20, database_unreachable_s=30, disk_full_s=15, disk_slow_s=20)


class Allowed(NamedTuple):
    """What errors a fault excuses: some kinds at any number, others once for each client and round."""

    words: str
    kinds: frozenset[str] = frozenset()
    in_flight: frozenset[str] = frozenset()


NOTHING = Allowed("0")
REFUSALS = Allowed("503 only", kinds=frozenset({BUSY}))
IN_FLIGHT = Allowed("in flight on it", in_flight=frozenset({CUT, TORN}))
IN_FLIGHT_THEN_NOBODY = Allowed("in flight, then nobody listens", frozenset({NOBODY}), frozenset({CUT, TORN}))
CLEAN_REFUSAL = Allowed("clean refusal", frozenset({NOBODY, BUSY}), frozenset({CUT}))


class Trial:
    """What a fault has at hand: the stack, its load, the form. `afterwards` is asked when the load has ended."""

    def __init__(self, stack: Stack, load: Load, form: Form) -> None:
        self.stack = stack
        self.load = load
        self.form = form
        self.afterwards: list[Callable[[list[Outcome], Findings], None]] = []

    def go_on(self, seconds: float) -> None:
        """Let the fault last while the load runs."""
        end = time.monotonic() + seconds
        self.load.until(lambda: time.monotonic() > end, f"{seconds:g} s to pass", 2 * seconds + 10)

    def kill(self, *names: str, number: int = 9) -> None:
        """Send a signal to parts, at once, and wait until the runner has others in their places, healthy."""
        before = {part["name"]: part["pid"] for part in self.stack.ps() if part["name"] in names}
        for pid in before.values():
            psutil.Process(pid).send_signal(number)
        self.until_replaced(before)

    def until_replaced(self, before: dict[str, int]) -> None:
        def replaced() -> bool:
            now = {part["name"]: part for part in self.stack.ps()}
            return all(now[name]["pid"] != pid and now[name]["state"] == "healthy" for name, pid in before.items())

        until(replaced, f"others in the place of {before}", every_s=0.1)

    def until_spooled(self) -> None:
        """The database is seen to be away: every client may have had an answer out of a spool."""
        wanted = self.load.seen("spooled") + self.load.clients
        self.load.until(lambda: self.load.seen("spooled") >= wanted, "answers that are spooled")

    def until_committed(self) -> None:
        """All is well again: so many answers from the database that every client may have had one."""
        wanted = self.load.seen("committed") + 4 * self.load.clients
        self.load.until(lambda: self.load.seen("committed") >= wanted, "answers that are committed")


class Fault(NamedTuple):
    """What is done to a stack, and what its clients may see of that."""

    name: str
    allowed: Allowed
    strike: Callable[[Trial], None]
    lasts: bool  # it takes its time: once a trial is enough
    small_disks: bool  # it needs a stack on file systems that can be filled

    @property
    def id(self) -> str:
        return self.strike.__name__


def fault(
    name: str, allowed: Allowed = NOTHING, *, lasts: bool = False, small_disks: bool = False
) -> Callable[[Callable[[Trial], None]], Fault]:
    """Make a Fault of the function that strikes."""
    return lambda strike: Fault(name, allowed, strike, lasts, small_disks)


class Result(NamedTuple):
    """How a trial went. No `troubles`: what is promised was kept."""

    rounds: int
    findings: Findings
    troubles: list[str]


def run(fault: Fault, stack: Stack, form: Form) -> Result:
    """Strike under load, let it recover, drain the spools, count. Fails when it does not recover."""
    rounds = 1 if fault.lasts else form.rounds
    with load(stack.url) as running:
        trial = Trial(stack, running, form)
        for number in range(rounds):
            running.until_more(form.acknowledged * number // rounds - running.acknowledged, ROUND_WITHIN_S)
            fault.strike(trial)
        running.until_more(form.acknowledged - running.acknowledged, ROUND_WITHIN_S)
    stack.until_healthy()
    left = checks.drain(stack)
    findings = checks.find(stack, running)
    for check in trial.afterwards:
        check(running.outcomes, findings)
    unexcused = _unexcused(fault.allowed, findings, rounds * running.clients)
    return Result(rounds, findings, [*findings.troubles, *left, *unexcused])


def _unexcused(allowed: Allowed, findings: Findings, in_flight: int) -> list[str]:
    """Errors that the fault does not excuse."""
    errors = findings.errors
    troubles = [f"{count} × {kind}" for kind, count in errors.items() if kind not in allowed.kinds | allowed.in_flight]
    if troubles and findings.reasons:
        troubles.append(f"they said: {dict(findings.reasons.most_common(5))}")
    cut = sum(errors[kind] for kind in allowed.in_flight)
    if cut > in_flight:
        troubles.append(f"{cut} requests cut off, and at most {in_flight} were in flight")
    return troubles


def tree(process: psutil.Process) -> list[psutil.Process]:
    """A process and all below it."""
    return [process, *process.children(recursive=True)]


def until_gone(processes: Iterable[psutil.Process]) -> None:
    until(lambda: not [each for each in processes if runs(each)], "the processes to end")
