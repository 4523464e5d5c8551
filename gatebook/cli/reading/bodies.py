"""The kept bytes of a body: those that came with the request, else from the API's own place for them."""

import base64
from collections.abc import Iterator
from typing import Any

from gatebook.cli.reading.remote import Gatebook, Refused
from gatebook.cli.reading.revealing import reveal_query

_BEGINNING = 1024 * 1024
_NOT_FOUND = 404
TOO_LARGE = 403  # to be masked


def inline(request: dict[str, Any]) -> bytes | None:
    """What the API sent along; None when it is too large for that, or was not kept."""
    match request:
        case {"body_encoding": "utf-8", "body": str(body)}:
            return body.encode()
        case {"body_encoding": "base64", "body": str(body)}:
            return base64.b64decode(body)
    return None


def beginning(gatebook: Gatebook, request: dict[str, Any], reveal: bool = False) -> bytes | None:
    """All of it, or the first megabyte; None when nothing was kept. Raises UserError."""
    if (body := inline(request)) is not None:
        return body
    try:
        return b"".join(parts(gatebook, request["id"], {"Range": f"bytes=0-{_BEGINNING - 1}"}, reveal))
    except Refused as refused:
        if refused.status == _NOT_FOUND:
            return None
        raise


def parts(gatebook: Gatebook, id: str, headers: dict[str, str] | None = None, reveal: bool = False) -> Iterator[bytes]:
    """Its bytes as they come, exactly if they are revealed. Raises UserError, also when they end too early."""
    with gatebook.stream(f"/requests/{id}/body", reveal_query(reveal), headers or {}) as answer:
        yield from answer.iter_bytes()


def is_masked(gatebook: Gatebook, request: dict[str, Any]) -> bool:
    """Whether anything in it is. Raises UserError."""
    if request.get("redacted") or inline(request) is not None or not request["body_size"]:
        return bool(request.get("redacted"))
    try:
        with gatebook.stream(f"/requests/{request['id']}/body", {}, {"Range": "bytes=0-0"}) as answer:
            return "gatebook-redacted" in answer.headers
    except Refused as refused:
        if refused.status in (TOO_LARGE, _NOT_FOUND):
            return refused.status == TOO_LARGE
        raise
