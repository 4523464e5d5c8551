"""The fields of a form (application/x-www-form-urlencoded): in their order, those that come twice included."""

from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from gatebook.viewer.shown.charset import decoded
from gatebook.viewer.shown.json_tree import NotJson, Tree, tree
from gatebook.viewer.shown.limits import Limits

MOST_FIELDS = 1000
_LONGEST = 8 * 1024  # characters of one value that are drawn


class Field(NamedTuple):
    name: str  # U+DC00 to U+DCFF are bytes that are not of the charset
    value: str | None  # None: there was no =
    more: int  # characters that are left out
    tree: Tree | None  # of a value that is JSON, as some send it


class Form(NamedTuple):
    fields: list[Field]
    complete: bool  # False: there is more than is drawn


def form(content: bytes, limits: Limits, charset: str = "", cut: bool = False) -> Form:
    """What is between the &s, with + and %XX decoded. A % that is not followed by two digits stays."""
    fields: list[Field] = []
    pieces = content.split(b"&", MOST_FIELDS)
    for piece in pieces[:MOST_FIELDS]:
        if limits.reached:
            return Form(fields, False)
        field = _field(piece, charset, limits)
        limits.rows -= 1
        limits.characters -= len(field.name) + len(field.value or "")
        fields.append(field)
    return Form(fields, len(pieces) <= MOST_FIELDS and not cut)


def _field(piece: bytes, charset: str, limits: Limits) -> Field:
    name, has_value, value = piece.partition(b"=")
    text, called = _decoded(value, charset), _decoded(name, charset)
    more = max(0, len(text) - _LONGEST) + max(0, len(called) - _LONGEST)
    return Field(called[:_LONGEST], text[:_LONGEST] if has_value else None, more, _tree(text, limits))


def _decoded(sent: bytes, charset: str) -> str:
    return decoded(unquote_to_bytes(sent.replace(b"+", b" ")), charset).text


def _tree(text: str, limits: Limits) -> Tree | None:
    """Of an object or array; not of a number or a text, which are JSON only by chance."""
    if text[:1] not in ("{", "["):
        return None
    try:
        return tree(text, limits)
    except NotJson:
        return None
