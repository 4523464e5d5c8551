"""gatebook ps"""

import json
from typing import Any

import click

from gatebook.cli.stack_option import data_option, stack


@click.command()
@click.option(
    "--json", "as_json", is_flag=True, help="A JSON list: name, role, pid, state, address, restarts, seconds."
)
@data_option
def ps(as_json: bool, data: str | None) -> None:
    """Show the parts of the stack and how they are.

    \b
    gatebook ps
    gatebook ps --json
    """
    _, folder = stack(data)
    from gatebook.stack import control

    parts = control.ask(folder, {"do": "ps"}, lambda part, text: None) if control.is_up(folder) else []
    if not parts:
        click.echo(f"no stack runs on {folder}", err=True)
    click.echo(json.dumps(parts, indent=2) if as_json else _table(parts))


def _table(parts: list[dict[str, Any]]) -> str:
    rows = [("NAME", "ROLE", "PID", "STATE", "ADDRESS"), *(_row(part) for part in parts)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def _row(part: dict[str, Any]) -> tuple[str, ...]:
    state = part["state"]
    if part["restarts"]:
        state += f" ({part['restarts']} restart{'s' if part['restarts'] > 1 else ''})"
    return part["name"], part["role"], str(part["pid"] or "-"), state, part["address"]
