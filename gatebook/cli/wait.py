"""gatebook wait"""

import json
import re
import sys
import time
from typing import Any

import click

from gatebook.cli import ending
from gatebook.cli.reading import remote, shown
from gatebook.cli.reading.filter_words import FilterCommand, filter_argument
from gatebook.cli.reading.revealing import reveal_option, reveal_query
from gatebook.errors import UserError

_NOBODY_CAN_SAY = 2  # as for a wrong option
_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_LONGEST_S = 366 * 86400
_TIME = re.compile(r"[\w:.+-]+", re.ASCII)
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", re.ASCII)


def _seconds(ctx: click.Context, param: click.Parameter, value: str) -> float:
    match = _DURATION.fullmatch(value)
    seconds = float(match[1]) * _UNITS[match[2]] if match else 0
    if not 0 < seconds <= _LONGEST_S:
        raise click.BadParameter(f"{value!r} is no duration such as 500ms, 30s, 5m or 1h")
    return seconds


def _time(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """As the filter has it."""
    from gatebook.filter import FilterError, parse

    if value is None:
        return None
    try:
        if _TIME.fullmatch(value) and parse(f"since:{value}"):
            return value
    except FilterError:
        pass
    raise click.BadParameter(f"{value!r} is neither a duration such as 1m nor a time such as 2026-11-22T10:00")


@click.command(cls=FilterCommand)
@filter_argument(required=True)
@click.option("--timeout", metavar="DURATION", callback=_seconds, default="30s", help="The longest to wait (30s).")
@click.option(
    "--since", metavar="TIME", callback=_time, help="Also what came since then: 1m, or 2026-11-22T10:00 (UTC)."
)
@click.option("--json", "as_json", is_flag=True, help="A JSON object, as /_/api/requests/ID answers it.")
@click.option("--utc", is_flag=True, help="Times in UTC. Else: local ones.")
@reveal_option
@remote.where_option
@ending.quietly()
def wait(
    filter: str, timeout: float, since: str | None, as_json: bool, utc: bool, reveal: bool, url: str | None,
    data: str | None,
) -> None:  # fmt: skip
    """Wait for a request that FILTER finds, and print it; '' finds every one.

    Exit code 0: it came; 1: it did not within --timeout; 2: nobody can say (the filter is wrong, nobody answers); 130:
    Ctrl-C. What comes once "waiting" is said on stderr is not missed; what came before is not looked at, unless --since
    says so. A gap is said there, too: what came in it was not looked at.

    \b
    gatebook wait path:/hooks/paid --timeout 30s
    gatebook wait method:POST path:/hooks/* json.event:invoice.paid --since 1m --timeout 5m
    gatebook wait 'path:/hooks/* -header.user-agent:curl' --json | jq -r .body
    """
    try:
        with remote.gatebook(url, data) as gatebook:
            request = _Waiting(gatebook, filter, since, reveal).first(timeout)
            if as_json:
                click.echo(json.dumps(request, indent=2))
            else:
                from gatebook.cli.reading import printed

                printed.echo(gatebook, request, utc, reveal)
    except _NotInTime:
        raise
    except UserError as error:
        click.echo(error, err=True)
        sys.exit(_NOBODY_CAN_SAY)


class _NotInTime(UserError):
    """Nothing came."""


class _Waiting:
    """Waits for what a filter finds."""

    def __init__(self, gatebook: remote.Gatebook, filter: str, since: str | None, reveal: bool) -> None:
        from gatebook.cli.reading import following

        self._gatebook = gatebook
        self._filter = filter.strip()
        self._since = since
        self._looked_back = not since
        self._reveal = reveal
        self._coming = following.Following(
            gatebook, filter, _say, "there is a gap, and what came in it is not looked at"
        )

    def first(self, timeout: float) -> dict[str, Any]:
        """The first one, whole. Raises _NotInTime, and UserError for all else."""
        asked = shown.text(self._filter)
        try:
            with ending.within(timeout):
                return self._whole(self._found(f"waiting for {asked or 'any request'}, {timeout:g} s at most")["id"])
        except ending.TimeIsUp:
            came = f"that {asked} finds came" if asked else "came"
            if self._coming.is_live and self._looked_back:
                hint = "gatebook tail shows what came; --since 1m looks back, too"
                raise _NotInTime(f"nothing {came} within {timeout:g} s", hint) from None
            hint = "gatebook ps says what runs here; a longer --timeout leaves it more time"
            raise UserError(f"no answer within {timeout:g} s whether anything {came}", hint) from None

    def _found(self, words: str) -> dict[str, Any]:
        """Listens before it looks back, so that nothing falls between; says `words` when nothing can be missed now."""
        from gatebook.cli.reading import history

        self._coming.begin()
        _say(words)
        if self._since:
            given = f"({self._filter}) " if self._filter else ""
            for found in history.newest(self._gatebook, f"{given}since:{self._since}", 1, patiently=True):
                return found
            self._looked_back = True
        return next(iter(self._coming.requests()))

    def _whole(self, id: str) -> dict[str, Any]:
        """The request with its body, though the viewer may be restarting just now."""
        while True:
            try:
                return self._gatebook.get(f"/requests/{id}", **reveal_query(self._reveal))
            except remote.Away:
                time.sleep(remote.AGAIN_S)


def _say(words: str) -> None:
    click.echo(words, err=True)
