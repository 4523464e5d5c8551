"""The pieces of a log that is rotated by renaming: NAME.NUMBER, and the numbers only grow."""

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

_MTIME_LAG_S = 2  # a file system may keep whole seconds only


def pieces(path: Path) -> list[Path]:
    """What was put away of the log at `path`, the oldest first. Raises OSError."""
    found = [path.with_name(name) for name in os.listdir(path.parent) if name.startswith(f"{path.name}.")]
    return sorted((piece for piece in found if piece.name[len(path.name) + 1 :].isdecimal()), key=number)


def number(piece: Path) -> int:
    """By which pieces are in order."""
    return int(piece.suffix[1:])


def opened(path: Path, access: int = os.O_RDONLY) -> int:
    """A file descriptor to read a piece of the log from. Raises OSError, also for what is no regular file."""
    file = os.open(path, access | os.O_NONBLOCK)  # a pipe would keep us waiting
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return file


def newest_first(path: Path, access: int = os.O_RDONLY) -> Iterator[int]:
    """A file descriptor of each piece, to be closed. What is renamed meanwhile comes twice, what is deleted not at all.

    Raises OSError, also when there is none.
    """
    is_there = False
    for place in _places(path):
        with contextlib.suppress(FileNotFoundError):  # when it has just been renamed, or deleted
            file = opened(place, access)
            is_there = True
            yield file
    if not is_there:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))


def ended_before(file: int, ms: int) -> bool:
    """Whether nothing was written into it from that time on, Unix milliseconds."""
    return (os.fstat(file).st_mtime + _MTIME_LAG_S) * 1000 < ms


def _places(path: Path) -> Iterator[Path]:
    yield path
    yield from reversed(pieces(path))  # looked for after the first was opened, so that none is left out
