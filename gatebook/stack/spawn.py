"""Start a process that cannot outlive us unnoticed.

Each is the leader of a session and process group of its own: Ctrl-C reaches only the runner, and the children of one
that died can be ended by group (nginx's workers go on holding the port without their master). On Linux the kernel
signals it when the runner dies (prctl(2), PR_SET_PDEATHSIG); that signal follows the *thread* that forked and is
forgotten when the user id changes, so: spawn from the main thread, and ask for it after the change.

Asyncio waits for each in a thread; whatever polls it meanwhile (a cancelled spawn, Process.send_signal) may take the
exit status away from that thread. So a spawn is never cut in the middle, and signals are sent without a poll.
"""

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from gatebook import operating_system
from gatebook.stack.account import Account

T = TypeVar("T")

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


async def spawn(
    command: Sequence[str],
    environment: Mapping[str, str],
    log: Path,
    *,
    account: Account | None = None,
    stdin: int = asyncio.subprocess.DEVNULL,
    dies_by: signal.Signals = signal.SIGTERM,
    in_batches: bool = False,
) -> asyncio.subprocess.Process:
    """Start `command`, its output appended to `log`; `dies_by` is what it gets when we die. Raises OSError.

    `in_batches`: what it is woken for can wait until whoever woke it has done its turn (SCHED_BATCH, sched(7)).
    """
    with open(log, "ab", opener=_private) as output:  # noqa: ASYNC230  # at once, on a local disk
        starting = asyncio.create_task(
            asyncio.create_subprocess_exec(
                *command,
                stdin=stdin,
                stdout=output,
                stderr=output,
                cwd="/",
                env=dict(environment),
                umask=0o077,
                start_new_session=True,
                preexec_fn=_before_exec(dies_by, in_batches),
                **(account.popen if account else {}),
            )
        )
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:
            with contextlib.suppress(OSError):
                await kill(await _insist(starting))
            raise


def send(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    """Send it a signal, if it runs."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, number)


async def kill(process: asyncio.subprocess.Process) -> None:
    """End it and its group at once; returns when it has ended."""
    kill_group(process.pid)
    await _insist(asyncio.create_task(process.wait()))


def kill_group(leader: int) -> None:
    """End what is left of a process group; its leader may have been reaped."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


def ending(code: int) -> str:
    """How a process ended, in words."""
    return f"ended with signal {-code}" if code < 0 else f"ended with code {code}"


async def _insist(task: "asyncio.Task[T]") -> T:
    """The result of `task`, a matter of milliseconds, which is waited for even when we are cancelled meanwhile."""
    while not task.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait([task])
    return task.result()


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _before_exec(number: signal.Signals, in_batches: bool) -> Callable[[], None] | None:
    """What runs in the child before exec: a few calls that need no lock."""
    libc = _libc
    if libc is None:
        return None
    us = os.getpid()

    def ask() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)
        if os.getppid() != us:  # we died before the question
            os._exit(1)
        if in_batches:
            operating_system.schedule_in_batches()

    return ask
