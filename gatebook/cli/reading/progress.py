"""How far a long answer is, on stderr, where that is a terminal."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click

_STEPS = 1000


class Progress:
    """Takes how much is done, from 0 to 1. The bar is there from the first such word on: what is quick has none."""

    def __init__(self, label: str) -> None:
        self._bar = click.progressbar(length=_STEPS, label=label, file=sys.stderr, hidden=not sys.stderr.isatty())
        self._shows = False
        self._done = self._done_before = 0.0

    def __call__(self, fraction: float) -> None:
        self._done = max(self._done, 1 - (1 - self._done_before) * (1 - fraction))
        if not self._shows:
            self._shows = True
            self._bar.__enter__()
        self._bar.update(round(self._done * _STEPS) - self._bar.pos)

    def go_on(self) -> None:
        """What is told from now on is of the part that is left."""
        self._done_before = self._done

    def close(self) -> None:
        if self._shows:
            self._bar.__exit__(None, None, None)


@contextmanager
def progress(label: str) -> Iterator[Progress]:
    """A Progress that ends with the block."""
    shown = Progress(label)
    try:
        yield shown
    finally:
        shown.close()
