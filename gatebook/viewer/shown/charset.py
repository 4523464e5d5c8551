"""Which characters the bytes of a text are: by the charset that was said, else by what the bytes are themselves.

Rule: no byte is replaced. One that does not decode becomes the surrogate U+DC00 + byte (PEP 383), which `marked` shows
as an escape of that byte. A charset that is named is looked up only among those that encode text, none of them slowly.
"""

import codecs
import re
from functools import lru_cache
from typing import NamedTuple

# At most one character in this many may be a control character, or not be of the charset, in a text: ...
UNSAID, SAID = 32, 8  # ... that nobody says to be one, or that is said to be one

# Those that text is sent in, by the names that Python has for them; but for UTF-16, each has ASCII's characters where
# ASCII has them. EBCDIC (cp037 and its kin) has not: nothing would be found in it that is to be masked.
_KNOWN = re.compile(
    "ascii|utf-8|utf-16(?:-[lb]e)?|iso8859-[0-9]+|cp[0-9]+|koi8-[ru]|mac-roman|big5(?:hkscs)?|gb2312|gbk|gb18030|"
    "euc_jp|euc_kr|shift_jis"
)
_NAME = re.compile(r"[A-Za-z0-9._:-]{1,40}", re.ASCII)
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_ASCII = bytes(range(0x20, 0x7F))
_CONTROLS = re.compile("[\0-\x08\x0b\x0e-\x1a\x1c-\x1f\x7f-\x9f\ufffe\uffff]")  # not \t \n \r \f, nor a terminal's \x1b
_UNDECODED = re.compile("[\udc00-\udcff]+")


class Decoded(NamedTuple):
    """A text, and the charset that it was read in."""

    text: str
    charset: str
    undecoded: int  # how many bytes were not of that charset


def decoded(content: bytes, said: str = "") -> Decoded:
    """The characters of `content`. `said` is the charset as Content-Type has it; an unknown one counts as none."""
    name = known(said)
    if name == "utf-16" or (name is None and content.startswith(_UTF16)):
        name = "utf-16-be" if content.startswith(codecs.BOM_UTF16_BE) else "utf-16-le"
    if name:
        return _decoded(content, name)
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
    return name if _KNOWN.fullmatch(name) and _has_ascii(name) else None


@lru_cache(100)
def _has_ascii(name: str) -> bool:
    return name.startswith("utf-16") or _ASCII.decode(name, "replace") == _ASCII.decode()


def is_text(found: Decoded, is_said: bool = False) -> bool:
    """Whether this looks like something to read, rather than like bytes of something else."""
    odd = len(_CONTROLS.findall(found.text)) + found.undecoded
    return odd * (SAID if is_said else UNSAID) <= len(found.text) and (is_said or "\0" not in found.text)


def _decoded(content: bytes, name: str) -> Decoded:
    if name.startswith("utf-16"):  # any two bytes are something there, if only half of a pair
        even = len(content) // 2 * 2
        text = content[:even].decode(name, "surrogatepass") + "".join(chr(0xDC00 + byte) for byte in content[even:])
        return Decoded(text, name, len(content) - even)
    text = content.decode(name, "surrogateescape")
    return Decoded(text, "latin-1" if name == "iso8859-1" else name, sum(map(len, _UNDECODED.findall(text))))
