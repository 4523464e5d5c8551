"""gatebook psql"""

import os

import click

from gatebook.cli.stack_option import data_option, stack


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", metavar="[-- ARGS]...", nargs=-1, type=click.UNPROCESSED)
@data_option
def psql(arguments: tuple[str, ...], data: str | None) -> None:
    """Open the shipped psql on the stack's database.

    \b
    gatebook psql
    gatebook psql -- -c "SELECT id, method, target FROM requests ORDER BY id DESC LIMIT 5"
    """
    _, folder = stack(data)
    from gatebook.stack import control, postgres

    control.connect(folder).close()
    command, environment = postgres.client(folder, "psql", arguments, os.environ)
    os.execve(command[0], command, environment)  # noqa: S606  # no shell is wanted
