"""`gatebook down`: have the runner stop, and forget the data if that is asked for."""

import sqlite3
import time

from gatebook import spool
from gatebook.errors import UserError
from gatebook.stack import control, leftovers
from gatebook.stack.folder import Folder
from gatebook.stack.steps import Say, Steps, show

_RUNNER_ENDS_S = 10.0
_POLL_S = 0.02


def down(folder: Folder, volumes: bool) -> None:
    """Stop what runs, if anything does; with `volumes` delete what Gatebook made. Raises UserError."""
    if not folder.ours and not volumes:
        return show(f"no stack runs on {folder}")
    folder.check()
    steps = Steps()
    was_up = control.is_up(folder)
    if was_up:
        control.ask(folder, {"do": "down"}, steps)
    deadline = time.monotonic() + _RUNNER_ENDS_S
    while not folder.lock():
        if time.monotonic() > deadline:
            raise UserError(f"the runner on {folder} does not end", "gatebook ps; then end it by its process id")
        time.sleep(_POLL_S)
    left = leftovers.end(folder)
    for name in left:
        steps(name, "left by a runner that was killed, ended")
    if not was_up and not left:
        show(f"no stack runs on {folder}")
    if volumes:
        folder.forget()
        steps("data", "deleted")
    else:
        say_what_waits(folder, steps)
    folder.unlock()


def say_what_waits(folder: Folder, say: Say) -> None:
    """What was recorded while the database was away, and is not in it yet."""
    try:
        rows = spool.depth(folder.spool).rows
    except (OSError, sqlite3.Error) as error:
        return say("spool", f"cannot be read: {error}")
    if rows:
        say(
            "spool",
            "1 request waits there for the next up" if rows == 1 else f"{rows} requests wait there for the next up",
        )
