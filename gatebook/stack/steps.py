"""What is being done, step by step, in short aligned lines with their time."""

import sys
import time
from collections.abc import Callable

Say = Callable[[str, str], None]  # the part, and what became of it


class Steps:
    """A Say that prints."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began

    def __call__(self, part: str, text: str) -> None:
        show(f"{self.seconds:6.2f} s  {part:<9} {text}")


def show(line: str) -> None:
    """Print a line; that nobody reads it any more must not stop the stack."""
    try:
        print(line, flush=True)
    except OSError:
        sys.stdout = open("/dev/null", "w")  # noqa: SIM115  # to the end of the process
