"""Pages made of templates.

Rules: whatever a template writes is escaped; text that a client sent goes through `wire`, which lets nothing hide or
reorder. The policy lets a page load and run what lies below /_/static/, and nothing else, so that even text that got
through could do nothing.
"""

import codecs
from collections.abc import Mapping
from importlib import resources
from typing import Any
from uuid import UUID

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.responses import Response

from gatebook import look
from gatebook.identity import rfc3339, utc
from gatebook.viewer import asker, static
from gatebook.viewer.pages import link
from gatebook.viewer.shown import text

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types gatebook"
)
_HEADERS = {
    "Cache-Control": "private, no-cache",  # no-store would keep browsers from going back to a page as it was
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "no-referrer",  # what leads elsewhere tells nobody what was looked at
    "Cross-Origin-Opener-Policy": "same-origin",
}
_BRIEF, _PLAIN = 300, 100  # characters of wire text
_UNITS = ((1024**3, "GiB"), (1024**2, "MiB"), (1024, "KiB"))


def render(
    template: str, values: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """A template of the folder `templates`, filled in; a value that it needs and is not given is an error."""
    text = _ENVIRONMENT.get_template(template).render(values)
    return Response(text, status, {**_HEADERS, **(headers or {})}, "text/html")


def wire(value: str) -> Markup:
    """Wire text as HTML."""
    return text.marked(text.wire(value))


def brief(value: str) -> Markup:
    """Wire text as HTML, of a long one the beginning: one row of a list has no room for more."""
    return text.marked(_head(value, _BRIEF))


def media_type(headers: list[list[str]]) -> str:
    """What the headers say that the body is; as sent, without parameters (RFC 9110, 8.3)."""
    types = (value for name, value in headers if name.lower() == "content-type")
    return next(types, "").partition(";")[0].strip()


def plain(value: str) -> str:
    """Wire text for places that hold no HTML, titles and labels: U+FFFD stands for what is not printable."""
    return text.plain(_head(value, _PLAIN))


def _head(value: str, most: int) -> str:
    if len(value) <= most:
        return text.wire(value)
    try:  # a character that is cut in the middle is left out
        return codecs.getincrementaldecoder("utf-8")().decode(value[:most].encode("latin-1")) + "…"
    except UnicodeError:
        return value[:most] + "…"


def size(count: int | None) -> str:
    """Bytes, for a reader."""
    if count is None:
        return "?"
    for unit, name in _UNITS:
        if count >= unit:
            return f"{count / unit:.1f} {name}"
    return f"{count} B"


def time(id: UUID | str) -> str:
    """The time in a request's id, RFC 3339 in UTC."""
    return utc(str(id))


def _environment() -> Environment:
    folder = resources.files(__package__).joinpath("templates")
    made = Environment(
        loader=FileSystemLoader(str(folder)),
        autoescape=True,
        undefined=StrictUndefined,
        auto_reload=False,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "wire": wire,
        "brief": brief,
        "plain": plain,
        "media_type": media_type,
        "rfc3339": rfc3339,
        "marked": text.marked,
        "size": size,
        "time": time,
    }
    made.globals |= {"link": link, "hue": look.hue, "static": static.url}
    made.globals |= {"modules": static.MODULES, "signed_in": asker.SIGNED_IN.get}
    return made


_ENVIRONMENT = _environment()
