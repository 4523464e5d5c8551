"""The command line: one file per subcommand, read only when it is needed.

Rule: a subcommand's file imports nothing but click at its top, so that `gatebook --help` is there at once.
"""

import importlib
import os

import click

from gatebook import __version__
from gatebook.errors import exit_politely

COMMANDS = (
    "up", "down", "ps", "scale", "restart", "logs", "psql",
    "tail", "show", "wait", "count", "audit", "trail", "forget", "token", "completion",
)  # fmt: skip


class _Lazy(click.Group):
    """A group whose commands are the functions of the same name in the modules of the same name."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(importlib.import_module(f"gatebook.cli.{cmd_name}"), cmd_name)
        return command


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="gatebook")
def gatebook() -> None:
    """Write down every HTTP request that comes through the gate, once, durably.

    \b
    gatebook up                 run it here; open the URL that it prints
    gatebook ps                 what runs
    gatebook tail -f            what came through the gate, and what comes
    gatebook audit              prove that nothing acknowledged is missing
    gatebook down               stop; the requests are kept

    Every command takes --data DIR, or GATEBOOK_DATA, to say which stack it means.
    """


def main() -> None:
    """The console script."""
    if "_GATEBOOK_COMPLETE" in os.environ:
        from gatebook.cli import shells

        shells.install()
    exit_politely(gatebook)
