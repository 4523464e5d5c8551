"""gatebook forget"""

import sys
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from gatebook.cli import ending
from gatebook.cli.reading.filter_words import FilterCommand, filter_argument
from gatebook.cli.reading.progress import progress
from gatebook.cli.stack_option import data_option, database

if TYPE_CHECKING:
    from uuid import UUID

    from gatebook.filter import Expression
    from gatebook.keeping.forgetting import Forgetting, Tell
    from gatebook.keeping.glance import Glance
    from gatebook.settings import Settings

_LONGEST_REASON = 1000  # characters
_MOST_VALUES = 5
_NOT_REACHED = (
    "This cannot be undone. It does not reach backups, exports, what was told to programs and browsers, PostgreSQL's\n"
    "write-ahead log and free space until they are used again, hashes in the search index (32 bits for each value\n"
    "that it finds), what nginx said of requests that went wrong (`gatebook logs lb`), and the ids, which tell the\n"
    "time: the audit needs them."
)


def _reason(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    if value is not None and not (value.isprintable() and value.strip() and len(value) <= _LONGEST_REASON):
        raise click.BadParameter(f"expected a line of at most {_LONGEST_REASON} printable characters")
    return value


@click.command(cls=FilterCommand)
@filter_argument(required=True)
@click.option("--yes", is_flag=True, help="Delete at once. Else you are asked, or it is only told what would go.")
@click.option("--reason", metavar="TEXT", callback=_reason, help="Why: it is noted in the trail.")
@data_option
@ending.quietly()
def forget(filter: str, yes: bool, reason: str | None, data: str | None) -> None:
    """Delete the requests that FILTER finds, for good.

    Tells how many they are, from when, and where; on a terminal it then asks, elsewhere it ends there. Deleted, they
    are gone from the table, the page, live events and the load balancer's log of requests; the trail says how many
    and by which fields, and the audit counts them as forgotten. What is interrupted goes on with the same command.

    \b
    gatebook forget client:198.51.100.9
    gatebook forget path:/signup until:30d --yes --reason "kept for 30 days"
    docker compose run --rm keeper forget client:198.51.100.9
    """
    import asyncio

    settings, expression = database(data), _parsed(filter)
    newest = None
    if not yes:
        with progress("looking") as tell:
            found = asyncio.run(_glance(settings, expression, tell))
        click.echo("\n".join(_told(found, settings)))
        newest = found.newest
    if yes or (newest and _is_wanted(found)):
        _forget(settings, expression, reason, newest)
    _tell_of_spools(settings)


def _parsed(filter: str) -> "Expression":
    from gatebook.errors import UserError
    from gatebook.filter import EVERYTHING, FilterError, parse
    from gatebook.filter.expression import NOTHING_SAID, every_term

    try:
        expression = parse(filter)
    except FilterError as error:
        raise UserError(f"the filter: {error}", "gatebook forget --help lists the fields") from None
    hint = "say what is to be forgotten: gatebook forget client:198.51.100.9"
    if expression == EVERYTHING:
        raise UserError("the filter is empty", hint)
    if any(term.value == NOTHING_SAID for term in every_term(expression)):
        raise UserError("the filter has an empty text, which everything has", hint)
    return expression


async def _glance(settings: "Settings", expression: "Expression", tell: "Tell") -> "Glance":
    from gatebook.keeping import forgetting
    from gatebook.keeping.keeper import keeper
    from gatebook.viewer.database import connected

    async with keeper(settings), connected(settings) as reading:
        return await forgetting.glance(reading, expression, tell)


def _told(found: "Glance", settings: "Settings") -> Iterator[str]:
    """How many, from when to when, where."""
    if not (found.newest and found.oldest):
        yield "No request is found."
        return
    from gatebook.identity import utc
    from gatebook.redact import Redaction

    redaction = Redaction(settings.redact)
    paths: Counter[str] = Counter()
    for path, count in found.paths.items():
        paths[redaction.target(path)[0]] += count
    yield f"{_many(found.requests)}, from {utc(str(found.oldest))} until {utc(str(found.newest))}"
    yield from _most_frequent("by replica", found.replicas, found.requests)
    yield from _most_frequent("by path", paths, found.requests)


def _most_frequent(title: str, counts: "Counter[str]", total: int) -> Iterator[str]:
    from gatebook.cli.reading import shown

    most = counts.most_common(_MOST_VALUES)
    yield title
    yield from (f"  {count:>{len(f'{total:,}')},}  {shown.cut(shown.text(value), 100)}" for value, count in most)
    if others := total - sum(count for _, count in most):
        yield f"  {others:>{len(f'{total:,}')},}  others"


def _is_wanted(found: "Glance") -> bool:
    """What whoever sits there says; nobody: no."""
    if not sys.stdin.isatty():
        click.echo("Nothing was deleted: --yes deletes them for good.", err=True)
        return False
    is_wanted = click.confirm(f"{_NOT_REACHED}\nDelete {_many(found.requests)} for good?", err=True)
    if not is_wanted:
        click.echo("Nothing was deleted.", err=True)
    return is_wanted


def _forget(settings: "Settings", expression: "Expression", reason: str | None, newest: "UUID | None") -> None:
    """With what came up to `newest`, and a word on what was done, also when it is cut short."""
    import asyncio

    done: list[Forgetting] = []
    whole = False
    try:
        with progress("forgetting") as tell:
            asyncio.run(_forgotten(settings, expression, reason, newest, tell, done))
        whole = True
    finally:
        for forgetting in done:
            _tell_of(forgetting, settings, whole)


async def _forgotten(
    settings: "Settings",
    expression: "Expression",
    reason: str | None,
    newest: "UUID | None",
    tell: "Tell",
    done: "list[Forgetting]",
) -> None:
    from gatebook.keeping.forgetting import Forgetting
    from gatebook.keeping.keeper import keeper
    from gatebook.viewer.database import connected

    async with keeper(settings) as connection, connected(settings) as reading:
        forgetting = Forgetting(settings, connection, expression, reason)
        done.append(forgetting)
        await forgetting.run(reading, newest, tell)
        await forgetting.vacuum()


def _tell_of(forgetting: "Forgetting", settings: "Settings", whole: bool) -> None:
    is_are = "is" if forgetting.requests == 1 else "are"
    click.echo(f"{_many(forgetting.requests)} {is_are} forgotten{'.' if whole else '; the same command goes on.'}")
    if forgetting.log_error:
        why = forgetting.log_error.strerror or type(forgetting.log_error).__name__
        click.echo(
            f"The load balancer's log still tells their request lines and peers, until it is rotated away: {why}\n"
            f"({settings.access_log})",
            err=True,
        )


def _tell_of_spools(settings: "Settings") -> None:
    """What waits there is found when it is in the table."""
    import sqlite3

    from gatebook import spool

    try:
        waiting = spool.depth(settings.spool).rows
    except (OSError, sqlite3.Error):
        return
    if waiting:
        click.echo(f"{_many(waiting)} in the spool cannot be found until the database has them.", err=True)


def _many(count: int) -> str:
    return f"{count:,} request{'' if count == 1 else 's'}"
