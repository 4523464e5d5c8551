"""The inputs that are kept: for each target a text file with one input a line, as Python writes bytes.

Rule: they may be read and changed by hand. A line that begins with # says something of the next input.
"""

import ast
import hashlib
from pathlib import Path

FOLDER = Path(__file__).with_name("corpus")


def path(target: str) -> Path:
    return FOLDER / f"{target}.txt"


def read(target: str) -> list[bytes]:
    """In the order kept; empty for a target that has none yet."""
    if not path(target).exists():
        return []
    lines = path(target).read_text("ascii").splitlines()
    return [ast.literal_eval(line) for line in lines if line and not line.startswith("#")]


def name(data: bytes) -> str:
    """By which `--again` finds it."""
    return hashlib.sha256(data).hexdigest()[:12]


def keep(target: str, data: bytes, why: str = "") -> None:
    """Adds an input, unless it is there."""
    if data in read(target):
        return
    said = "".join(f"# {line}\n" for line in why.encode("ascii", "backslashreplace").decode().splitlines())
    with path(target).open("a", encoding="ascii") as file:
        file.write(f"{said}{data!r}\n")
