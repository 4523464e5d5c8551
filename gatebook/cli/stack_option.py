"""--data, which every command that means a local stack takes, and what it leads to."""

import os
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from gatebook.settings import Settings
    from gatebook.stack.folder import Folder

data_option = click.option(
    "--data",
    metavar="DIR",
    help="The stack's folder (GATEBOOK_DATA; else /var/lib/gatebook for root, `gatebook` in the user's data folder).",
)


def stack(data: str | None, **given: str | None) -> "tuple[Settings, Folder]":
    """The settings, with what the command line gave, and the folder they mean. Raises UserError."""
    from gatebook import settings
    from gatebook.errors import UserError
    from gatebook.stack import folder

    if data == "":  # an unset variable in a script must not mean the default stack
        raise UserError("--data is empty", "name the stack's folder: --data DIR")
    chosen = settings.read(os.environ, data=data, **given)
    return chosen, folder.Folder(chosen.data or folder.default(os.environ))
