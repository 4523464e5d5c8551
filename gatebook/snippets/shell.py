"""Wire text and bodies as words of a POSIX shell.

Rules: a shell reads what is made here as data and nothing else. What is not printable is written as octal digits for
`printf`, so that a command survives being shown, copied and pasted: POSIX has no `$'…'`.
"""

import re
import shlex
from collections.abc import Sequence

INLINE = 32 * 1024  # bytes of text, written into the command
_OCTAL = 8 * 1024  # other bytes, written as octal digits; larger bodies are fetched
_LITERAL = re.compile(rb"[^A-Za-z0-9 _./:=,;+-]|^-")


def quoted(wire: str) -> str:
    """Wire text as one word of a POSIX shell."""
    raw = wire.encode("latin-1")
    text = raw.decode(errors="replace")
    if text.isprintable() and "\ufffd" not in text:
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
    return text if all(char.isprintable() or char in "\n\t" for char in text) else None


def piped(body: bytes | None, fetch: Sequence[str]) -> str:
    """The beginning of a pipe that gives the body: its bytes, or what the command `fetch` gives."""
    if body is None or len(body) > _OCTAL:
        return f"{shlex.join(fetch)} | "
    return f"printf '{_octal(body)}' | "


def _octal(raw: bytes) -> str:
    """A format of printf that gives these bytes, written in ASCII that means nothing to any shell."""
    return _LITERAL.sub(lambda match: b"\\%03o" % match[0][0], raw).decode()
