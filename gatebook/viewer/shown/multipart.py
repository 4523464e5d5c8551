"""The parts of a multipart body, and where in it their contents lie.

Rule: as servers read it (python-multipart), since what matters is how it will be understood; but headers are shown as
sent. A body that breaks off, or is no longer well-formed, has the parts up to there.
"""

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

MOST_PARTS = 100
_MOST_HEADERS = 50  # in one part
_LONGEST_HEADER = 8 * 1024
_SILENT = logging.Logger("gatebook.multipart", logging.CRITICAL + 1)  # what clients get wrong is not for our log


class NotMultipart(Exception):
    """Its words say why."""


class _Enough(Exception):
    """There are more parts than are drawn."""


@dataclass
class Part:
    """One part. Texts are wire text; `first` and `end` are where its content lies in the body."""

    headers: list[tuple[str, str]] = field(default_factory=list)
    first: int = 0
    end: int = 0
    whole: bool = False  # False: it was not ended by a boundary

    @property
    def name(self) -> str | None:
        return self._of_disposition(b"name")

    @property
    def filename(self) -> str | None:
        return self._of_disposition(b"filename")

    def _of_disposition(self, option: bytes) -> str | None:
        said = next((value for name, value in self.headers if name.lower() == "content-disposition"), "")
        found = parse_options_header(said)[1].get(option)
        return None if found is None else found.decode("latin-1")


@dataclass
class Parts:
    """What a body consists of, and what is wrong with it, in words."""

    parts: list[Part]
    wrong: str = ""
    more: bool = False  # there are more parts than these


def parts(content: bytes, content_type: str, cut: bool = False) -> Parts:
    """`content_type` is the header's value. Raises NotMultipart when there is no boundary, or not one part."""
    boundary = parse_options_header(content_type)[1].get(b"boundary")
    if not boundary:
        raise NotMultipart("no boundary is given in Content-Type")
    reader = _Reader()
    wrong, more = "", False
    try:
        parser = MultipartParser(
            boundary, reader.callbacks(), max_header_count=_MOST_HEADERS, max_header_size=_LONGEST_HEADER
        )
        parser.logger = _SILENT
        parser.write(content)
        if not (reader.ended or cut):
            wrong = "The boundary that ends the last part is missing."
    except _Enough:
        more = True
    except FormParserError as error:
        wrong = f"It is not well-formed: {error}."
    if not reader.parts:
        raise NotMultipart(wrong.lower().rstrip(".") or "it has no part")
    return Parts(reader.parts, wrong, more)


class _Reader:
    """Makes parts of what the parser tells."""

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self.ended = False
        self._name = self._value = b""

    def callbacks(self) -> "MultipartCallbacks":
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._header_field,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_part_data": self._data,
            "on_part_end": self._end_of_part,
            "on_end": self._end,
        }

    def _begin(self) -> None:
        if len(self.parts) == MOST_PARTS:
            raise _Enough
        self.parts.append(Part())

    def _header_field(self, data: bytes, first: int, end: int) -> None:
        self._name += data[first:end]

    def _header_value(self, data: bytes, first: int, end: int) -> None:
        self._value += data[first:end]

    def _header_end(self) -> None:
        self.parts[-1].headers.append((self._name.decode("latin-1"), self._value.decode("latin-1")))
        self._name = self._value = b""

    def _data(self, data: bytes, first: int, end: int) -> None:
        self.parts[-1].first = self.parts[-1].first or first
        self.parts[-1].end = end

    def _end_of_part(self) -> None:
        self.parts[-1].whole = True

    def _end(self) -> None:
        self.ended = True
