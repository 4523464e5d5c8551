"""What the headers say of a body: its media type, charset and content codings. Nobody has to believe it."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from python_multipart.multipart import parse_options_header

from gatebook.viewer.shown import coding

FORM = "application/x-www-form-urlencoded"
_BY_TYPE = (
    ("json", re.compile(r".*[/+](?:x-)?json|application/csp-report")),
    ("xml", re.compile(r".*[/+]xml")),
    ("form", re.compile(re.escape(FORM))),
    ("multipart", re.compile(r"multipart/.*")),
    ("image", re.compile(r"image/.*")),
    ("text", re.compile(r"text/.*|.*[/+-](?:javascript|ecmascript|yaml|toml|graphql|sql|sh)")),
)
_JSON_LINES = re.compile(r"[a-z]+/(?:x-)?(?:ndjson|jsonl|jsonlines|json-seq|json-stream)")
_SYNONYMS = {"image/jpg": "image/jpeg", "image/vnd.microsoft.icon": "image/x-icon", "image/x-ms-bmp": "image/bmp"}


class Said(NamedTuple):
    """Texts are wire text, empty where nothing is said."""

    content_type: str  # the header's value
    type: str  # in lower case, without parameters
    charset: str
    codings: tuple[str, ...]

    @property
    def view(self) -> str:
        """The view that the media type asks for; empty: none in particular."""
        if self.is_json_lines:
            return "json"
        return next((view for view, types in _BY_TYPE if types.fullmatch(self.type)), "")

    @property
    def is_json_lines(self) -> bool:
        """Whether several JSON values follow each other."""
        return bool(_JSON_LINES.fullmatch(self.type))

    @property
    def is_text(self) -> bool:
        return self.view in ("json", "xml", "form", "text")

    @property
    def common_type(self) -> str:
        """The media type by its usual name."""
        return _SYNONYMS.get(self.type, self.type)


def said(headers: Sequence[Sequence[str]]) -> Said:
    """Of names and values; of several Content-Types the first counts."""
    values: dict[str, list[str]] = {}
    for name, value in headers:
        values.setdefault(name.lower(), []).append(value)
    content_type = values.get("content-type", [""])[0]
    type, options = parse_options_header(content_type)
    charset = options.get(b"charset", b"").decode("latin-1")
    codings = coding.codings(values.get("content-encoding", []))
    return Said(content_type, type.decode("latin-1").strip(), charset, codings)
