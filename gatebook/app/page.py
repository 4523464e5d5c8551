"""The page at `/`: rows rendered once, joined for each request.

Rule: all that a client sent is hostile. It reaches the page through `shown` alone, and only as text between tags; the
one attribute made per row holds an id that we made ourselves. Style and script are inlined, and the policy allows
these two texts and nothing else, so even a value that got through could load and run nothing.

Knows nothing of sockets or the database. page.html, page.css and page.js are read once, at start.
"""

import base64
import hashlib
import html
import re
from collections.abc import Sequence
from functools import lru_cache, partial
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import NamedTuple

from gatebook import look
from gatebook.access import Hidden
from gatebook.app.capture import Record
from gatebook.identity import utc
from gatebook.redact import NOTHING, Redaction

ROWS = 25
SHOWN = 120

_HERE = Path(__file__).parent
_MARKS = ["notice", "origin", "spread", "replica", "id", "own", "others"]
_LOCKED_MARKS = ["notice", "origin", "hidden", "replica", "id", "own"]
_FORK = re.compile(r"<!--if-->\n?(.*?)(?:<!--else-->\n?(.*?))?<!--end-->\n?", re.DOTALL)
_HIDDEN: dict[Hidden, bytes] = {
    "password": b"<p>It is shown to whoever has signed in.<p><a href=/_/sign-in?next=/><em>Sign in</em></a>",
    "network": b"<p>It is not shown to your network.",
    "host": b"<p>It is not shown under this name: ask for localhost or an address, or add the name to "
    b"<code>GATEBOOK_VIEW_HOSTS</code>.",
}
_NOWHERE = "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
# Strings are matched first, and so kept. A script keeps its line ends: they end statements.
_BLANKS = {
    ".html": re.compile(r"""(?<==)"([\w-]+)"|(?<=>)()\n(?=<)"""),
    ".css": re.compile(r"""("[^"]*")|\s*([{};,])\s*|(?<=:) """),
    ".js": re.compile(r"""("[^"]*"|`[^`]*`)| *([-=<>?:,{}()&|*+!%]+) *|(?<=[{([,])\n|\n(?=[])}])"""),
}
_LAST = re.compile("[\xc2-\xf4][\x80-\xbf]{0,2}$")
_CELLS = [f"M{ROWS - 1 - place} 0h.8" for place in range(ROWS)]


class Seen(NamedTuple):
    """One recorded request as the page shows it. Wire text has one character per byte (latin-1), and is cut."""

    id: str
    method: str
    target: str
    client: str
    replica: str
    size: int | None


def seen(record: Record, replica: str) -> Seen:
    """What the page shows of a record; one character more of a text than it shows tells that there is more."""
    method, target = record.method[: SHOWN + 1], record.target[: SHOWN + 1]
    return Seen(record.id, method, target, record.client, replica, record.body_size)


class Page:
    """The template, loaded and split once; `redaction` says what of a target is seen."""

    def __init__(self, redaction: Redaction = NOTHING) -> None:
        self._cells = lru_cache(4096)(partial(_cells, redaction))
        style, script, text = map(_source, (_HERE / "page.css", _HERE / "page.js", _HERE / "page.html"))
        style = _source(look.PALETTE) + style
        text = text.replace('<link rel=stylesheet href="page.css">', f"<style>{style}</style>")
        text = text.replace('<script src="page.js"></script>', f"<script>{script}</script>")
        self._parts = _parts(_FORK.sub(lambda fork: fork[1], text), _MARKS)
        self._locked_parts = _parts(_FORK.sub(lambda fork: fork[2] or "", text), _LOCKED_MARKS)
        allowed = f"default-src 'none'; style-src '{_digest(style)}'; img-src data:; {_NOWHERE}"
        self.content_security_policy = f"{allowed}; script-src '{_digest(script)}'; connect-src 'self'"
        self.locked_policy = allowed

    def row(self, seen: Seen) -> bytes:
        """One `<tr>`, its end tags left out as HTML allows. The time is that of the id: its first 48 bits, in ms."""
        id, *cells = seen
        return f"<tr><td><a href=_/requests/{id}><time>{utc(id, ' ')}</time></a>{self._cells(*cells)}".encode()

    def spread(self, replicas: Sequence[str]) -> bytes:
        """Which replica took which request: a lane for each, newest at the right. `replicas`: newest first."""
        cells: dict[str, list[str]] = {}
        for name, cell in zip(replicas, _CELLS, strict=False):
            cells.setdefault(name, []).append(cell)
        names = sorted(cells, key=lambda name: (len(name), name))
        return "".join(_lane(name, cells[name]) for name in names).encode()

    def compose(self, seen: Seen, own: bytes, others: bytes, spread: bytes, origin: str, notice: bytes = b"") -> bytes:
        """The whole document for whoever sent `seen`: their row, then `others` (24 rows, joined); `origin` for curl.

        `notice` is HTML to stand above all.
        """
        p = self._parts
        here, replica, id = html.escape(origin).encode(), _word(seen.replica).encode(), seen.id.encode()
        return b"".join(
            (p[0], notice, p[1], here, p[2], spread, p[3], replica, p[4], id, p[5], own, p[6], others, p[7])
        )

    def locked(self, seen: Seen, hidden: Hidden, origin: str, notice: bytes = b"") -> bytes:
        """The document for whoever may not see what others sent: it holds nothing but their own request, and why."""
        p = self._locked_parts
        here, replica, id = html.escape(origin).encode(), _word(seen.replica).encode(), seen.id.encode()
        return b"".join(
            (p[0], notice, p[1], here, p[2], _HIDDEN[hidden], p[3], replica, p[4], id, p[5], self.row(seen), p[6])
        )


def shown(wire: str) -> str:
    """Wire text for a reader, escaped: UTF-8 where its bytes are that, and its start if it is long.

    U+FFFD stands for what could hide, reorder or break text: control and format characters, separators.
    """
    head = wire[:SHOWN]
    if not head.isascii():
        head = _decoded(head, cut=len(wire) > SHOWN)
    if not head.isprintable():
        head = "".join(char if char.isprintable() else "\ufffd" for char in head)
    return html.escape(head) if len(wire) <= SHOWN else html.escape(head) + "…"


def _decoded(head: str, cut: bool) -> str:
    """`cut`: the text went on, so its last character may lack bytes; it is left out."""
    try:
        return (_LAST.sub("", head) if cut else head).encode("latin-1").decode()
    except UnicodeError:
        return head


def _cells(redaction: Redaction, method: str, target: str, client: str, replica: str, size: int | None) -> str:
    """What a row has beside its time: whoever sends to a webhook sends the like again and again."""
    return (
        f"<td>{_word(method)}<td>{shown(redaction.target(target)[0])}<td>{_word(client)}"
        f"<td class=r{look.hue(replica)}>{_word(replica)}<td>{'?' if size is None else f'{size:,}'}"
    )


@lru_cache(4096)
def _word(wire: str) -> str:
    """The same few methods, clients and replicas come again and again."""
    return shown(wire)


def _lane(name: str, cells: list[str]) -> str:
    return (
        f"<li class=r{look.hue(name)}><b>{_word(name)}</b>"
        f'<svg viewBox="0 -1 {ROWS} 2" aria-hidden=true>'
        f'<path d="{"".join(cells)}"/></svg><span>{len(cells)}</span>'
    )


def _parts(text: str, marks: Sequence[str]) -> tuple[bytes, ...]:
    """What stands between the marks."""
    parts = re.split(r"<!--(\w+)-->", text)
    if parts[1::2] != marks:
        raise ValueError(f"page.html has the marks {parts[1::2]}, expected {marks}")
    return tuple(part.encode() for part in parts[::2])


def _source(file: Traversable) -> str:
    """A file's text, lean: without indentation, empty lines, lines that are comments, and most blanks."""
    lines = map(str.strip, file.read_text("utf-8").splitlines())
    text = "\n".join(line for line in lines if line and not line.startswith(("//", "/*", "<!-- ")))
    blanks = _BLANKS.get(Path(file.name).suffix)
    return blanks.sub(r"\1\2", text) if blanks else text


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
