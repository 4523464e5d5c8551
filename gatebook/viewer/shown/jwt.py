"""JSON Web Tokens (RFC 7519) in a request, decoded.

Rules: nothing is verified, since the key is not known, so nothing here says that a token is good. What is not a token
is passed over: whatever was sent, nothing is raised, and the work is bounded by the numbers below.
"""

import base64
import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus

from gatebook.redact import NOTHING, Redaction
from gatebook.viewer.shown.text import wire

_MOST = 16  # tokens
_BODY_BYTES = 1024 * 1024
_DEPTH = 32  # of what is nested deeper, the indentation does not grow
_LATEST_S = 253_402_300_799  # the end of the year 9999

# Base64url of what begins with a brace; then the claims, then the signature, which may be empty (`alg: none`).
_PART = r"[A-Za-z0-9_-]{1,16384}"
_TOKEN = re.compile(rf"(?<![A-Za-z0-9_-])(e[wy]{_PART})\.({_PART})\.[A-Za-z0-9_-]{{0,16384}}(?![A-Za-z0-9_-])")
_JSON = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+')


@dataclass(frozen=True)
class Token:
    """A token, not verified."""

    where: str  # such as "header Authorization", as text
    header: str  # JSON, indented; numbers, escapes and order as they were sent
    claims: str
    expires_ms: int | None  # Unix milliseconds, as the claims say: exp, iat, nbf
    issued_ms: int | None
    not_before_ms: int | None


def tokens(request: dict[str, Any], body: bytes | None, redaction: Redaction = NOTHING) -> list[Token]:
    """Those in the headers, in the target and in the first MiB of the body, each once a place.

    `redaction` masks what lies within them.
    """
    found: dict[tuple[str, str], Token] = {}
    for where, text in _places(request, body):
        for match in _TOKEN.finditer(text):
            if (where, match[0]) not in found and (token := _token(where, match[1], match[2], redaction)):
                found[where, match[0]] = token
            if len(found) == _MOST:
                return list(found.values())
    return list(found.values())


def _places(request: dict[str, Any], body: bytes | None) -> Iterator[tuple[str, str]]:
    for name, value in request["headers"]:
        yield f"header {wire(name)}", value
    path, _, query = request["target"].partition("?")
    yield "path", path
    for pair in query.split("&"):
        name, _, value = pair.partition("=")
        yield f"parameter {unquote_plus(wire(name))}", value
    yield "body", (body or b"")[:_BODY_BYTES].decode("latin-1")


def _token(where: str, header: str, claims: str, redaction: Redaction) -> Token | None:
    try:
        head, told = _text(header), _text(claims)
        said, claimed = _object(head), _object(told)
    except (ValueError, RecursionError):
        return None
    if "alg" not in said:
        return None
    expires, issued, not_before = (_ms(claimed.get(name)) for name in ("exp", "iat", "nbf"))
    head, told = (redaction.text(_indented(part)) for part in (head, told))
    return Token(where, head, told, expires, issued, not_before)


def _text(part: str) -> str:
    """Raises ValueError."""
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)).decode()


def _object(text: str) -> dict[str, Any]:
    """Raises ValueError, RecursionError."""
    found = json.loads(text, parse_int=float, parse_constant=_refuse)  # int() refuses thousands of digits
    if not isinstance(found, dict):
        raise ValueError("not an object")
    return found


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _ms(seconds: object) -> int | None:
    """A NumericDate in milliseconds; None for what is no time."""
    if isinstance(seconds, float) and math.isfinite(seconds) and 0 <= seconds <= _LATEST_S:
        return round(seconds * 1000)
    return None


def _indented(valid: str) -> str:
    """Valid JSON, its tokens as they are, on lines of their own."""
    lines, depth, before = [""], 0, ""
    for piece in _JSON.findall(valid):
        depth -= piece in "]}"
        opened = before in ("{", "[")
        if before == "," or opened != (piece in ("}", "]")):
            lines.append("  " * min(depth, _DEPTH))
        lines[-1] += ": " if piece == ":" else piece
        depth += piece in "[{"
        before = piece
    return "\n".join(lines)
