"""What to draw of a body: the ways in which it can be looked at, the best one first, and the one that was chosen.

Rule: whatever the bytes are, there is something to draw, it is bounded, and it says what it is not. What a sender says
of a body is tried first, then what the bytes look like; neither is believed before it has been read so.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple

from gatebook.redact import MASK, NOTHING, Redaction
from gatebook.viewer.shown import charset, coding, hexdump, hidden, image, json_tree, multipart, plain, xml
from gatebook.viewer.shown.form import form
from gatebook.viewer.shown.limits import Limits
from gatebook.viewer.shown.said import Said, said
from gatebook.viewer.shown.text import wire

NAMES = {
    "json": "JSON",
    "xml": "XML",
    "form": "Form",
    "multipart": "Parts",
    "image": "Image",
    "text": "Text",
    "hex": "Hex",
}
_SORTS = {"json": "JSON", "xml": "XML", "form": "a form", "multipart": "multipart", "image": "an image"}
_PART_CHARACTERS = 16 * 1024  # of a part that is text
_PART_BYTES = 512  # of one that is not
_BRIEF = 100  # characters of what is repeated in a sentence


@dataclass(frozen=True)
class Shown:
    """A body as the macro of body.html draws it."""

    kept: bool  # False: there is nothing to draw, since the body was not kept
    size: int  # of what is looked at, in bytes
    views: tuple[str, ...] = ()  # names of NAMES, the best one first; an empty body has none
    view: str = ""
    data: Any = None  # what the view draws: a tree, a document, a hexdump, …
    notes: tuple[str, ...] = ()  # sentences that have to be known with it
    coding: str = ""  # the Content-Encoding that was said
    can_decode: bool = False
    decoded: bool = False  # whether this is what lies within that coding
    masked: bool = False  # whether something in the body is
    seen: bytes | None = None  # the bytes that were given, as they may be seen
    names: ClassVar[Mapping[str, str]] = NAMES


class ShownPart(NamedTuple):
    """A part of a multipart body, and its content in the view that suits it best."""

    number: int  # from 0
    headers: list[tuple[str, str]]  # wire text, as the next two
    name: str | None
    filename: str | None
    size: int
    whole: bool
    shown: Shown


class ShownParts(NamedTuple):
    parts: list[ShownPart]
    wrong: str
    more: bool  # there are more than these


class _No(Exception):
    """The body cannot be looked at like that; its words say why."""


@dataclass
class _Content:
    bytes: bytes
    said: Said
    cut: bool  # it is only the beginning of what was sent
    limits: Limits
    terms: bool = False  # whether filters find what is in it
    at: int = 0
    is_part: bool = False
    is_coded: bool = False  # what is said of it is said of what lies within


def shown(
    headers: Sequence[Sequence[str]],
    content: bytes | None,
    size: int | None,
    truncated: bool,
    view: str | None = None,
    at: int = 0,
    decoded: bool = False,
    whole: bool = True,
    redaction: Redaction = NOTHING,
) -> Shown:
    """What to draw of a request's body. Never raises, whatever the bytes are.

    `headers` are names and values in wire text; `content` is what is kept (None: nothing) or, unless `whole`, the first
    part of that; `size` is what was sent. `view` is the one that is wished for, `at` where its page begins: a byte of
    hex, a character of text. `decoded`: look at what lies within the Content-Encoding. `redaction` masks it before
    anything is drawn, so all views show the same.
    """
    if content is None:
        return Shown(False, 0)
    about = said(headers)
    notes = _kept(len(content), size, truncated, whole)
    cut, within = truncated or not whole, False
    seen, masked = hidden.body(redaction, content, about.codings, cut)
    looked_at = seen
    if decoded and about.codings:
        try:
            looked_at, cut = coding.decoded(content, about.codings, cut)
            within = True
            notes += [f"The first {len(looked_at):,} bytes of what it decodes to are shown."] if cut else []
            looked_at, also = redaction.body(looked_at)
            masked = masked or also
        except coding.NotDecodable as error:
            notes.append(f"It cannot be decoded: {error}. This is what was sent.")
    is_coded = bool(about.codings) and not within
    terms = not (cut or within)
    found = _looked_at(_Content(looked_at, about, cut, Limits(), terms, at, is_coded=is_coded), view)
    can_decode = coding.can_decode(about.codings)
    if is_coded and not can_decode:
        notes.append(f"It is coded with {wire(', '.join(about.codings)[:_BRIEF])}, which cannot be decoded here.")
    return replace(
        found,
        notes=(*notes, *found.notes),
        coding=wire(", ".join(about.codings)[:_BRIEF]),
        can_decode=can_decode,
        decoded=within,
        masked=masked,
        seen=seen,
    )


def _kept(length: int, size: int | None, truncated: bool, whole: bool) -> list[str]:
    if not whole:
        return [f"Only the first {length:,} bytes are shown here. All that is kept can be downloaded."]
    if truncated:
        sent = "an unknown number" if size is None else f"{size:,}"
        return [f"Only the first {length:,} bytes are kept, of {sent} that were sent."]
    return []


def _looked_at(content: _Content, wished: str | None) -> Shown:
    """Every view that it can have, and the data of the one to draw."""
    if not content.bytes:
        return Shown(True, 0)
    found: dict[str, Any] = {}
    notes = []
    for view in _candidates(content):
        try:
            found[view] = _VIEWS[view](content)
        except _No as error:
            if view == content.said.view and view in _SORTS and not content.is_coded:
                notes.append(_contradiction(content, str(error)))
    views = tuple(sorted(found, key=lambda view: view == "text" and not found["text"].readable))
    notes += _surprises(content, found)
    view = wished if wished in found else views[0]
    if wished and view != wished:
        notes.append(f"It cannot be shown as {NAMES.get(wished, wished[:_BRIEF])}. This is {NAMES[view]}.")
    return Shown(True, len(content.bytes), views, view, found[view], tuple(notes))


def _candidates(content: _Content) -> list[str]:
    """Views to try, the best one first."""
    looks = [view for view, looks_like in _LOOKS.items() if looks_like(content.bytes)]
    says = [content.said.view] if content.said.view else []
    if says == ["form"] and "json" in looks:  # curl -d says of all that it is a form
        says.insert(0, "json")
    views = dict.fromkeys([*says, *looks, "text", "hex"])
    if content.is_part:
        views.pop("multipart", None)
    return list(views)


def _contradiction(content: _Content, why: str) -> str:
    type = wire(content.said.content_type[:_BRIEF])
    return f"It is said to be {_SORTS[content.said.view]} ({type}), but it cannot be read so: {why}."


def _surprises(content: _Content, found: Mapping[str, Any]) -> list[str]:
    """What it is instead of what it is said to be."""
    type, view = wire(content.said.type[:_BRIEF]), content.said.view
    if view == "form" and "json" in found:
        return [f"It is said to be a form ({type}), but it is JSON."]
    if "image" in found and type and found["image"].type != content.said.common_type:
        return [f"It is said to be {type}, but it is {found['image'].type}."]
    return []


_BOM = rb"(?:\xef\xbb\xbf)?[ \t\r\n]*"
_LOOKS: Mapping[str, Callable[[bytes], object]] = {
    "image": image.kind,
    "json": re.compile(_BOM + rb"[\[{]").match,
    "xml": re.compile(_BOM + rb"<\?xml[ \t\r\n]").match,
}


def _json(content: _Content) -> json_tree.Tree:
    found = charset.decoded(content.bytes, content.said.charset)
    is_utf8 = found.charset in ("utf-8", "ascii")
    if not content.cut and (found.undecoded or not (is_utf8 or charset.known(content.said.charset))):
        raise _No("it is not UTF-8")
    text = found.text.removeprefix("\ufeff")
    terms = content.terms and is_utf8 and len(text) == len(found.text)  # PostgreSQL takes it so
    try:
        found_tree = json_tree.tree(text, content.limits, content.cut, content.said.is_json_lines, terms)
    except json_tree.NotJson as error:
        raise _No(str(error)) from None
    for row in found_tree.rows:
        row.term = None if row.text == MASK else row.term  # it was not sent, so nothing is found by it
    return found_tree


def _xml(content: _Content) -> xml.Document:
    try:
        return xml.document(content.bytes, content.limits, content.cut, content.said.charset)
    except xml.NotXml as error:
        raise _No(str(error)) from None


def _parts(content: _Content) -> ShownParts:
    try:
        found = multipart.parts(content.bytes, content.said.content_type, content.cut)
    except multipart.NotMultipart as error:
        raise _No(str(error)) from None
    parts = [_part(number, part, content) for number, part in enumerate(found.parts)]
    return ShownParts(parts, found.wrong, found.more)


def _part(number: int, part: multipart.Part, content: _Content) -> ShownPart:
    within = content.bytes[part.first : part.end]
    if content.limits.reached:
        looked = Shown(
            True, len(within), notes=("Too much comes before it for it to be drawn here.",) if within else ()
        )
    else:
        looked = _looked_at(_Content(within, said(part.headers), not part.whole, content.limits, is_part=True), None)
    return ShownPart(number, part.headers, part.name, part.filename, len(within), part.whole, looked)


def _image(content: _Content) -> image.Image:
    found = image.image(content.bytes)
    if found is None:
        raise _No("it does not begin like one that can be drawn")
    return found


def _text(content: _Content) -> plain.Plain:
    found = charset.decoded(content.bytes, content.said.charset)
    readable = charset.is_text(found, content.said.is_text)
    if not (readable or content.said.is_text):
        raise _No("it has bytes that are none")
    if not content.is_part:
        return plain.plain(found, readable, content.at)
    content.limits.characters -= min(len(found.text), _PART_CHARACTERS)
    return plain.plain(found, readable, 0, _PART_CHARACTERS)


def _hex(content: _Content) -> hexdump.Hexdump:
    if not content.is_part:
        return hexdump.hexdump(content.bytes, content.at)
    return hexdump.hexdump(content.bytes, 0, _PART_BYTES)


_VIEWS: Mapping[str, Callable[[_Content], Any]] = {
    "json": _json,
    "xml": _xml,
    "form": lambda content: form(content.bytes, content.limits, content.said.charset, content.cut),
    "multipart": _parts,
    "image": _image,
    "text": _text,
    "hex": _hex,
}
