"""The access log in pieces: access.log, which nginx writes, and access.log.<unix seconds>, which it has written.

Rule: a piece is renamed once and never changed, and the numbers only grow, so that in their order the pieces, and then
access.log, are the log. lb/start.sh does the same in the container.
"""

import time
from pathlib import Path

from gatebook.access_log.pieces import number, pieces
from gatebook.stack import logs

_PIECES = 16  # as many make up the limit
_LEAST_PIECE = 1024 * 1024


def rotate(path: Path, limit: int) -> bool:
    """Put the log away if it is a sixteenth of `limit` bytes; then nginx must be told to open it again (SIGUSR1).

    Nothing is lost: nginx goes on writing into the renamed file until it hears of it. Raises OSError.
    """
    if logs.size(path) <= max(limit // _PIECES, _LEAST_PIECE):
        return False
    newest = max(map(number, pieces(path)), default=0)
    path.rename(path.with_name(f"{path.name}.{max(int(time.time()), newest + 1)}"))
    return True


def prune(path: Path, limit: int) -> None:
    """Delete the oldest pieces while there are more than `limit` bytes of the log. Raises OSError."""
    there = pieces(path)
    total = logs.size(path) + sum(map(logs.size, there))
    for piece in there:
        if total <= limit:
            return
        total -= logs.size(piece)
        piece.unlink(missing_ok=True)
