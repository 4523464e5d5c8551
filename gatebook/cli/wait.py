"""gatebook wait"""

import json
import re
import time
from typing import Any

import click

from gatebook.cli import ending
from gatebook.cli.reading import remote, shown
from gatebook.cli.reading.filter_words import FilterCommand, filter_argument
from gatebook.errors import UserError

_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_LONGEST_S = 366 * 86400
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", re.ASCII)
_TIME = re.compile(r"[\w:.+-]+", re.ASCII)


def _seconds(ctx: click.Context, param: click.Parameter, value: str) -> float:
    match = _DURATION.fullmatch(value)
    seconds = float(match[1]) * _UNITS[match[2]] if match else 0
    if not 0 < seconds <= _LONGEST_S:
        raise click.BadParameter(f"{value!r} is no duration such as 500ms, 30s, 5m or 1h")
    return seconds


def _time(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """As the filter has it; the viewer knows which ones there are."""
    if value is not None and not _TIME.fullmatch(value):
        raise click.BadParameter(f"{value!r} is neither a duration such as 1m nor a time such as 2026-11-22T10:00")
    return value


@click.command(cls=FilterCommand)
@filter_argument(required=True)
@click.option("--timeout", metavar="DURATION", callback=_seconds, default="30s", help="The longest to wait (30s).")
@click.option(
    "--since", metavar="TIME", callback=_time, help="Also what came since then: 1m, or 2026-11-22T10:00 (UTC)."
)
@click.option("--json", "as_json", is_flag=True, help="A JSON object, as /_/api/requests/ID answers it.")
@click.option("--utc", is_flag=True, help="Times in UTC. Else: local ones.")
@remote.where_option
@ending.quietly()
def wait(
    filter: str, timeout: float, since: str | None, as_json: bool, utc: bool, url: str | None, data: str | None
) -> None:  # fmt: skip
    """Wait for a request that FILTER finds, and print it.

    Exit code 0: it came; 1: it did not within --timeout. What comes once "waiting" is said on stderr is not missed;
    what came before is not looked at, unless --since says so.

    \b
    gatebook wait path:/hooks/paid --timeout 30s
    gatebook wait method:POST path:/hooks/* json.event:invoice.paid --since 1m --timeout 5m
    gatebook wait 'path:/hooks/* -header.user-agent:curl' --json | jq -r .body
    """
    try:
        with remote.gatebook(url, data) as gatebook:
            with ending.within(timeout):
                words = f"waiting for {shown.text(filter)}, {timeout:g} s at most"
                request = _whole(gatebook, _first(gatebook, filter, since, words)["id"])
            if as_json:
                click.echo(json.dumps(request, indent=2))
            else:
                from gatebook.cli.reading import printed

                printed.echo(gatebook, request, utc)
    except ending.TimeIsUp:
        what = f"nothing that {shown.text(filter)} finds came within {timeout:g} s"
        raise UserError(what, "gatebook tail shows what came; --since 1m looks back, too") from None


def _first(gatebook: remote.Gatebook, filter: str, since: str | None, words: str) -> dict[str, Any]:
    """Listens before it looks back, so that nothing falls between; says `words` from when on nothing can be missed."""
    from gatebook.cli.reading import following, history

    coming = following.Following(gatebook, filter, lambda words: click.echo(words, err=True))
    coming.begin()
    click.echo(words, err=True)
    if since:
        for found in history.newest(gatebook, f"({filter}) since:{since}", 1, patiently=True):
            return found
    return next(iter(coming.requests()))


def _whole(gatebook: remote.Gatebook, id: str) -> dict[str, Any]:
    """The request with its body, though the viewer may be restarting just now."""
    while True:
        try:
            return gatebook.get(f"/requests/{id}")
        except remote.Away:
            time.sleep(remote.AGAIN_S)
