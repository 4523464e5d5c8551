"""gatebook scale"""

import click

from gatebook.cli.stack_option import data_option, stack


@click.command()
@click.argument("count", metavar="N")
@data_option
def scale(count: str, data: str | None) -> None:
    """Run N replicas, more or fewer; no request is dropped.

    \b
    gatebook scale 5
    """
    settings, folder = stack(data, scale=count)
    from gatebook.stack import control, steps

    control.ask(folder, {"do": "scale", "to": settings.scale}, steps.Steps())
