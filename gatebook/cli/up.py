"""gatebook up"""

import os
from collections.abc import Mapping

import click

from gatebook.cli.stack_option import data_option, stack


@click.command()
@click.option("--scale", metavar="N", help="How many replicas (GATEBOOK_SCALE; 3).")
@click.option("--port", metavar="PORT", help="The port to open (GATEBOOK_PORT; 8080).")
@click.option("--listen", metavar="ADDRESS", help="The address to open it on (GATEBOOK_LISTEN; 127.0.0.1).")
@click.option("-d", "--detach", is_flag=True, help="Return when it is healthy, and leave it running.")
@data_option
def up(scale: str | None, port: str | None, listen: str | None, detach: bool, data: str | None) -> None:
    """Start the stack: load balancer, replicas, viewer, database.

    Runs until Ctrl-C, or in the background with -d. The URL is printed once a request has really been recorded.

    \b
    gatebook up
    gatebook up -d --scale 5 --port 8081
    gatebook up --data ./other --port 8082     a second stack beside the first
    GATEBOOK_VIEW_PASSWORD_FILE=./password gatebook up --listen 0.0.0.0    for other machines too
    """
    settings, folder = stack(data, scale=scale, port=port, listen=listen)
    from gatebook.stack import start

    start.up(settings, _found_anywhere(os.environ), folder, detach)


def _found_anywhere(environ: Mapping[str, str]) -> dict[str, str]:
    """`environ` with files by names that hold in every folder: parts do not run in this one."""
    files = {name: value for name, value in environ.items() if name.startswith("GATEBOOK_") and name.endswith("_FILE")}
    return {**environ, **{name: os.path.abspath(value) for name, value in files.items() if value}}
