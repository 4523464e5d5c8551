"""PostgreSQL dies, hangs, is cut off or falls silent, and its disk is slow."""

import contextlib
import os
import signal
from collections.abc import Callable, Iterator

import psutil
from local_stack import Stack, until

from faults.checks import Findings
from faults.load import Outcome
from faults.proxy import Relay
from faults.strace import traced
from faults.trial import Trial, fault, tree
from gatebook.stack import postgres
from gatebook.stack.folder import Folder

SYNC_TAKES_S = 0.3
_BACKENDS = "FROM pg_stat_activity WHERE usename = 'gatebook_capture'"


@fault("SIGKILL of a PostgreSQL backend")
def kill_a_backend(trial: Trial) -> None:
    """PostgreSQL then ends all the others too, and recovers as after a crash."""
    backends = list(map(int, trial.stack.sql(f"SELECT pid {_BACKENDS}").split()))
    os.kill(backends[0], signal.SIGKILL)
    until(lambda: not psutil.pid_exists(backends[-1]), "the others to end")
    trial.stack.until_healthy()
    trial.until_committed()


@fault("SIGKILL of PostgreSQL's postmaster")
def kill_the_postmaster(trial: Trial) -> None:
    trial.kill("db")
    trial.until_committed()


@fault("PostgreSQL: immediate stop, and start")
def stop_the_database_at_once(trial: Trial) -> None:
    """No checkpoint, no goodbye: what a power cut leaves is recovered at the next start."""
    trial.kill("db", number=signal.SIGQUIT)
    trial.until_committed()


@fault("SIGSTOP of all PostgreSQL processes", lasts=True)
def hang_the_database(trial: Trial) -> None:
    """Connections stand, and nothing comes back."""
    with hung(trial.stack):
        trial.until_spooled()
        trial.go_on(trial.form.database_hangs_s)
    trial.until_committed()


@fault("SIGSTOP of PostgreSQL; SIGKILL of each replica meanwhile, and while spools are drained", lasts=True)
def hang_the_database_and_kill_the_replicas(trial: Trial) -> None:
    """What the dead have spooled is taken over by those that come after them, in the middle of it too."""
    replicas = trial.stack.replicas()
    with hung(trial.stack):
        trial.until_spooled()
        for name in replicas:
            trial.kill(name)
            trial.until_spooled()
    assert trial.stack.spooled() > 0
    for name in replicas:
        trial.kill(name)
    trial.until_committed()


@fault("connection to the database cut", lasts=True)
def cut_the_connection(trial: Trial) -> None:
    out_of_reach(trial, Relay.cut, trial.form.database_unreachable_s)


@fault("connection to the database silent (bytes swallowed)", lasts=True)
def silence_the_connection(trial: Trial) -> None:
    out_of_reach(trial, Relay.silence, trial.form.database_unreachable_s)


@fault("connection to the database silent for one replica of three", lasts=True)
def silence_the_connection_of_one(trial: Trial) -> None:
    """The others, who drain what the dead have left, keep away from what it spools: it lives."""
    pid = trial.stack.part("webapp-1")["pid"]
    out_of_reach(trial, lambda relay: relay.silence(pid), trial.form.database_unreachable_by_one_s)


@fault("slow disk: each sync of PostgreSQL takes 0.3 s longer", lasts=True)
def slow_the_disk(trial: Trial) -> None:
    with slow_syncs(trial.stack):
        trial.go_on(trial.form.disk_slow_s)
    trial.until_committed()

    def check(outcomes: list[Outcome], findings: Findings) -> None:
        assert findings.slowest_s > SYNC_TAKES_S, "no sync was slow"

    trial.afterwards.append(check)


def out_of_reach(trial: Trial, interrupt: Callable[[Relay], None], seconds: float) -> None:
    """The relay to the database is interrupted for so long, and lets through again."""
    with relayed(trial) as relay:
        interrupt(relay)
        trial.until_spooled()
        trial.go_on(seconds)
        relay.go_on()
        trial.until_committed()


@contextlib.contextmanager
def hung(stack: Stack) -> Iterator[None]:
    """PostgreSQL's processes are stopped for as long as the block runs."""
    processes = tree(psutil.Process(stack.part("db")["pid"]))
    for process in processes:  # the postmaster first: it starts no more
        process.suspend()
    try:
        yield
    finally:
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()


@contextlib.contextmanager
def relayed(trial: Trial) -> Iterator[Relay]:
    """Every replica's connection to the database goes through a relay."""
    replicas = len(trial.stack.replicas())
    with Relay.at(postgres.socket(Folder(trial.stack.data))) as relay:
        trial.stack.sql(f"SELECT pg_terminate_backend(pid) {_BACKENDS}")
        connected = f"SELECT count(*) {_BACKENDS} AND application_name = 'gatebook replica'"
        until(lambda: relay.connections >= replicas <= int(trial.stack.sql(connected)), "all to come through the relay")
        trial.until_committed()
        yield relay
    trial.until_committed()


@contextlib.contextmanager
def slow_syncs(stack: Stack) -> Iterator[None]:
    """strace(1) holds each sync of PostgreSQL's back."""
    processes = tree(psutil.Process(stack.part("db")["pid"]))
    delay = f"inject=fsync,fdatasync:delay_enter={SYNC_TAKES_S * 1e6:.0f}"
    with traced(processes, "-e", "trace=fsync,fdatasync", "-e", delay, "-o", os.devnull):
        yield
