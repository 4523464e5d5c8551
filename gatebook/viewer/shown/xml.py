"""An XML body as lines to fold, indented by what is within what. Pure; nothing that it names is loaded.

Rule: a document that declares an entity is refused, so nothing expands. Blanks between elements are left out, as
indenting changes them anyway; the text view has them.
"""

from dataclasses import dataclass, field
from typing import NamedTuple
from xml.parsers import expat

from gatebook.viewer.shown import charset
from gatebook.viewer.shown.fold import fold
from gatebook.viewer.shown.limits import Limits

DEEPEST = 200  # elements in each other; a page cannot be indented further
_LONGEST = 4096  # characters of one text or attribute that are drawn
_BLANKS = " \t\r\n"


class NotXml(Exception):
    """Its words say why, and where."""


class _Enough(Exception):
    """As much is read as can be drawn."""


@dataclass(slots=True)
class Row:
    """A line: an element with all in it (`text`) or without what is in it (`open`), its end, or what is no element."""

    kind: str  # open, end, element, text, cdata, comment, instruction, doctype, declaration
    name: str = ""
    attributes: list[tuple[str, str, int]] = field(default_factory=list)  # name, value, characters that are left out
    text: str = ""
    more: int = 0  # characters that are left out of the text
    open: bool = True


class Document(NamedTuple):
    rows: list[Row]
    complete: bool  # False: there is more than is drawn


def document(content: bytes, limits: Limits, cut: bool = False, said: str = "") -> Document:
    """Raises NotXml. `cut`: the content is only the beginning of what was sent; `said`: its charset as Content-Type has
    it, which counts more than what the document says (RFC 7303 section 3)."""
    encoding = None
    if charset.known(said):
        content, encoding = charset.decoded(content, said).text.encode("utf-8", "surrogatepass"), "utf-8"
    reader = _Reader(limits)
    complete = reader.read(content, cut, encoding)
    rows = reader.rows + [Row("end", name) for name in reversed(reader.elements)]
    fold(rows, ("open",))
    return Document(rows, complete and not cut)


class _Reader:
    """Makes the rows of what expat tells."""

    def __init__(self, limits: Limits) -> None:
        self.rows: list[Row] = []
        self.elements: list[str] = []  # that are open
        self._text: list[str] = []
        self._in_cdata = False
        self._limits = limits

    def read(self, content: bytes, cut: bool, encoding: str | None) -> bool:
        """Whether all of it is in the rows."""
        parser = expat.ParserCreate(encoding)
        parser.buffer_text = True
        parser.ordered_attributes = parser.specified_attributes = True  # as sent, without those of a DTD
        parser.XmlDeclHandler = self._declaration
        parser.StartDoctypeDeclHandler = self._doctype
        parser.EntityDeclHandler = self._entity
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text.append
        parser.SkippedEntityHandler = lambda name, is_parameter: self._text.append(f"&{name};")
        parser.CommentHandler = lambda text: self._add(Row("comment", text=text))
        parser.ProcessingInstructionHandler = lambda name, text: self._add(Row("instruction", name, text=text))
        parser.StartCdataSectionHandler = self._start_cdata
        parser.EndCdataSectionHandler = self._end_cdata
        try:
            parser.Parse(content, not cut)
            self._flush()
        except _Enough:
            return False
        except expat.ExpatError as error:
            reason = expat.ErrorString(error.code)
            raise NotXml(f"{reason}, in line {error.lineno}, column {error.offset + 1}") from None
        except (LookupError, ValueError, UnicodeError):  # of a charset that its declaration names
            raise NotXml("its charset is not known here") from None
        return True

    def _declaration(self, version: str, encoding: str | None, standalone: int) -> None:
        said = {"version": version, "encoding": encoding, "standalone": {1: "yes", 0: "no"}.get(standalone)}
        pairs = [_attribute(name, value) for name, value in said.items() if value is not None]
        self._add(Row("declaration", "xml", pairs))

    def _doctype(self, name: str, system: str | None, public: str | None, internal: int) -> None:
        said = [_attribute("", one) for one in (public, system) if one is not None]
        self._add(Row("doctype", name, said, text="[…]" if internal else ""))

    def _entity(self, *_: object) -> None:
        raise NotXml("it declares entities, which are not expanded here")

    def _start(self, name: str, attributes: list[str]) -> None:
        if len(self.elements) == DEEPEST:
            raise _Enough
        pairs = zip(attributes[::2], attributes[1::2], strict=True)
        self._add(Row("open", name, [_attribute(*pair) for pair in pairs]))
        self.elements.append(name)

    def _end(self, name: str) -> None:
        opened, text = self.rows[-1], "".join(self._text)
        if opened.kind == "open" and (not text.strip(_BLANKS) or "\n" not in text):
            self.elements.pop()  # first: what charges may end the reading, and what is still open then gets an end
            self._text.clear()
            opened.kind, opened.text = "element", text if text.strip(_BLANKS) else ""
            self._charge(_shorten(opened).text)
        else:
            self._flush()
            self.elements.pop()
            self.rows.append(Row("end", name))

    def _start_cdata(self) -> None:
        self._flush()
        self._in_cdata = True

    def _end_cdata(self) -> None:
        text = "".join(self._text)
        self._text.clear()
        self._in_cdata = False
        self._add(Row("cdata", text=text))

    def _flush(self) -> None:
        text = "".join(self._text)
        self._text.clear()
        if self._in_cdata or text.strip(_BLANKS):
            self._append(Row("cdata" if self._in_cdata else "text", text=text))

    def _add(self, row: Row) -> None:
        self._flush()
        self._append(row)

    def _append(self, row: Row) -> None:
        _shorten(row)
        self._charge(row.name, row.text, *(name + value for name, value, _ in row.attributes))
        self._limits.rows -= 1
        self.rows.append(row)

    def _charge(self, *drawn: str) -> None:
        self._limits.characters -= sum(map(len, drawn))
        if self._limits.reached:
            raise _Enough


def _attribute(name: str, value: str) -> tuple[str, str, int]:
    return name, value[:_LONGEST], max(0, len(value) - _LONGEST)


def _shorten(row: Row) -> Row:
    row.more = max(0, len(row.text) - _LONGEST)
    row.text = row.text[:_LONGEST]
    return row
