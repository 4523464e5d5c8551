"""Wire text and bodies as words of a POSIX shell.

Rules: a shell reads what is made here as data and nothing else. What is not plainly seen is written as octal digits for
`printf`, so that a command survives being shown, copied and pasted, from a terminal and from a page: POSIX has no
`$'…'`.
"""

import re
import shlex
import unicodedata
from collections.abc import Sequence

INLINE = 32 * 1024  # bytes of text, written into the command
_OCTAL = 8 * 1024  # other bytes, written as octal digits; larger bodies are fetched
_MARKS = 4  # on one letter; a pile of them hides the lines around it
_UNSEEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
_LITERAL = re.compile(rb"[^A-Za-z0-9 _./:=,;+-]|^-")


def quoted(wire: str) -> str:
    """Wire text as one word of a POSIX shell."""
    raw = wire.encode("latin-1")
    text = raw.decode(errors="replace")
    if "\ufffd" not in text and _is_seen(text, ""):
        return shlex.quote(text)
    return f"\"$(printf '{_octal(raw)}')\""


def text_of(body: bytes) -> str | None:
    """A body that may stand between quotes, as text; None when it is too large for that, or no such text."""
    if len(body) > INLINE:
        return None
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return None
    return text if _is_seen(text, "\n\t") else None


def _is_seen(text: str, kept: str) -> bool:
    """Whether all of it is drawn, as itself and at its own place; what is in `kept` is taken for that."""
    if text.isascii():
        return all(char.isprintable() or char in kept for char in text)
    marks = _MARKS  # at the beginning of a line there is nothing to put them on
    for char in text:
        if char in kept:
            marks = _MARKS
        elif not char.isprintable() or _UNSEEN.match(char):
            return False
        else:
            marks = marks + 1 if unicodedata.category(char).startswith("M") else 0
        if marks > _MARKS:
            return False
    return True


def piped(body: bytes | None, fetch: Sequence[str]) -> str:
    """The beginning of a pipe that gives the body: its bytes, or what the command `fetch` gives."""
    if body is None or len(body) > _OCTAL:
        return f"{shlex.join(fetch)} | "
    return f"printf '{_octal(body)}' | "


def _octal(raw: bytes) -> str:
    """A format of printf that gives these bytes, written in ASCII that means nothing to any shell."""
    return _LITERAL.sub(lambda match: b"\\%03o" % match[0][0], raw).decode()
