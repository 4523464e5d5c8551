"""Which characters the bytes of a text are: by the charset that was said, else by what the bytes are themselves.

Rule: no byte is replaced. One that does not decode becomes the surrogate U+DC00 + byte, which `marked` shows as
an escape of that byte. A name of a charset is looked up only among those that encode text, and none of them is slow.
"""

import codecs
import re
from typing import NamedTuple

# At most one character in this many may be a control character, or not be of the charset, in a text: ...
UNSAID, SAID = 32, 4  # ... that nobody says to be one, or that is said to be one

# Those that text is sent in, by the names that Python has for them.
_KNOWN = re.compile(
    "ascii|utf-8|utf-16(?:-[lb]e)?|iso8859-[0-9]+|cp[0-9]+|koi8-[ru]|mac-roman|big5(?:hkscs)?|gb2312|gbk|gb18030|"
    "euc_jp|euc_kr|shift_jis"
)
_NAME = re.compile(r"[A-Za-z0-9._:-]{1,40}", re.ASCII)
_BYTE = "gatebook.byte"  # like surrogateescape, but of any byte, and slower
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_CONTROLS = re.compile("[\0-\x08\x0b\x0e-\x1a\x1c-\x1f\x7f-\x9f\ufffe\uffff]")  # not \t \n \r \f, nor a terminal's \x1b
_UNDECODED = re.compile("[\udc00-\udcff]+")


class Decoded(NamedTuple):
    """A text, and the charset that it was read in."""

    text: str
    charset: str
    undecoded: int  # how many bytes were not of that charset


def decoded(content: bytes, said: str = "") -> Decoded:
    """The characters of `content`. `said` is the charset as Content-Type has it; an unknown one counts as none."""
    if name := known(said):
        return _decoded(content, name)
    if content.startswith(_UTF16):
        return _decoded(content, "utf-16-le" if content.startswith(codecs.BOM_UTF16_LE) else "utf-16-be")
    found = _decoded(content, "utf-8")
    # Some bytes that are not UTF-8, within much that is: broken or cut UTF-8, rather than anything else.
    if found.undecoded * 2 > sum(map(len, re.findall("[^\0-\x7f]+", found.text))):
        return _decoded(content, "iso8859-1")
    return found


def known(said: str) -> str | None:
    """The name by which Python knows a charset, if it is one that text is sent in."""
    if not _NAME.fullmatch(said):
        return None
    try:
        name = codecs.lookup(said).name
    except (LookupError, ValueError):
        return None
    return name if _KNOWN.fullmatch(name) else None


def is_text(found: Decoded, is_said: bool = False) -> bool:
    """Whether this looks like something to read, rather than like bytes of something else."""
    odd = len(_CONTROLS.findall(found.text)) + found.undecoded
    return odd * (SAID if is_said else UNSAID) <= len(found.text) and (is_said or "\0" not in found.text)


def _decoded(content: bytes, name: str) -> Decoded:
    try:
        text = content.decode(name, "surrogateescape")
    except UnicodeDecodeError:  # of UTF-16, where a byte of ASCII can be wrong too
        text = content.decode(name, _BYTE)
    return Decoded(text, "latin-1" if name == "iso8859-1" else name, sum(map(len, _UNDECODED.findall(text))))


def _as_bytes(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    end = max(error.end, error.start + 1)
    return "".join(chr(0xDC00 + byte) for byte in error.object[error.start : end]), end


codecs.register_error(_BYTE, _as_bytes)
