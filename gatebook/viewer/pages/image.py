"""`/_/requests/{id}/image`: a picture that was sent, as a picture.

Rule: only what begins as one of the kinds that browsers draw, and by that kind, whatever was said of it; never SVG. It
comes with a policy under which nothing could run even if it were something else.
"""

import asyncio
from typing import Annotated
from uuid import UUID

import orjson
from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from gatebook.redact import Redaction
from gatebook.viewer.api import body
from gatebook.viewer.api.parameters import Db
from gatebook.viewer.api.problem import Problem
from gatebook.viewer.api.requests import absent
from gatebook.viewer.database import Database
from gatebook.viewer.shown import coding, hidden, image, multipart
from gatebook.viewer.shown.said import Said, said
from gatebook.viewer.sight import Reveal, Sight

MOST_BYTES = 16 * 1024 * 1024  # of a body that is read as a whole, to find a part or to decode it
_HEAD_BYTES = 64  # by so many it is known what kind it is
_KEPT_S = 600  # by a browser; what is at an id does not change
_HEADERS = {
    "Cache-Control": f"private, max-age={_KEPT_S}",
    "Content-Disposition": "inline",
    # Inline style is how browsers themselves put a picture on a page of its own; no kind of picture here can have any.
    "Content-Security-Policy": "sandbox; default-src 'none'; style-src 'unsafe-inline'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
_reading = asyncio.Semaphore(2)  # bodies that are in memory as a whole

router = APIRouter(include_in_schema=False)


@router.get("/_/requests/{id}/image")
async def one_image(
    request: Request,
    database: Db,
    id: UUID,
    part: Annotated[int | None, Query(ge=0, lt=multipart.MOST_PARTS)] = None,
    decoded: bool = False,
    reveal: Reveal = False,
) -> Response:
    """The body, or a part of it, if that is a picture; with `decoded`, what lies within its content coding.

    What is masked in the body is so before a picture is looked for in it.
    """
    sight = Sight(request, reveal)
    row = await database.row("one_request", id, 0)
    kept = await database.row("body_kept", id)
    if row is None or kept is None:
        raise await absent(database, id)
    await sight.note(1)
    positions, about = range(kept["kept"] or 0), said(orjson.loads(row["headers"]))
    if part is not None or decoded or sight.redaction:
        async with _reading:
            content = await _whole(database, id, positions)
            within = await asyncio.to_thread(_within, content, about, part, decoded, sight.redaction)
        return Response(within, headers=_headers(within[:_HEAD_BYTES], len(within)))
    head = await database.row("body_part", id, positions.start, min(_HEAD_BYTES, len(positions)))
    headers = _headers((head and head["part"]) or b"", len(positions))
    sent = positions[:0] if request.scope.get("gatebook.head") else positions
    return await body.Body.begin(200, body.parts(database, id, sent), headers)


async def _whole(database: Database, id: UUID, positions: range) -> bytes:
    if len(positions) > MOST_BYTES:
        raise Problem(404, f"a body of {len(positions)} bytes is too large to look for an image in it", "download it")
    return b"".join([part async for part in body.parts(database, id, positions)])


def _within(content: bytes, about: Said, part: int | None, decoded: bool, redaction: Redaction) -> bytes:
    """What lies there. Raises Problem where nothing does."""
    try:
        if decoded:
            content, _ = redaction.body(coding.decoded(content, about.codings)[0])
        else:
            content, _ = hidden.body(redaction, content, about.codings)
        if part is None:
            return content
        found = multipart.parts(content, about.content_type).parts[part]
    except (coding.NotDecodable, multipart.NotMultipart, IndexError):
        raise _no_image() from None
    return content[found.first : found.end]


def _headers(head: bytes, length: int) -> dict[str, str]:
    """Raises Problem unless it begins like a picture."""
    kind = image.kind(head)
    if kind is None:
        raise _no_image()
    return {**_HEADERS, "Content-Type": kind, "Content-Length": str(length)}


def _no_image() -> Problem:
    kinds = "PNG, JPEG, GIF, WebP, AVIF, BMP or ICO"
    return Problem(404, "there is no image here", f"only what begins as {kinds} does is shown as one")
