"""--data, which every command that means a local stack takes, and what it leads to."""

import os
from dataclasses import replace
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


def database(data: str | None) -> "Settings":
    """Settings that lead to the local stack's database and its log, for who works on these. Raises UserError.

    Where POSTGRES_HOST is set, as in a container, and nobody names a stack, they lead where the environment says.
    """
    from gatebook import settings

    if data is None and os.environ.get("POSTGRES_HOST") and not os.environ.get("GATEBOOK_DATA"):
        return settings.read(os.environ)
    chosen, folder = stack(data)
    from gatebook.stack import control, postgres

    control.connect(folder).close()
    return replace(
        chosen,
        postgres_host=str(folder.database_run),
        postgres_port=postgres.PORT,
        postgres_user=postgres.NAME,
        postgres_password=folder.password.read_text().strip(),
        postgres_db=postgres.NAME,
        access_log=folder.access_log,
        spool=folder.spool,
    )
