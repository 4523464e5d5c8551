"""The Python program that sends a recorded request again, with httpx: the same method, target, headers and body.

Rules: what the client sent stands in literals of bytes, made by `repr`, and nowhere else. The request is built without
a client's defaults, so nothing is added that was not sent but what HTTP/1.1 needs. What httpx refuses to send is said
by `left_out`. httpx 0.28 or newer.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

from gatebook.snippets.shell import INLINE

_LINES = 200  # of a body, each a literal of its own

# What h11, which httpx writes with, lets through: RFC 9110 with the control characters that people send anyway.
_TOKEN = re.compile(r"[-!#$%&'*+.^_`|~0-9a-zA-Z]+")
_TARGET = re.compile(r"[\x21-\x7e]+")
_VALUE = re.compile(r"(?:[^\x00\s](?:[^\x00\n\r\x0b\x0c]*[^\x00\s])?)?", re.ASCII)
_LENGTH = re.compile(r"\d{1,20}", re.ASCII)


def program(request: dict[str, Any], body: bytes | None, url: str, fetch: Sequence[str]) -> str:
    """The program that sends it to the Gatebook at `url`. `body` is None when the command `fetch` has to give it."""
    if body is None or len(body) > INLINE:
        lines = ["import subprocess", "", "import httpx", "", f"body = subprocess.check_output({list(fetch)!r})"]
    else:
        lines = ["import httpx", "", f"body = {_literal(body)}"]
    lines += ["request = httpx.Request(", *(f"    {argument}," for argument in _arguments(request, url)), ")"]
    lines += ["with httpx.Client(trust_env=False, timeout=60) as client:", "    answer = client.send(request)"]
    return "\n".join([*lines, "print(answer.status_code, answer.text)"])


def left_out(request: dict[str, Any]) -> list[str]:
    """What httpx does not send as it was, in words that hold wire text."""
    return list(_left_out(request))


def _left_out(request: dict[str, Any]) -> Iterator[str]:
    method, headers = request["method"], request["headers"]
    if not _is_method(method):
        yield f"the method {method}"
    if not _TARGET.fullmatch(request["target"]):
        yield f"the target {request['target']}"
    if request["http_version"] != "1.1":
        yield f"HTTP/{request['http_version']} (it is HTTP/1.1)"
    kept = [header for header in headers if _can_be_sent(*header)]
    for name, _ in (header for header in headers if not _can_be_sent(*header)):
        yield f"the header {name}"
    sent = [name.lower() for name, _ in kept]
    if "host" not in sent:
        yield "that there was no Host"
    elif sent[0] != "host":
        yield "the order of the headers (Host comes first)"
    framed = {"content-length", "transfer-encoding"} & set(sent)
    if not framed and (method in ("POST", "PUT", "PATCH") or request["body_size"]):
        yield "that there was no Content-Length"


def _is_method(method: str) -> bool:
    return bool(_TOKEN.fullmatch(method)) and method == method.upper() and method != "CONNECT"


def _can_be_sent(name: str, value: str) -> bool:
    if name.lower() == "transfer-encoding":
        return value == "chunked"
    if name.lower() == "content-length":
        return bool(_LENGTH.fullmatch(value))
    return bool(_TOKEN.fullmatch(name) and _VALUE.fullmatch(value))


def _arguments(request: dict[str, Any], url: str) -> Iterator[str]:
    method, target = request["method"], request["target"]
    yield repr(method if _is_method(method) else "GET")
    yield repr(url + "/")
    if _TARGET.fullmatch(target):
        asked = urlsplit(url).path + target if target.startswith("/") else target
        yield f'extensions={{"target": {_bytes(asked)}}}'
    kept = [f"({_bytes(name)}, {_bytes(value)})" for name, value in request["headers"] if _can_be_sent(name, value)]
    yield "\n        ".join(["headers=[", *(f"{header}," for header in kept)]) + "\n    ]"
    chunked = any(name.lower() == "transfer-encoding" for name, _ in request["headers"])
    yield "content=iter([body])" if chunked else "content=body"


def _bytes(wire: str) -> str:
    return repr(wire.encode("latin-1"))


def _literal(body: bytes) -> str:
    """A text of some lines, a line each; else one literal."""
    lines = body.splitlines(keepends=True)
    if not 1 < len(lines) <= _LINES:
        return repr(body)
    return "\n    ".join(["(", *map(repr, lines)]) + "\n)"
