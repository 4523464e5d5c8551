"""gatebook trail"""

import json
from collections.abc import Iterator
from typing import Any

import click

from gatebook.cli import ending
from gatebook.cli.reading import remote

_MOST_AT_ONCE = 500


@click.command()
@click.option("-n", "--lines", "most", type=click.IntRange(min=0), default=25, help="How many of the newest (25).")
@click.option("--json", "as_json", is_flag=True, help="A JSON object a line, as /_/api/trail has them.")
@click.option("--utc", is_flag=True, help="Times in UTC. Else: local ones.")
@remote.where_option
@ending.quietly()
def trail(most: int, as_json: bool, utc: bool, url: str | None, data: str | None) -> None:
    """Show what was done with the records, oldest first: who signed in, what was revealed or forgotten, tokens.

    The time, who, from where, what, what about, and how many requests, where that is known.

    \b
    gatebook trail
    gatebook trail -n 1000 --json | jq 'select(.act == "forgotten")'
    """
    with remote.gatebook(url, data) as gatebook:
        found = list(_newest(gatebook, most))
    for act in reversed(found):
        click.echo(json.dumps(act) if as_json else _line(act, utc))


def _newest(gatebook: remote.Gatebook, most: int) -> Iterator[dict[str, Any]]:
    cursor = None
    while most > 0:
        page = gatebook.get("/trail", limit=min(most, _MOST_AT_ONCE), cursor=cursor)
        yield from page["acts"]
        most -= len(page["acts"])
        if (cursor := page["next"]) is None:
            return


def _line(act: dict[str, Any], utc: bool) -> str:
    from gatebook.cli.reading import shown

    moment = shown.moment(act["at"], utc)
    requests = act["requests"]
    told = [
        moment.isoformat(" ", timespec="seconds") if moment else "",
        act["who"],
        act["client"] or "here",
        act["act"],
        shown.text(act["about"]),
        "" if requests is None else f"{requests:,} request{'' if requests == 1 else 's'}",
        shown.text(act["reason"] or ""),
    ]
    return "  ".join(filter(None, told))
