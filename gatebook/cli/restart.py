"""gatebook restart"""

import click

from gatebook.cli.stack_option import data_option, stack


@click.command()
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option("--rolling", is_flag=True, help="The replicas, one by one; no request is dropped.")
@data_option
def restart(names: tuple[str, ...], rolling: bool, data: str | None) -> None:
    """Restart everything, or only what is named.

    A replica or the viewer is replaced by a new process that takes over its place, the load balancer gets new
    workers: no request is dropped. Restarting the database, or everything, is noticed.

    \b
    gatebook restart --rolling
    gatebook restart webapp-2
    gatebook restart
    """
    _, folder = stack(data)
    from gatebook.stack import control, steps

    control.ask(folder, {"do": "restart", "names": list(names), "rolling": rolling}, steps.Steps())
