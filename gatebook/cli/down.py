"""gatebook down"""

import click

from gatebook.cli.stack_option import data_option, stack


@click.command()
@click.option("-v", "--volumes", is_flag=True, help="Also delete the data: every recorded request.")
@data_option
def down(volumes: bool, data: str | None) -> None:
    """Stop the stack gracefully. The recorded requests are kept, unless --volumes says otherwise.

    \b
    gatebook down
    gatebook down --volumes
    """
    _, folder = stack(data)
    from gatebook.stack import end

    end.down(folder, volumes)
