"""gatebook up"""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from gatebook.cli.stack_option import data_option, stack

if TYPE_CHECKING:
    from gatebook.settings import Settings

_WARNING = """\
Warning: whoever reaches {listen} can read all that is recorded
Try:     GATEBOOK_VIEW_PASSWORD_FILE=./password gatebook up --listen {listen}; or GATEBOOK_VIEW_ALLOW=10.0.0.0/8"""


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

    if _is_open_to_others(settings):
        click.echo(_WARNING.format(listen=settings.listen), err=True)
    start.up(settings, _found_anywhere(os.environ), folder, detach)


def _found_anywhere(environ: Mapping[str, str]) -> dict[str, str]:
    """`environ` with files by names that hold in every folder: parts do not run in this one."""
    files = {name: value for name, value in environ.items() if name.startswith("GATEBOOK_") and name.endswith("_FILE")}
    return {**environ, **{name: os.path.abspath(value) for name, value in files.items() if value}}


def _is_open_to_others(settings: "Settings") -> bool:
    """Whether other machines could read what was recorded without being asked for anything."""
    import socket
    from ipaddress import ip_address

    if settings.view_password or settings.view_allow:
        return False
    try:
        found = socket.getaddrinfo(settings.listen, settings.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return False  # it cannot be listened on, and that is told soon
    return not ip_address(str(found[0][4][0]).partition("%")[0]).is_loopback
