"""What went wrong as a page, for whoever asked for a page; all others get the API's problem document."""

from starlette.requests import Request
from starlette.responses import Response

from gatebook.viewer.api.problem import Problem
from gatebook.viewer.pages.template import render

_NO_PAGES = ("/_/api/", "/_/static/", "/_/health/", "/_/metrics")


def page(request: Request, problem: Problem) -> Response | None:
    """None when no page was asked for."""
    if request.url.path.startswith(_NO_PAGES) or "text/html" not in request.headers.get("accept", ""):
        return None
    told = {"filter": "", "filter_error": None, **problem.told()}
    return render("problem.html", told, problem.status_code, problem.headers)
