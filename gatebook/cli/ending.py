"""How a command that reads ends: by itself, by Ctrl-C, when nobody reads what it writes, or when its time is up.

Rule: an end that the user asked for is quiet. Ctrl-C is 130, a reader that has gone is 141, as the shell counts them.
"""

import os
import signal
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_INTERRUPTED = 128 + signal.SIGINT
_NO_READER = 128 + signal.SIGPIPE
_AGAIN_S = 0.1


class TimeIsUp(BaseException):
    """The block of `within` took longer than it may. As Ctrl-C, it must not be taken for an error on the way."""


class _NobodyReads(BaseException):
    """Whoever read our output has gone."""


@contextmanager
def quietly() -> Iterator[None]:
    """Decorates a command: it ends by Ctrl-C or a closed pipe without a word."""
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")  # a character that a terminal cannot show ends nothing
    try:
        yield
        sys.stdout.flush()
    except KeyboardInterrupt:
        raise SystemExit(_INTERRUPTED) from None
    except (BrokenPipeError, _NobodyReads):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is still buffered
        raise SystemExit(_NO_READER) from None


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Raises TimeIsUp inside the block when it has taken so long, whatever it waits for."""
    before = signal.signal(signal.SIGALRM, _raise(TimeIsUp))
    signal.setitimer(signal.ITIMER_REAL, seconds, _AGAIN_S)  # what is raised inside a finaliser is lost
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def without_readers() -> None:
    """Have the process end as soon as nobody reads the pipe that it writes to, even while it has nothing to write.

    Else `gatebook tail -f | head -1` would last until the request after.
    """
    import threading

    try:
        descriptor = sys.stdout.fileno()
        mode = os.fstat(descriptor).st_mode
    except (OSError, ValueError):
        return
    if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode):
        signal.signal(signal.SIGALRM, _raise(_NobodyReads))
        threading.Thread(target=_wake_at_hang_up, args=(descriptor,), daemon=True).start()


def _wake_at_hang_up(descriptor: int) -> None:
    import select
    import threading

    poll = select.poll()
    poll.register(descriptor, 0)  # hang-ups are told unasked
    poll.poll()
    if main := threading.main_thread().ident:
        signal.pthread_kill(main, signal.SIGALRM)


def _raise(kind: type[BaseException]) -> Callable[[int, FrameType | None], None]:
    def handler(number: int, frame: FrameType | None) -> None:
        raise kind

    return handler
