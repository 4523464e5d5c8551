"""gatebook show"""

import json
import shutil
import sys
from typing import Any
from uuid import UUID

import click

from gatebook.cli import ending
from gatebook.cli.reading import remote
from gatebook.cli.reading.revealing import reveal_option, reveal_query


@click.command()
@click.argument("id", type=click.UUID)
@click.option("--raw", is_flag=True, help="The bytes of the body, and nothing else; exact if nothing is masked.")
@click.option("--json", "as_json", is_flag=True, help="A JSON object, as /_/api/requests/ID answers it.")
@click.option("--curl", is_flag=True, help="A shell command that sends the same request again.")
@click.option("--utc", is_flag=True, help="Times in UTC. Else: local ones.")
@reveal_option
@remote.where_option
@ending.quietly()
def show(
    id: UUID, raw: bool, as_json: bool, curl: bool, utc: bool, reveal: bool, url: str | None, data: str | None
) -> None:  # fmt: skip
    """Show one request: request line, headers, body.

    ID is the one of the receipt, of the header Gatebook-Id, or of `gatebook tail`. What the recorder knows beside what
    was sent is told on stderr. What is secret by its name, such as Authorization, is masked unless --reveal is given.

    \b
    gatebook show 019aaf6e-3c5f-7d2a-8b1e-0242ac120002
    gatebook show 019aaf6e-3c5f-7d2a-8b1e-0242ac120002 --raw > body.bin
    gatebook show 019aaf6e-3c5f-7d2a-8b1e-0242ac120002 --json | jq .headers
    gatebook show 019aaf6e-3c5f-7d2a-8b1e-0242ac120002 --reveal --curl | sh
    """
    if raw + as_json + curl > 1:
        raise click.UsageError("--raw, --json and --curl are different things: choose one")
    with remote.gatebook(url, data) as gatebook:
        if raw:
            return _raw(gatebook, str(id), reveal)
        request = gatebook.get(f"/requests/{id}", **reveal_query(reveal))
        if as_json:
            click.echo(json.dumps(request, indent=2))
        elif curl:
            _curl(gatebook, request, reveal, url, data)
        else:
            from gatebook.cli.reading import printed

            printed.echo(gatebook, request, utc, reveal)


def _raw(gatebook: remote.Gatebook, id: str, reveal: bool) -> None:
    from gatebook.cli.reading import bodies

    for part in bodies.parts(gatebook, id, reveal=reveal):
        sys.stdout.buffer.write(part)
        sys.stdout.buffer.flush()


def _curl(
    gatebook: remote.Gatebook, request: dict[str, Any], reveal: bool, url: str | None, data: str | None
) -> None:  # fmt: skip
    from gatebook.cli.reading import bodies, shown
    from gatebook.errors import UserError
    from gatebook.snippets import curl as sending

    id = request["id"]
    if request["truncated"]:
        what = f"the body of request {id} is not kept whole, so the same cannot be sent again"
        raise UserError(what, f"gatebook show {id} --raw has what is kept")
    if not reveal and bodies.is_masked(gatebook, request):
        what = f"values of request {id} are masked, so the same cannot be sent again"
        raise UserError(what, f"gatebook show {id} --curl --reveal: what was sent; that is noted")
    where = ("--url", url) if url is not None else ("--data", data) if data is not None else ()
    fetch = [*_this_command(), "show", id, "--raw", *(["--reveal"] if reveal else []), *where]
    again = sending.command(request, bodies.inline(request), gatebook.url, fetch)
    for what in sending.left_out(request):
        click.echo(f"left out, since curl cannot send it: {shown.text(what)}", err=True)
    click.echo(again.encode())


def _this_command() -> list[str]:
    """`gatebook`, as the shell finds it too: curl would send an empty body in place of what a missing command says."""
    if shutil.which("gatebook"):
        return ["gatebook"]
    return [sys.executable, "-m", "gatebook"]
