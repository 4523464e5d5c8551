"""The OpenAPI document beyond what FastAPI makes of the handlers: what all of them have in common."""

from typing import Any

from fastapi import FastAPI

from gatebook.filter.fields import FIELDS
from gatebook.viewer.api import schema
from gatebook.viewer.api.examples import EXAMPLES

SUMMARY = "What came through the gate"
_DESCRIPTION = """\
All of it is read only, `HEAD` works like `GET`, and nothing asked here is recorded. Text that came over the wire
(method, target, header names and values) has one character per byte (latin-1). Times are UTC. Errors are problem
documents (RFC 9457); a parameter that is not known is an error.

Where `GATEBOOK_VIEW_PASSWORD` is set, all but `/_/health/` is answered 401 to whoever has neither signed in at
`/_/sign-in` nor shows a token that `gatebook token create` made: `Authorization: Bearer gatebook_...`.

## Filters

A filter is a list of terms, all of which must be true: `method:POST path:/github/* since:1h`. Between terms may stand
`OR`, before one `-` or `NOT`, around some of them parentheses; quotes hold blanks. A word alone is sought in target,
headers and body. Texts are compared as UTF-8, and case counts. `=` means exactly, without a wildcard.

| field | operators | what it asks for | example |
| --- | --- | --- | --- |
"""
_TAGS = {
    "requests": "What was recorded: lists, one by one, bodies",
    "counts": "How many there are, for charts",
    "events": "What is recorded from now on",
    "audit": "Whether all that was acknowledged is recorded, and what was done with it",
    "health": "Whether the viewer works, and what there is to measure",
}


def description() -> str:
    """What the document begins with, in Markdown."""
    rows = [
        f"| `{field.name}` | {' '.join(f'`{operator}`' for operator in field.operators)} | {field.help}"
        f" | `{field.example}` |"
        for field in FIELDS
    ]
    return _DESCRIPTION + "\n".join(rows) + "\n"


def tags() -> list[dict[str, Any]]:
    return [{"name": name, "description": told} for name, told in _TAGS.items()]


def install(app: FastAPI) -> None:
    """Let the document of `app` have what FastAPI does not know of."""
    made = app.openapi

    def completed() -> dict[str, Any]:
        document = made()
        schemas = document["components"]["schemas"]
        document["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        document["security"] = [{}, {"token": []}]
        schemas["Problem"] = schema.Problem.model_json_schema()
        for name, example in EXAMPLES.items():
            schemas[name]["examples"] = [example]
        for path in document["paths"].values():
            for parameter in path["get"].get("parameters", ()):
                _without_null(parameter["schema"])
        return document

    app.openapi = completed  # type: ignore[method-assign]


def _without_null(told: dict[str, Any]) -> None:
    """A parameter that may be left out cannot be null, which a query string has no way to say."""
    match told.pop("anyOf", None):
        case [dict(only), {"type": "null"}]:
            told.update({**only, **told})
        case None:
            pass
        case others:
            told["anyOf"] = others
