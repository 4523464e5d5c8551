"""The pieces of a log that is rotated by renaming: NAME.NUMBER, and the numbers only grow."""

import os
from pathlib import Path


def pieces(path: Path) -> list[Path]:
    """What was put away of the log at `path`, the oldest first. Raises OSError."""
    found = [path.with_name(name) for name in os.listdir(path.parent) if name.startswith(f"{path.name}.")]
    return sorted((piece for piece in found if piece.name[len(path.name) + 1 :].isdecimal()), key=number)


def number(piece: Path) -> int:
    """By which pieces are in order."""
    return int(piece.suffix[1:])
