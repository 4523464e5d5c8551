"""gatebook token"""

import json
from collections.abc import Awaitable, Callable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar

import click

from gatebook.cli import ending
from gatebook.cli.stack_option import data_option, database

if TYPE_CHECKING:
    from gatebook.db.connect import Connection
    from gatebook.keeping.tokens import Token

T = TypeVar("T")


@click.group()
def token() -> None:
    """Make, list and revoke tokens, by which programs are let in.

    A program shows one to the API as `Authorization: Bearer`, gatebook itself by GATEBOOK_TOKEN or GATEBOOK_TOKEN_FILE.

    \b
    gatebook token create ci > token
    curl -H "Authorization: Bearer $(cat token)" https://gate.example/_/api/requests
    docker compose run --rm keeper token list
    """


@token.command()
@click.argument("name", metavar="NAME")
@data_option
@ending.quietly()
def create(name: str, data: str | None) -> None:
    """Make a token and print it, this once."""
    from gatebook.keeping import tokens

    click.echo(_kept(data, lambda connection: tokens.create(connection, name)))
    click.echo("It is told this once, and kept by nobody: only its hash is.", err=True)


@token.command("list")
@click.option("--json", "as_json", is_flag=True, help="A JSON list: id, name, created_at, last_used_at.")
@data_option
@ending.quietly()
def list_tokens(as_json: bool, data: str | None) -> None:
    """Show which tokens there are, and when each was last used."""
    from gatebook.keeping import tokens

    found = _kept(data, tokens.listed)
    if as_json:
        return click.echo(json.dumps([_as_json(each) for each in found], indent=2))
    for line in _lines(found):
        click.echo(line)


@token.command()
@click.argument("name", metavar="NAME")
@data_option
@ending.quietly()
def revoke(name: str, data: str | None) -> None:
    """Let nobody in by a token any more."""
    from gatebook.keeping import tokens

    _kept(data, lambda connection: tokens.revoke(connection, name))
    click.echo(f"{name} is revoked", err=True)


def _kept(data: str | None, work: "Callable[[Connection], Awaitable[T]]") -> T:
    """What `work` returns, done as keeper in the database that is meant."""
    import asyncio

    from gatebook.keeping.keeper import keeper

    async def run() -> T:
        async with keeper(settings) as connection:
            return await work(connection)

    settings = database(data)
    return asyncio.run(run())


def _as_json(found: "Token") -> dict[str, str | None]:
    return {
        "id": found.id,
        "name": found.name,
        "created_at": _rfc3339(found.created_at),
        "last_used_at": _rfc3339(found.last_used_at),
    }


def _rfc3339(moment: datetime | None) -> str | None:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z") if moment else None


def _lines(found: "list[Token]") -> Iterator[str]:
    rows = [("NAME", "CREATED", "LAST USED")]
    rows += [(each.name, _local(each.created_at), _local(each.last_used_at)) for each in found]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    yield from ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def _local(moment: datetime | None) -> str:
    return moment.astimezone().isoformat(" ", timespec="minutes") if moment else "never"
