"""The HTTPie command that sends a recorded request again, as near to it as HTTPie comes.

Rules: a shell reads what the client sent as data (see shell.py), and HTTPie takes none of it for an option, a file or a
field. What HTTPie adds by itself is taken away where it was not sent. It orders headers in its own way, writes a target
in its own way, and knows methods of letters only: `left_out` says where that makes a difference. HTTPie 3.2 or newer.
"""

import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from typing import Any
from urllib.parse import quote

from gatebook.snippets import shell
from gatebook.snippets.shell import quoted

_OWN = ("User-Agent", "Accept-Encoding", "Accept", "Connection")  # in its order, before all others
_METHOD = re.compile(r"[A-Z]+")
_NAME = re.compile(r"[!-,./0-9;-\[\]-~][!-9;-\[\]-~]*")  # neither an option nor with a backslash or colon
_SPECIAL = re.compile(r"[:;@=]")
_CANNOT_BE_ESCAPED = re.compile(r"\\[:;@=]")

# What goes through requests and urllib3 as it is. They decode what need not be escaped, and write hex digits large.
_CHARS = r"[\w.~:/@!$&'()*+,;=-]|%(?!2[DE]|3\d|[46][1-9A-F]|[57][\dA]|5F|7E)[\dA-F]{2}"
_TARGET = re.compile(rf"/(?!/)(?:{_CHARS})*(?<!;)(?:\?(?:{_CHARS}|\?)+)?", re.ASCII)
_SAFE = "/?%:@!$&'()*+,;=~"


def command(request: dict[str, Any], body: bytes | None, url: str, fetch: Sequence[str]) -> str:
    """The command that sends it to the Gatebook at `url`. `body` is None when the command `fetch` has to give it."""
    before, options = _body(request, body, fetch)
    method = [request["method"]] if _METHOD.fullmatch(request["method"]) else []
    start = " ".join(["http --path-as-is --ignore-netrc", *_chunked(request), *options])
    where = " ".join([*method, shlex.quote(url + _target(request["target"]))])
    return before + " \\\n  ".join([start, where, *_items(request, body)])


def left_out(request: dict[str, Any]) -> list[str]:
    """What HTTPie does not send as it was, in words that hold wire text."""
    return list(_left_out(request))


def _left_out(request: dict[str, Any]) -> Iterator[str]:
    method, headers = request["method"], request["headers"]
    if not _METHOD.fullmatch(method):
        yield f"the method {method}"
    if not _TARGET.fullmatch(request["target"]):
        yield f"the target as it was written, {request['target']}"
    if request["http_version"] != "1.1":
        yield f"HTTP/{request['http_version']} (it is HTTP/1.1)"
    for name, value in headers:
        if name.lower() in _FRAMING and request["body_size"] != 0:
            if name != _FRAMING[name.lower()]:
                yield f"the header {name} as it was spelled"
        elif not _can_be_sent(name, value):
            yield f"the header {name}"
    sent = {name.lower() for name, _ in headers}
    is_framed = bool(request["body_size"] or sent & _FRAMING.keys())
    if not is_framed and _METHOD.fullmatch(method) and method not in ("GET", "HEAD", "OPTIONS"):
        yield "that there was no Content-Length"
    kept = [(name, value) for name, value in headers if _can_be_sent(name, value)]
    own = {"transfer-encoding"} if request["body_size"] == 0 else _FRAMING.keys()
    if kept != _ordered(kept, own):
        yield "the order of the headers"


_FRAMING = {"content-length": "Content-Length", "transfer-encoding": "Transfer-Encoding"}


def _ordered(headers: list[tuple[str, str]], framing: Iterable[str]) -> list[tuple[str, str]]:
    """As HTTPie sends them: `framing`, which it adds, then those it knows, then the others; one name's together."""
    first = {name.lower(): at for at, name in enumerate((*framing, *_OWN))}
    for name, _ in headers:
        first.setdefault(name.lower(), len(first))
    return sorted(headers, key=lambda header: first[header[0].lower()])


def _can_be_sent(name: str, value: str) -> bool:
    try:
        text = value.encode("latin-1").decode()
    except UnicodeDecodeError:
        return False
    return bool(_NAME.fullmatch(name)) and text == text.strip() and not _CANNOT_BE_ESCAPED.search(value)


def _target(target: str) -> str:
    """As it is, or the nearest; never one that leads to another host."""
    if _TARGET.fullmatch(target):
        return target
    return quote(target.encode("latin-1"), safe=_SAFE) if target.startswith("/") else "/"


def _chunked(request: dict[str, Any]) -> list[str]:
    return ["--chunked"] if any(name.lower() == "transfer-encoding" for name, _ in request["headers"]) else []


def _items(request: dict[str, Any], body: bytes | None) -> Iterator[str]:
    """Headers as HTTPie takes them: `Name:value`, `Name;` for an empty one, `Name:` to leave its own away."""
    headers = request["headers"]
    sent = {name.lower() for name, _ in headers}
    for name in [*_OWN, "Host", *(["Content-Type"] if body != b"" else [])]:
        if name.lower() not in sent:
            yield f"{name}:"
    for name, value in headers:
        is_own = name.lower() == "transfer-encoding" or (name.lower() == "content-length" and body != b"")
        if not is_own and _can_be_sent(name, value):
            yield quoted(_item(name, value))


def _item(name: str, value: str) -> str:
    name = _SPECIAL.sub(r"\\\g<0>", name)
    if not value:
        return f"{name};"
    return f"{name}:\\{value}" if _SPECIAL.match(value) else f"{name}:{value}"


def _body(request: dict[str, Any], body: bytes | None, fetch: Sequence[str]) -> tuple[str, list[str]]:
    """What stands before the command to give it the body, and the options that take it."""
    if body == b"":
        return "", ["--ignore-stdin", *(["--raw="] if _chunked(request) else [])]
    if body and (text := shell.text_of(body)) is not None:
        return "", ["--ignore-stdin", f"--raw={shlex.quote(text)}"]
    return shell.piped(body, fetch), []
