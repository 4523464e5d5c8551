"""gatebook show"""

import json
import shutil
import sys
from typing import Any
from uuid import UUID

import click

from gatebook.cli import ending
from gatebook.cli.reading import remote


@click.command()
@click.argument("id", type=click.UUID)
@click.option("--raw", is_flag=True, help="The exact bytes of the body, and nothing else.")
@click.option("--json", "as_json", is_flag=True, help="A JSON object, as /_/api/requests/ID answers it.")
@click.option("--curl", is_flag=True, help="A shell command that sends the same request again.")
@click.option("--utc", is_flag=True, help="Times in UTC. Else: local ones.")
@remote.where_option
@ending.quietly()
def show(
    id: UUID, raw: bool, as_json: bool, curl: bool, utc: bool, url: str | None, data: str | None
) -> None:  # fmt: skip
    """Show one request: request line, headers, body.

    ID is the one of the receipt, of the header Gatebook-Id, or of `gatebook tail`. What the recorder knows beside what
    was sent is told on stderr.

    \b
    gatebook show 019aaf6e-3c5f-7d2a-8b1e-0242ac120002
    gatebook show 019aaf6e-3c5f-7d2a-8b1e-0242ac120002 --raw > body.bin
    gatebook show 019aaf6e-3c5f-7d2a-8b1e-0242ac120002 --json | jq .headers
    gatebook show 019aaf6e-3c5f-7d2a-8b1e-0242ac120002 --curl | sh
    """
    if raw + as_json + curl > 1:
        raise click.UsageError("--raw, --json and --curl are different things: choose one")
    with remote.gatebook(url, data) as gatebook:
        if raw:
            return _raw(gatebook, str(id))
        request = gatebook.get(f"/requests/{id}")
        if as_json:
            click.echo(json.dumps(request, indent=2))
        elif curl:
            _curl(gatebook, request, url, data)
        else:
            from gatebook.cli.reading import printed

            printed.echo(gatebook, request, utc)


def _raw(gatebook: remote.Gatebook, id: str) -> None:
    from gatebook.cli.reading import bodies

    for part in bodies.parts(gatebook, id):
        sys.stdout.buffer.write(part)
        sys.stdout.buffer.flush()


def _curl(gatebook: remote.Gatebook, request: dict[str, Any], url: str | None, data: str | None) -> None:
    from gatebook.cli.reading import bodies, shown
    from gatebook.errors import UserError
    from gatebook.snippets import curl as sending

    id = request["id"]
    if request["truncated"]:
        what = f"the body of request {id} is not kept whole, so the same cannot be sent again"
        raise UserError(what, f"gatebook show {id} --raw has what is kept")
    where = ("--url", url) if url is not None else ("--data", data) if data is not None else ()
    fetch = [*_this_command(), "show", id, "--raw", *where]
    again = sending.command(request, bodies.inline(request), gatebook.url, fetch)
    for what in sending.left_out(request):
        click.echo(f"left out, since curl cannot send it: {shown.text(what)}", err=True)
    click.echo(again.encode())


def _this_command() -> list[str]:
    """`gatebook`, as the shell finds it too: curl would send an empty body in place of what a missing command says."""
    if shutil.which("gatebook"):
        return ["gatebook"]
    return [sys.executable, "-m", "gatebook"]
