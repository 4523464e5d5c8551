"""What a filter finds, at a glance: how many, from when to when, where. Memory does not depend on how many. Pure."""

from collections import Counter
from uuid import UUID

_VALUES = 10_000  # that are told apart


class Glance:
    """Takes what was found, newest first."""

    def __init__(self) -> None:
        self.requests = 0
        self.newest: UUID | None = None
        self.oldest: UUID | None = None
        self.replicas: Counter[str] = Counter()
        self.paths: Counter[str] = Counter()  # wire text, its beginning

    def add(self, id: UUID, replica: str, path: str) -> None:
        """The next one."""
        self.requests += 1
        self.newest = self.newest or id
        self.oldest = id
        _count(self.replicas, replica)
        _count(self.paths, path)


def _count(counts: Counter[str], value: str) -> None:
    if value in counts or len(counts) < _VALUES:
        counts[value] += 1
