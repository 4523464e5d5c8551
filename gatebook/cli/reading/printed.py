"""One recorded request for people: the request line, the headers, a blank line, the body.

A body is shown as text where it is some, else as a hex dump of its beginning. Everything is escaped; `show --raw` has
the exact bytes.
"""

import codecs
from collections.abc import Iterator
from typing import Any

import click

from gatebook.cli.reading import bodies, shown
from gatebook.cli.reading.remote import Gatebook, Refused

_DUMPED = 4096
_A_LINE = 16


def echo(gatebook: Gatebook, request: dict[str, Any], utc: bool, reveal: bool = False) -> None:
    """Print a request that the API answered with, and on stderr what is known beside."""
    click.echo(about(request, utc), err=True)
    for line in head(request):
        click.echo(line)
    if request.get("redacted"):
        click.echo(f"some of it is masked; gatebook show {request['id']} --reveal: all of it, which is noted", err=True)
    try:
        kept = bodies.beginning(gatebook, request, reveal)
    except Refused as refused:
        if refused.status != bodies.TOO_LARGE:
            raise
        return click.echo(f"{refused.what}; --reveal shows it, which is noted", err=True)
    if kept is None:
        return click.echo("the body was too large to be kept", err=True)
    text, is_whole = body(kept)
    if text:
        click.echo(text)
    if not is_whole or _is_cut(request, kept):
        click.echo(f"this is not all of the body; gatebook show {request['id']} --raw: all that is kept", err=True)


def _is_cut(request: dict[str, Any], kept: bytes) -> bool:
    """Whether more than that was sent; a mask is shorter or longer than what it stands for."""
    if request["truncated"] or bodies.inline(request) is None:
        return len(kept) < (request["body_size"] or 0)
    return False


def about(request: dict[str, Any], utc: bool) -> str:
    """What is known beside what was sent, on one line."""
    moment = shown.moment(request["received_at"], utc)
    when = moment.isoformat(" ", timespec="milliseconds") if moment else "at an unknown time"
    who = request["client"] + (f" through {request['peer']}" if request["peer"] != request["client"] else "")
    truncated = ", not all of it kept" if request["truncated"] else ""
    size = f"a body of {shown.size(request['body_size'])}{truncated}"
    return (
        f"{request['id']}  {when}  from {who} by {_over(request)},"
        f" answered {request['status']} by {shown.text(request['replica'])}, {size}"
    )


def _over(request: dict[str, Any]) -> str:
    match request.get("tls"):  # an older Gatebook does not say
        case {"version": version, "cipher": cipher, "server_name": server_name}:
            named = f" to {server_name}" if server_name else ""
            return shown.text(f"{request['scheme']} ({version}, {cipher}{named})")
    return str(request["scheme"])


def head(request: dict[str, Any]) -> Iterator[str]:
    """The request line and the headers; the empty line, too."""
    version = "" if request["http_version"] == "0.9" else f" HTTP/{request['http_version']}"
    yield shown.text(f"{request['method']} {request['target']}{version}")
    for name, value in request["headers"]:
        yield shown.text(f"{name}: {value}")
    yield ""


def body(kept: bytes) -> tuple[str, bool]:
    """Text where it is UTF-8 without NUL (a character that is cut off at its end does not count), else a dump.

    And whether that is all of `kept`.
    """
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(kept)
    except UnicodeDecodeError:
        text = "\0"
    if "\0" not in text:
        return shown.lines(text).removesuffix("\n"), True
    return "\n".join(_dump(kept[:_DUMPED])), len(kept) <= _DUMPED


def _dump(kept: bytes) -> Iterator[str]:
    for start in range(0, len(kept), _A_LINE):
        part = kept[start : start + _A_LINE]
        hexadecimal = " ".join(f"{byte:02x}" for byte in part)
        plain = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in part)
        yield f"{start:08x}  {hexadecimal:<{_A_LINE * 3 - 1}}  |{plain}|"
