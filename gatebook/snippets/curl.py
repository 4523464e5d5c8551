"""The curl command that sends a recorded request again: the same method, target, headers and body.

Rules: a shell reads what the client sent as data (see shell.py). What curl adds by itself (User-Agent, Accept,
Content-Type, Expect) is taken away where it was not sent; Host and Content-Length are left to curl where they are the
same. What curl cannot send is said by `left_out`. curl 7.55 or newer.
"""

import re
import shlex
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

from gatebook.snippets import shell
from gatebook.snippets.shell import quoted

_EXPECTS_FROM = 1024 * 1024  # curl asks for a 100 before a body of this size
_FOR_HEAD_S = 5  # curl waits for the body of the answer to a HEAD that has a body itself

# A target that curl sends as it stands in a URL: without a fragment, and with a query that is not empty.
_PLAIN_TARGET = re.compile(r"/[\w.~:/@!$&'()*+,;=%\[\]-]*(?:\?[\w.~:/?@!$&'()*+,;=%\[\]-]+)?", re.ASCII)
_BLANK = " \t\v\f"


def command(request: dict[str, Any], body: bytes | None, url: str, fetch: Sequence[str]) -> str:
    """The command that sends it to the Gatebook at `url`. `body` is None when the command `fetch` has to give it."""
    before, given = _body(request, body, fetch)
    words = [_start(request, given), *_target(request["target"], url), *_headers(request, body, url, bool(given))]
    return before + " \\\n  ".join([*words, *given])


def left_out(request: dict[str, Any]) -> list[str]:
    """What curl has no way to send, in words that hold wire text: it would read a file for it, or leave it out."""
    return [f"the header {name}" for name, value in request["headers"] if not _can_be_sent(name, value)]


def _can_be_sent(name: str, value: str) -> bool:
    if name.startswith("@"):
        return False
    return bool(value.strip(_BLANK)) or (not value and ";" not in name)


def _start(request: dict[str, Any], body: list[str]) -> str:
    """curl, and the method unless it is the one that curl takes anyway."""
    words = ["curl"]
    method = request["method"]
    if method == "HEAD" and not body:
        words.append("--head")
    elif method != ("POST" if body else "GET"):
        words.append(f"-X {quoted(method)}")
    if method == "HEAD" and body:
        words.append(f"--max-time {_FOR_HEAD_S}")
    if request["http_version"] == "1.0":
        words.append("--http1.0")
    return " ".join(words)


def _target(target: str, url: str) -> Iterator[str]:
    """The URL, and the target where that would not come of it."""
    if url.startswith("https:"):
        yield "--http1.1"  # HTTP/2 has other headers
    if _PLAIN_TARGET.fullmatch(target):
        yield f"--globoff --path-as-is {quoted(url + target)}"
    else:
        place = urlsplit(url)
        asked = place.path + target if target.startswith("/") else target
        yield f"--request-target {quoted(asked)}"
        yield quoted(f"{place.scheme}://{place.netloc}/")


def _headers(request: dict[str, Any], body: bytes | None, url: str, has_body: bool) -> Iterator[str]:
    headers = request["headers"]
    own = ["User-Agent", "Accept"]
    if has_body:
        own.append("Content-Type")
    if has_body and (body is None or len(body) >= _EXPECTS_FROM):
        own.append("Expect")
    sent = {name.lower() for name, _ in headers}
    for name in [*own, "Host"]:
        if name.lower() not in sent:
            yield f"-H {quoted(f'{name}:')}"
    for name, value in headers:
        same = {"Host": _host(url), "Content-Length": value}.get(name)
        if value != same and _can_be_sent(name, value):
            yield f"-H {quoted(f'{name}: {value}' if value else f'{name};')}"


def _host(url: str) -> str:
    """The Host header that curl makes of it."""
    place = urlsplit(url)
    usual = {"http": ":80", "https": ":443"}[place.scheme]
    return place.netloc.rpartition("@")[2].removesuffix(usual)


def _body(request: dict[str, Any], body: bytes | None, fetch: Sequence[str]) -> tuple[str, list[str]]:
    """What stands before curl to give it the body, and the option that takes it."""
    if body == b"":
        framed = any(name.lower() in ("content-length", "transfer-encoding") for name, _ in request["headers"])
        return "", ["--data-raw ''"] if framed else []
    if body and (text := shell.text_of(body)) is not None:
        return "", [f"--data-raw {shlex.quote(text)}"]  # --data-binary would take a text that begins with @ for a file
    return shell.piped(body, fetch), ["--data-binary @-"]
