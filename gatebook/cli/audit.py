"""gatebook audit"""

import json
import sys
from collections.abc import Iterator
from typing import Any

import click

from gatebook.cli.reading import remote
from gatebook.cli.reading.progress import progress

_OF_THE_ACKNOWLEDGED = ("recorded", "spooled", "forgotten", "expired", "unknown", "missing")


@click.command()
@click.option("--since", metavar="DURATION", help="How far back: 30s, 15m, 1h, 7d. Else: all that the log holds.")
@click.option("--json", "as_json", is_flag=True, help="The answer of /_/api/audit, as JSON.")
@remote.where_option
def audit(since: str | None, url: str | None, as_json: bool, data: str | None) -> None:
    """Prove that every acknowledged request is recorded, once.

    Compares the load balancer's log with the table and the spools, while requests go on. Exit code 0: proven; 1:
    something is missing or came twice, or it could not be found out.

    \b
    gatebook audit --since 1h
    gatebook audit --url https://gate.example --json
    gatebook audit && echo nothing is lost
    """
    with remote.gatebook(url, data) as gatebook, progress("auditing") as tell:
        tell(0)
        found = gatebook.told("/audit", tell, since=since)
        tell(1)
    click.echo(json.dumps(found, indent=2) if as_json else "\n".join(_report(found)))
    sys.exit(0 if found["proven"] else 1)


def _report(found: dict[str, Any]) -> Iterator[str]:
    counts = found["counts"]
    width = max(len(f"{count:,}") for count in counts.values())
    for name, count in counts.items():
        indented = f"  {name}" if name in _OF_THE_ACKNOWLEDGED else name
        yield f"{indented:<14}{count:>{width},}"
    yield ""
    for request in found["missing"]:
        told = " ".join(str(request[name]) for name in ("status", "durability", "replica", "request"))
        yield f"missing: {request['received_at']} {request['id']} {told}".encode("unicode_escape").decode()
    if unlisted := counts["missing"] - len(found["missing"]):
        yield f"missing: {unlisted:,} more"
    yield from (f"twice: {id}" for id in found["twice"])
    yield ("Proven. " if found["proven"] else "Not proven. ") + found["sentence"]
