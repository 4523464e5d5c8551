"""The stacks that faults strike: one for most of them, one on small disks; another in the place of one that is hurt."""

import contextlib
from collections.abc import Iterator

from local_stack import Stack

from faults.small_disks import SmallDisks
from faults.trial import Fault


class Stacks(contextlib.ExitStack):
    """Made when they are first wanted, removed at the end."""

    def __init__(self) -> None:
        super().__init__()
        self._there: dict[type[Stack], Stack] = {}

    @contextlib.contextmanager
    def on(self, fault: Fault) -> Iterator[Stack]:
        """A healthy stack of three replicas for `fault`. It serves no other when the block has failed."""
        kind = SmallDisks if fault.small_disks else Stack
        stack = self._there.pop(kind, None) or self._up(kind)
        yield stack
        self._there[kind] = stack

    def audits(self) -> Iterator[str]:
        """What `gatebook audit` says of each that still serves. Fails where that is not a proof."""
        for stack in self._there.values():
            yield stack.gatebook("audit").stdout.strip()

    def _up(self, kind: type[Stack]) -> Stack:
        stack = kind()
        self.callback(stack.remove)
        stack.up("--scale", 3)
        return stack
