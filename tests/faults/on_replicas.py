"""Replicas die, hang, come and go."""

import contextlib
import os
import re
import signal

from local_stack import until

from faults.checks import Findings
from faults.load import Outcome
from faults.proxy import Relay
from faults.trial import Trial, fault
from gatebook.stack.folder import Folder


@fault("SIGKILL of a replica")
def kill_a_replica(trial: Trial) -> None:
    """What it had in hand is asked again of another."""
    trial.kill("webapp-2")


@fault("SIGKILL of each replica in turn")
def kill_each_replica_in_turn(trial: Trial) -> None:
    for name in trial.stack.replicas():
        trial.kill(name)


@fault("SIGKILL of two of three replicas at once")
def kill_two_replicas_at_once(trial: Trial) -> None:
    trial.kill("webapp-1", "webapp-3")


@fault("SIGSTOP of a replica", lasts=True)
def stop_a_replica(trial: Trial) -> None:
    """It holds requests without a word, and goes on with them when others have answered for it."""
    pid = trial.stack.kill("webapp-2", signal.SIGSTOP)
    try:
        trial.go_on(trial.form.replica_hangs_s)
    finally:
        with contextlib.suppress(ProcessLookupError):  # the stack has replaced it already
            os.kill(pid, signal.SIGCONT)
    trial.stack.until_healthy()


@fault("scale 3 → 6 → 1 → 3", lasts=True)
def scale(trial: Trial) -> None:
    for count in (6, 1, 3):
        trial.stack.gatebook("scale", count)
        trial.load.until_more(4 * trial.load.clients)


@fault("rolling restart", lasts=True)
def restart_rolling(trial: Trial) -> None:
    trial.stack.gatebook("restart", "--rolling")


@fault("a replica dies after commit, before its answer")
def die_before_the_answer(trial: Trial) -> None:
    """Between the load balancer and a replica the first answer to a POST is kept back, and the replica killed."""
    path = Folder(trial.stack.data).socket("webapp-1")
    pid = trial.stack.part("webapp-1")["pid"]
    kept_back = _Executioner(pid)
    with Relay.at(path, kept_back.answered):
        trial.stack.gatebook("restart", "lb")  # new workers, which have no connection round the relay
        until(lambda: kept_back.id, "an answer to a POST")
        trial.until_replaced({"webapp-1": pid})
    trial.afterwards.append(kept_back.check)


class _Executioner:
    """Kills the replica at its first answer to a POST, which nobody then sees."""

    def __init__(self, pid: int) -> None:
        self.id = ""
        self._pid = pid

    def answered(self, asked: bytes, answer: bytes) -> bool:
        if not self.id and b"\r\nGatebook Request: POST /load/" in asked and answer.startswith(b"HTTP/1.1 200 "):
            os.kill(self._pid, signal.SIGKILL)
            found = re.search(rb"\r\nGatebook-Id: (\S+)\r\n", answer)
            assert found
            self.id = found[1].decode()
        return not self.id

    def check(self, outcomes: list[Outcome], findings: Findings) -> None:
        """That it is stored once is counted as of all others."""
        [told] = [outcome for outcome in outcomes if outcome.id == self.id]
        assert told.acknowledged, told
        assert told.replica != "webapp-1", told
