"""gatebook scale"""

import click

from gatebook.cli.stack_option import data_option, stack


@click.command()
@click.argument("count", metavar="N", type=click.IntRange(1, 64))
@data_option
def scale(count: int, data: str | None) -> None:
    """Run N replicas, more or fewer; no request is dropped.

    Fewer take up to 10 s when somebody follows live events, whose streams end first, and go on by themselves.

    \b
    gatebook scale 5
    """
    _, folder = stack(data)
    from gatebook.stack import control, steps

    control.ask(folder, {"do": "scale", "to": count}, steps.Steps())
