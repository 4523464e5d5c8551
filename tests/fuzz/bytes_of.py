"""What an input stands for, where bytes as such would be refused at once: choices, numbers, texts, lists.

Rule: any bytes are something, and a small change of the bytes is a small change of what they stand for.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


class Bytes:
    """Taken from the beginning of `data`, and zeros when there is no more."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def left(self) -> int:
        return max(len(self._data) - self._at, 0)

    def byte(self) -> int:
        self._at += 1
        return self._data[self._at - 1] if self._at <= len(self._data) else 0

    def number(self, below: int) -> int:
        """Of as many bytes as that takes."""
        value = 0
        for _ in range((max(below - 1, 1).bit_length() + 7) // 8):
            value = value << 8 | self.byte()
        return value % below

    def choice(self, of: Sequence[T]) -> T:
        return of[self.number(len(of))]

    def flag(self) -> bool:
        return bool(self.byte() & 1)

    def some(self, most: int = 40) -> bytes:
        """As many bytes as the first one says."""
        end = min(self._at + 1 + self.number(most + 1), len(self._data))
        found = self._data[self._at : end]
        self._at = max(self._at, end)
        return found

    def rest(self) -> bytes:
        found, self._at = self._data[self._at :], len(self._data)
        return found

    def wire(self, most: int = 40) -> str:
        """One character per byte."""
        return self.some(most).decode("latin-1")

    def several(self, one: Callable[[], T], most: int = 8) -> list[T]:
        return [one() for _ in range(self.number(most + 1)) if self.left > 0]
