"""Disks run full: the database's, and the spools' too."""

import contextlib
from collections.abc import Iterator

from faults.clients import BUSY
from faults.small_disks import Disk, SmallDisks
from faults.trial import REFUSALS, Trial, fault


@fault("database disk full", lasts=True, small_disks=True)
def fill_the_disk_of_the_database(trial: Trial) -> None:
    """PostgreSQL refuses to write, or gives up and is started in vain until there is room again."""
    with full(_stack(trial).postgres):
        trial.until_spooled()
        trial.go_on(trial.form.disk_full_s)
    trial.until_committed()


@fault("database disk full, spool disk full as well", REFUSALS, lasts=True, small_disks=True)
def fill_both_disks(trial: Trial) -> None:
    """Nothing can be recorded, so nothing is acknowledged; when there is room, it goes on by itself."""
    with full(_stack(trial).postgres), full(_stack(trial).spool):
        refused = trial.load.seen(BUSY) + 4 * trial.load.clients
        trial.load.until(lambda: trial.load.seen(BUSY) >= refused, "refusals")
        trial.go_on(trial.form.disk_full_s)
    trial.until_committed()


def _stack(trial: Trial) -> SmallDisks:
    assert isinstance(trial.stack, SmallDisks)
    return trial.stack


@contextlib.contextmanager
def full(disk: Disk) -> Iterator[None]:
    """No room is left on a disk for as long as the block runs."""
    try:
        disk.fill()
        yield
    finally:
        disk.make_room()
