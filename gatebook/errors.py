"""What a user did or met that stops us, said so that they can mend it.

Rule: a UserError is printed as two lines and never as a traceback; what it says holds no secret.
"""

import sys
from collections.abc import Callable


class UserError(Exception):
    """Something a user can mend: `what` happened, to what, with the value; `hint` is what to try."""

    def __init__(self, what: str, hint: str) -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint

    def __str__(self) -> str:
        return f"Error: {self.what}\nTry:   {self.hint}"


def exit_politely(main: Callable[[], None]) -> None:
    """Run `main`; a UserError ends the process with its two lines on stderr and exit code 1."""
    try:
        main()
    except UserError as error:
        print(error, file=sys.stderr, flush=True)
        raise SystemExit(1) from None
