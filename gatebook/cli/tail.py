"""gatebook tail"""

import json
from typing import Any

import click

from gatebook.cli import ending
from gatebook.cli.reading import remote
from gatebook.cli.reading.filter_words import FilterCommand, filter_argument
from gatebook.cli.reading.revealing import reveal_option


@click.command(cls=FilterCommand)
@filter_argument()
@click.option("-n", "--lines", "most", type=click.IntRange(min=0), default=25, help="How many of the newest (25).")
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes, through restarts, until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="A JSON object a line, as /_/api/requests has them.")
@click.option("--utc", is_flag=True, help="Times in UTC. Else: local ones.")
@reveal_option
@remote.where_option
@ending.quietly()
def tail(
    filter: str, most: int, follow: bool, as_json: bool, utc: bool, reveal: bool, url: str | None, data: str | None
) -> None:  # fmt: skip
    """Show the newest requests, oldest first, and follow what comes.

    FILTER is any number of terms, joined by AND unless OR, -, NOT and parentheses say otherwise; a word alone is sought
    everywhere. Quote what your shell would take for itself, such as * > and (. A word that begins with - and has no
    field goes behind --.

    \b
    gatebook tail -f
    gatebook tail method:POST path:/github/*
    gatebook tail -f -status:200
    gatebook tail -n 100 'size>1MB since:1h (client:10.0.0.0/8 OR json.action:opened)'
    gatebook tail --json header.x-github-event:push | jq .target
    """
    printer = _Printer(as_json, utc)
    with remote.gatebook(url, data) as gatebook:
        if follow:
            ending.without_readers()
            _follow(gatebook, filter, most, printer, reveal)
        else:
            _newest(gatebook, filter, most, printer, reveal)


def _newest(gatebook: remote.Gatebook, filter: str, most: int, printer: "_Printer", reveal: bool) -> None:
    from gatebook.cli.reading import history

    found: list[dict[str, Any]] = []
    try:
        found.extend(history.newest(gatebook, filter, most, reveal=reveal))
    finally:  # a search that is interrupted shows what it has found
        printer.show(found[::-1])


def _follow(gatebook: remote.Gatebook, filter: str, most: int, printer: "_Printer", reveal: bool) -> None:
    """Listens before it looks, so that nothing falls between; what is seen twice thereby is shown once."""
    from gatebook.cli.reading import following, history

    coming = following.Following(gatebook, filter, lambda words: click.echo(words, err=True), reveal=reveal)
    coming.begin()
    found = list(history.newest(gatebook, filter, most, _say_how_far, patiently=True, reveal=reveal))
    printer.show(found[::-1])
    seen = {request["id"] for request in found}
    for request in coming.requests():
        if request["id"] not in seen:
            printer.show([request])


def _say_how_far(reached: str | None) -> None:
    click.echo(f"what came before {reached} is not searched, so as to be live; tail without -f does", err=True)


class _Printer:
    """Prints requests at once, as a table or as JSON."""

    def __init__(self, as_json: bool, utc: bool) -> None:
        from gatebook.cli.reading.table import Table

        self._table = None if as_json else Table(utc)

    def show(self, requests: list[dict[str, Any]]) -> None:
        for line in self._table.lines(requests) if self._table else map(json.dumps, requests):
            click.echo(line)
