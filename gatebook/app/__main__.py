"""`python -m gatebook.app`: run one replica, set up by the environment."""

import os

import uvloop

from gatebook import operating_system, settings
from gatebook.app.replica import Replica
from gatebook.errors import exit_politely


def main() -> None:
    chosen = settings.read(os.environ)
    operating_system.raise_open_files()
    operating_system.schedule_in_batches()
    uvloop.run(Replica(chosen).run(chosen.bind))


if __name__ == "__main__":
    exit_politely(main)
