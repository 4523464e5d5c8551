"""gatebook count"""

import json
import re
import sys
from typing import Any

import click

from gatebook.cli import ending
from gatebook.cli.reading import remote
from gatebook.cli.reading.filter_words import FilterCommand, filter_argument

BY = ("replica", "method", "path", "status", "client", "scheme")
_MOST = 50  # values
_STEP = re.compile(r"[1-9]\d{0,4}[smhd]", re.ASCII)


def _step(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    if value is not None and not _STEP.fullmatch(value):
        raise click.BadParameter(f"{value!r} is no duration such as 10s, 1m, 1h or 1d")
    return value


@click.command(cls=FilterCommand)
@filter_argument()
@click.option("--by", type=click.Choice(BY), help="A count for each of its values, the most frequent ones.")
@click.option("--step", metavar="DURATION", callback=_step, help="A count for each such stretch of time: 10s, 1m, 1h.")
@click.option("--json", "as_json", is_flag=True, help="A JSON object, as /_/api/counts answers it.")
@click.option("--utc", is_flag=True, help="Times in UTC. Else: local ones.")
@remote.where_option
@ending.quietly()
def count(
    filter: str, by: str | None, step: str | None, as_json: bool, utc: bool, url: str | None, data: str | None
) -> None:  # fmt: skip
    """Count the requests that FILTER finds.

    By something, or in steps of time: the count, the size of the bodies, the time, the value; else the count alone.
    Steps in which nothing came are left out.

    \b
    gatebook count since:1h
    gatebook count --by replica
    gatebook count --by path method:POST since:1d
    gatebook count --by status --step 1m since:1h --json
    """
    with remote.gatebook(url, data) as gatebook:
        found = _counted(gatebook, filter, by, step)
    if as_json:
        return click.echo(json.dumps(found, indent=2))
    for line in _lines(found, by, step, utc):
        click.echo(line)


def _counted(gatebook: remote.Gatebook, filter: str, by: str | None, step: str | None) -> dict[str, Any]:
    """All of it, from however many answers that takes."""
    groups: dict[tuple[Any, Any], dict[str, Any]] = {}
    others = 0
    for page in gatebook.pages("/counts", "counting", filter=filter, by=by, step=step):
        for group in page["groups"]:
            whole = groups.setdefault((group["start"], group["value"]), {**group, "count": 0, "bytes": 0})
            whole["count"] += group["count"]
            whole["bytes"] += group["bytes"]
        others += page["others"]
    kept = _most_frequent(groups)
    others += sum(group["count"] for (_, value), group in groups.items() if value not in kept)
    told = [group for (_, value), group in groups.items() if value in kept]
    in_order = sorted(told, key=lambda group: (group["start"] or "", -group["count"]))
    return {**page, "groups": in_order, "others": others}


def _most_frequent(groups: dict[tuple[Any, Any], dict[str, Any]]) -> set[Any]:
    """As one answer has them; of several, each tells all of its values."""
    from collections import Counter

    totals: Counter[Any] = Counter()
    for (_, value), group in groups.items():
        totals[value] += group["count"]
    return {value for value, _ in totals.most_common(_MOST)}


def _lines(found: dict[str, Any], by: str | None, step: str | None, utc: bool) -> list[str]:
    """The number alone where there is one; else count, size, and what was counted, with commas on a terminal."""
    from gatebook.cli.reading import shown

    if not by and not step:
        return [str(sum(group["count"] for group in found["groups"]))]
    style = "," if sys.stdout.isatty() else ""
    rows = []
    for group in found["groups"]:
        moment = shown.moment(group["start"], utc)
        when = [moment.isoformat(" ", timespec="seconds")] if moment else []
        value = [shown.text(str(group["value"]))] if by else []
        rows.append([format(group["count"], style), shown.size(group["bytes"]), *when, *value])
    if found["others"]:
        rows.append([format(found["others"], style), "", "others"])
    width = max((len(row[0]) for row in rows), default=0)
    return [f"{number:>{width}}  {size:>6}  {'  '.join(told)}" for number, size, *told in rows]
