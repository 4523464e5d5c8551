"""`/_/static/`: the files that pages load, ours and those out of installed packages.

Rules: what is served is what the table names, nothing else. Below its digest a file never changes, so browsers keep it;
under its bare name they ask each time whether it is still the same.
"""

import gzip
import hashlib
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from typing import NamedTuple

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from gatebook import look
from gatebook.viewer.api import docs
from gatebook.viewer.api.problem import Problem, shown

_PAGES = resources.files("gatebook.viewer.pages").joinpath("static")
_TYPES = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8"}
_FOREVER = "public, max-age=31536000, immutable"

_NAMES = sorted(file.name for file in _PAGES.iterdir())
_STYLES = sorted((name for name in _NAMES if name.endswith(".css")), key=lambda name: (name != "base.css", name))
MODULES = [name for name in _NAMES if name.endswith(".js") and name != "theme.js"]

# What is below /_/static/, and of what files it is put together. A page needs one style; its modules load each other.
FILES: dict[str, tuple[Traversable, ...]] = {
    **{name: (file,) for name, file in docs.FILES.items()},
    **{name: (_PAGES.joinpath(name),) for name in ["theme.js", *MODULES]},
    "style.css": (look.PALETTE, *map(_PAGES.joinpath, _STYLES)),
}

router = APIRouter(include_in_schema=False)


class File(NamedTuple):
    """A file as it is sent."""

    content: bytes
    packed: bytes
    etag: str


@cache
def read(name: str) -> File:
    """Raises KeyError for what is not in the table."""
    content = b"".join(file.read_bytes() for file in FILES[name])
    return File(content, gzip.compress(content, 9, mtime=0), f'"{hashlib.sha256(content).hexdigest()[:32]}"')


@cache
def digest() -> str:
    """Of all files that pages load together, so that no browser mixes two releases."""
    together = "".join(read(name).etag for name in FILES if name not in docs.FILES)
    return hashlib.sha256(together.encode()).hexdigest()[:16]


def url(name: str) -> str:
    """Where a page finds a file. Raises KeyError for what is not in the table."""
    if name not in FILES:
        raise KeyError(name)
    return f"/_/static/{digest()}/{name}"


@router.get("/_/static/{name}")
async def by_name(request: Request, name: str) -> Response:
    return _answer(request, name, "no-cache")


@router.get("/_/static/{release}/{name}")
async def by_release(request: Request, release: str, name: str) -> Response:
    """A page that was loaded before an update gets today's file for yesterday's, but may not keep it."""
    return _answer(request, name, _FOREVER if release == digest() else "no-cache")


def _answer(request: Request, name: str, cache_control: str) -> Response:
    if name not in FILES:
        raise Problem(404, f"there is nothing at {shown(request.url.path)}", "/_/ and /_/api/docs need what is here")
    file, packed = read(name), "gzip" in request.headers.get("accept-encoding", "")
    etag = file.etag.replace('"', '"gzip-', 1) if packed else file.etag  # other bytes (RFC 9110, 8.8.3.3)
    headers = {"Cache-Control": cache_control, "ETag": etag, "Vary": "Accept-Encoding"}
    if etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    if packed:
        headers["Content-Encoding"] = "gzip"
    return Response(
        file.packed if packed else file.content, headers=headers, media_type=_TYPES[name.rpartition(".")[2]]
    )
