"""`/_/api/docs`: the OpenAPI document as a page, by Swagger UI out of an installed package.

Rule: nothing is loaded from elsewhere, and nothing runs but the two scripts that are named here.
"""

from importlib import resources

from fastapi import APIRouter
from starlette.responses import Response

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_OURS, _SWAGGER = resources.files("gatebook.viewer.api"), resources.files("fastapi_swagger").joinpath("resources")

# What the page loads from /_/static/, and where that lies.
FILES = {
    "docs.css": _OURS.joinpath("docs.css"),
    "docs.js": _OURS.joinpath("docs.js"),
    "swagger-ui.css": _SWAGGER.joinpath("swagger-ui.css"),
    "swagger-ui-bundle.js": _SWAGGER.joinpath("swagger-ui-bundle.js"),
}

router = APIRouter(include_in_schema=False)


@router.get("/_/api/docs")
async def docs() -> Response:
    """The page. It names what it needs relative to itself, so it works behind another proxy's path, too."""
    content = _OURS.joinpath("docs.html").read_bytes()
    return Response(content, media_type="text/html", headers={"Content-Security-Policy": POLICY})
