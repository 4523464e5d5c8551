"""`/_/api/docs`: the OpenAPI document as a page, by Swagger UI out of an installed package.

Rules: nothing is loaded from elsewhere, and nothing runs but the two scripts that are named here. Browsers keep what is
below /_/static/ and ask each time whether it is still the same.
"""

import hashlib
from functools import cache
from importlib import resources

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from gatebook.viewer.api.problem import Problem, shown

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_SCRIPT, _STYLE = "text/javascript; charset=utf-8", "text/css; charset=utf-8"
_OURS, _SWAGGER = resources.files("gatebook.viewer.api"), resources.files("fastapi_swagger").joinpath("resources")

# What is below /_/static/: where it lies, and what it is.
FILES = {
    "docs.css": (_OURS, _STYLE),
    "docs.js": (_OURS, _SCRIPT),
    "swagger-ui.css": (_SWAGGER, _STYLE),
    "swagger-ui-bundle.js": (_SWAGGER, _SCRIPT),
}

router = APIRouter(include_in_schema=False)


@router.get("/_/api/docs")
async def docs() -> Response:
    """The page. It names what it needs relative to itself, so it works behind another proxy's path, too."""
    content = _OURS.joinpath("docs.html").read_bytes()
    return Response(content, media_type="text/html", headers={"Content-Security-Policy": POLICY})


@router.get("/_/static/{name}")
async def static(request: Request, name: str) -> Response:
    """A file of the page."""
    if name not in FILES:
        raise Problem(404, f"there is nothing at {shown(request.url.path)}", "/_/api/docs needs what is here")
    content, etag = _read(name)
    headers = {"Cache-Control": "no-cache", "ETag": etag}
    if request.headers.get("if-none-match") == etag:
        return Response(status_code=304, headers=headers)
    return Response(content, media_type=FILES[name][1], headers=headers)


@cache
def _read(name: str) -> tuple[bytes, str]:
    """Its content, and an entity tag for that."""
    content = FILES[name][0].joinpath(name).read_bytes()
    return content, f'"{hashlib.sha256(content).hexdigest()[:32]}"'
