"""gatebook audit"""

import json
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from gatebook.cli.stack_option import data_option, stack

if TYPE_CHECKING:
    from http.client import HTTPConnection, HTTPResponse

_PATIENCE_S = 60.0  # for the viewer's next word; it has one twice a second
_OF_THE_ACKNOWLEDGED = ("recorded", "spooled", "expired", "unknown", "missing")


@click.command()
@click.option("--since", metavar="DURATION", help="How far back: 30s, 15m, 1h, 7d. Else: all that the log holds.")
@click.option(
    "--url", metavar="URL", help="The Gatebook to ask, where its load balancer listens. Else: the local stack."
)
@click.option("--json", "as_json", is_flag=True, help="The answer of /_/api/audit, as JSON.")
@data_option
def audit(since: str | None, url: str | None, as_json: bool, data: str | None) -> None:
    """Prove that every acknowledged request is recorded, once.

    Compares the load balancer's log with the table and the spools, while requests go on. Exit code 0: proven; 1:
    something is missing or came twice, or it could not be found out.

    \b
    gatebook audit --since 1h
    gatebook audit --url https://gate.example --json
    gatebook audit && echo nothing is lost
    """
    found = _ask(_local(data) if url is None else url, since)
    click.echo(json.dumps(found, indent=2) if as_json else "\n".join(_report(found)))
    sys.exit(0 if found["proven"] else 1)


def _local(data: str | None) -> str:
    """Where the local stack's load balancer listens. Raises UserError."""
    _, folder = stack(data)
    from gatebook.stack import control

    parts = control.ask(folder, {"do": "ps"}, lambda part, text: None)
    address: str = next(part["address"] for part in parts if part["role"] == "lb")
    return address


def _ask(url: str, since: str | None) -> dict[str, Any]:
    """The audit, once it is done; progress on stderr, where that is a terminal. Raises UserError."""
    from http.client import HTTPException
    from urllib.parse import quote

    from gatebook.errors import UserError

    connection, path = _connection(url)
    query = "" if since is None else f"?since={quote(since, safe='')}"
    try:
        connection.request("GET", f"{path}/_/api/audit{query}", headers={"Accept": "application/x-ndjson"})
        return _result(_words(url, connection.getresponse()))
    except (OSError, HTTPException) as error:
        what = f"the audit could not be had from {url}: {error or type(error).__name__}"
        raise UserError(what, "gatebook ps says what runs here; --url names a Gatebook elsewhere") from None
    finally:
        connection.close()


def _connection(url: str) -> "tuple[HTTPConnection, str]":
    """What leads to `url`, and the path that is in it. Raises UserError."""
    from http.client import HTTPConnection, HTTPSConnection
    from urllib.parse import urlsplit

    from gatebook.errors import UserError

    try:
        parts = urlsplit(url)
        kind = {"http": HTTPConnection, "https": HTTPSConnection}[parts.scheme]
        if not parts.hostname:
            raise ValueError(url)
        return kind(parts.hostname, parts.port, timeout=_PATIENCE_S), parts.path.rstrip("/")
    except (KeyError, ValueError):
        raise UserError(f"--url is {url!r}: no address of a Gatebook", "--url http://localhost:8080") from None


def _words(url: str, answer: "HTTPResponse") -> Iterator[dict[str, Any]]:
    """What it tells, one after the other; raises UserError when it refuses, or is no Gatebook."""
    from gatebook.errors import UserError

    kind = (answer.headers.get_content_type(), answer.status)
    if kind == ("application/x-ndjson", 200):
        yield from map(json.loads, answer)
    elif kind[0] == "application/problem+json":
        yield {"error": json.load(answer)}
    else:
        what = f"{url} answers {answer.status} to this, and seems to be no Gatebook"
        raise UserError(what, "name the address that its load balancer listens on: --url http://HOST:PORT")


def _result(words: Iterator[dict[str, Any]]) -> dict[str, Any]:
    """The audit that they end with; raises UserError when they do not."""
    from gatebook.errors import UserError

    with click.progressbar(length=1000, label="auditing", file=sys.stderr, hidden=not sys.stderr.isatty()) as bar:
        for word in words:
            match word:
                case {"progress": progress}:
                    bar.update(round(progress * 1000) - bar.pos)
                case {"audit": found}:
                    bar.update(1000 - bar.pos)
                    return dict(found)
                case {"error": {"detail": what, "hint": hint}}:
                    raise UserError(what, hint)
                case {"error": {"title": what, "detail": hint}}:  # the load balancer's own
                    raise UserError(what, hint)
    raise UserError("the viewer ended before the audit did", "try again; gatebook logs viewer says why")


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
