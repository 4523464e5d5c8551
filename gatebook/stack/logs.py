"""The parts' logs: plain files that they append to, bounded in size, shown with the part's name before each line.

Files, not pipes through the runner: a part's last words survive the runner, and nobody waits for a reader.
"""

import contextlib
import itertools
import os
import re
import shutil
import time
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path

from gatebook.access_log.pieces import pieces

MOST_BYTES = 16 * 1024 * 1024
RUNNER = "runner"
ACCESS = "access"  # the load balancer's, JSON: shown only when asked for

_COLOURS = itertools.cycle((36, 33, 32, 35, 34, 96, 93, 92, 95, 94))
_NOTE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4} gatebook: ")
_ERROR = re.compile(
    r"(?:^Error: |\bFATAL:  |\berror: |\[emerg\] (?:\S+: )?)(.+)"
)  # ours, PostgreSQL's, initdb's, nginx's
_NOT_SHOWN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def note(path: Path, text: str) -> None:
    """Add a line of the runner's own to a part's log. A full disk is not a reason to stop."""
    with contextlib.suppress(OSError), open(path, "a", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S %z')} gatebook: {text}\n")


def last_words(path: Path, start: int) -> tuple[str, str]:
    """What a part said last, from byte `start`: its own "Error:" and "Try:" if it knew better, else its last line."""
    try:
        with open(path, "rb") as file:
            file.seek(max(start, size(path) - 65536))
            lines = [line for line in file.read().decode(errors="replace").splitlines() if not _NOTE.match(line)]
    except OSError:
        return "", ""
    errors = [match for line in lines if (match := _ERROR.search(line))]
    if not errors:
        return next((line.strip() for line in reversed(lines) if line.strip()), ""), ""
    hints = [line.removeprefix("Try:").strip() for line in lines if line.startswith("Try:")]
    return errors[-1][1].strip(), hints[-1] if hints else ""


def copy_and_truncate(path: Path, most_bytes: int = MOST_BYTES) -> bool:
    """Keep the log's content as NAME.log.1 and start it anew; the part goes on appending to the same file."""
    if size(path) <= most_bytes:
        return False
    shutil.copyfile(path, _older(path))
    _older(path).chmod(0o600)
    os.truncate(path, 0)
    return True


class Reader:
    """Reads new lines of logs, across their rotation."""

    def __init__(self, folder: Path, names: Iterable[str] = ()) -> None:
        self._folder = folder
        self._names = tuple(names)
        self._offsets: dict[tuple[int, int], int] = {}  # by file rather than by name: a rename loses no line

    def skip(self) -> None:
        """From now on only what is new."""
        for path in self.paths():
            for file in _files(path):
                self._skip(file)

    def paths(self) -> list[Path]:
        """The logs that are asked for; `webapp` means every replica's."""
        return sorted(path for path in self._folder.glob("*.log") if self._wanted(path.stem))

    def last(self, count: int | None) -> Iterator[tuple[str, str]]:
        """The last `count` lines of each log, or all of them; later reads go on from there."""
        for path in self.paths():
            lines = self._all(path) if count is None else self._last(path, count)
            yield from ((path.stem, line) for line in lines)

    def new(self) -> Iterator[tuple[str, str]]:
        """What has been added since the last read."""
        for path in self.paths():
            yield from ((path.stem, line) for line in self._all(path))

    def _all(self, path: Path) -> Iterator[str]:
        for file in _files(path):
            yield from self._read(file)

    def _last(self, path: Path, count: int) -> list[str]:
        lines: list[str] = []
        for file in reversed(_files(path)):
            if len(lines) < count:
                lines = [*deque(self._read(file), count - len(lines)), *lines]
            else:
                self._skip(file)
        return lines

    def _read(self, path: Path) -> Iterator[str]:
        with contextlib.suppress(FileNotFoundError), open(path, "rb") as file:
            found = os.fstat(file.fileno())
            key = (found.st_dev, found.st_ino)
            offset = self._offsets.get(key, 0)
            if found.st_size < offset:
                offset = 0
            file.seek(offset)
            for line in file:
                if not line.endswith(b"\n"):
                    break  # the rest is still to come
                offset += len(line)
                yield _NOT_SHOWN.sub("\ufffd", line.decode(errors="replace").rstrip("\r\n"))
            self._offsets[key] = offset

    def _skip(self, path: Path) -> None:
        with contextlib.suppress(FileNotFoundError):
            found = path.stat()
            self._offsets[found.st_dev, found.st_ino] = found.st_size

    def _wanted(self, name: str) -> bool:
        if not self._names:
            return name != ACCESS
        return name in self._names or name.rpartition("-")[0] in self._names


def _files(path: Path) -> list[Path]:
    """The files of a log, the oldest first. Of those that are copied and truncated the copy is not shown."""
    return [*pieces(path), path] if path.stem == ACCESS else [path]


class Prefix:
    """Puts the part's name before a line, as compose does."""

    def __init__(self, coloured: bool) -> None:
        self._coloured = coloured
        self._colours: dict[str, int] = {}

    def line(self, name: str, text: str) -> str:
        head = f"{name:<9} |"
        if self._coloured:
            head = f"\x1b[{self._colours.setdefault(name, next(_COLOURS))}m{head}\x1b[0m"
        return f"{head} {text}"


def _older(path: Path) -> Path:
    return path.with_name(f"{path.name}.1")
