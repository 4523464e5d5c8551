"""The kept bytes of a body: those that came with the request, else from the API's own place for them."""

import base64
from collections.abc import Iterator
from typing import Any

from gatebook.cli.reading.remote import Gatebook, Refused

_BEGINNING = 1024 * 1024
_NOT_FOUND = 404


def inline(request: dict[str, Any]) -> bytes | None:
    """What the API sent along; None when it is too large for that, or was not kept."""
    match request:
        case {"body_encoding": "utf-8", "body": str(body)}:
            return body.encode()
        case {"body_encoding": "base64", "body": str(body)}:
            return base64.b64decode(body)
    return None


def beginning(gatebook: Gatebook, request: dict[str, Any]) -> bytes | None:
    """All of it, or the first megabyte; None when nothing was kept. Raises UserError."""
    if (body := inline(request)) is not None:
        return body
    try:
        return b"".join(parts(gatebook, request["id"], {"Range": f"bytes=0-{_BEGINNING - 1}"}))
    except Refused as refused:
        if refused.status == _NOT_FOUND:
            return None
        raise


def parts(gatebook: Gatebook, id: str, headers: dict[str, str] | None = None) -> Iterator[bytes]:
    """Its bytes, exactly, as they come. Raises UserError, also when they end too early."""
    with gatebook.stream(f"/requests/{id}/body", {}, headers or {}) as answer:
        yield from answer.iter_bytes()
