"""The macro of body.html as pages have it, for tests."""

import struct
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined

from gatebook.viewer.shown.body import Shown, shown
from gatebook.viewer.shown.text import marked
from gatebook.viewer.shown.text import wire as as_meant

_PAGES = Environment(
    loader=PackageLoader("gatebook.viewer.pages"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_PAGES.filters |= {"marked": marked, "wire": lambda text: marked(as_meant(text))}


def drawn(body: Shown) -> str:
    """As HTML."""
    module: Any = _PAGES.get_template("body.html").module
    return str(module.body(body, _link, lambda term: "/_/?" + urlencode({"filter": term}), "/raw", "/image"))


def _link(**query: Any) -> str:
    return "/it?" + urlencode({name: value for name, value in query.items() if value is not None})


def looked_at(content: bytes, type: str = "", view: str | None = None, **options: Any) -> Shown:
    """A body that was sent whole, with this Content-Type."""
    headers = [["Content-Type", type]] if type else []
    return shown(
        headers + options.pop("headers", []), content, len(content), options.pop("truncated", False), view, **options
    )


def png(width: int = 2, height: int = 1) -> bytes:
    """A true picture if it is small; of a large one only the head is true."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    lines = zlib.compress((b"\0" + b"\x40\x80\xc0" * min(width, 500)) * min(height, 500))
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", lines) + chunk(b"IEND", b"")


@contextmanager
def soon() -> Iterator[None]:
    """What is in the block must take no more than a second of a processor."""
    began = time.thread_time()
    yield
    assert time.thread_time() - began < 1
