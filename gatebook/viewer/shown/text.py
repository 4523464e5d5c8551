"""Text as a client sent it, made fit to be looked at.

Rule: nothing that was sent may hide, reorder or break what stands around it, and nothing is lost. A character that is
not printable is shown as an escape that names it, all others as they are, escaped for HTML. The only Markup that the
pages have of what a client sent is made here.

Letters that are written from right to left are printable; what they do to their neighbours is kept inside by
`unicode-bidi: isolate` on the element that holds the text.
"""

import re
import unicodedata

from markupsafe import Markup, escape

# More marks than this on one character are escaped: a pile of them is drawn over the lines around it. Vietnamese has
# two, pointed and cantillated Hebrew four.
_MARKS = 4

# Printable by category, but drawn as nothing: fillers, a blank of braille, and selectors, which can carry bytes unseen.
_BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0").union(
    map(chr, range(0xFE00, 0xFE10)), map(chr, range(0xE0100, 0xE01F0))
)
_SHORT = {"\0": "\\0", "\t": "\\t", "\n": "\\n", "\r": "\\r"}
_TITLES = 8  # of a run of such characters, the first ones are named in its title
_NOT_PLAIN = re.compile(r"[^ -~]")


def wire(text: str) -> str:
    """Wire text (one character per byte) as its sender most likely meant it: UTF-8 where the bytes are that."""
    try:
        return text.encode("latin-1").decode()
    except UnicodeError:  # not UTF-8, or no wire text in the first place
        return text


def marked(text: str, keep: str = "", undecoded: bool = False) -> Markup:
    """Escaped for HTML, with a visible escape in place of what is not printable; its title names the characters.

    What is in `keep`, ends of lines say, stays as it is. `undecoded`: U+DC00 to U+DCFF stand for bytes that are not of
    the text's charset (charset.py).
    """
    runs, start = [], 0
    for first, end in _odd(text, keep):
        runs += [escape(text[start:first]), _escape(text[first:end], undecoded)]
        start = end
    runs.append(escape(text[start:]))
    return Markup("").join(runs)


def plain(text: str) -> str:
    """For places that hold no HTML, titles and labels: U+FFFD stands for each character that `marked` escapes."""
    runs, start = [], 0
    for first, end in _odd(text, ""):
        runs += [text[start:first], "\ufffd" * (end - first)]
        start = end
    return "".join([*runs, text[start:]])


def _odd(text: str, keep: str) -> list[tuple[int, int]]:
    """Where the runs of characters are that are not to be shown as they are: first, and after the last."""
    runs: list[tuple[int, int]] = []
    marks, after_mark = 0, -1
    for match in _NOT_PLAIN.finditer(text):
        position, character = match.start(), match[0]
        if unicodedata.category(character).startswith("M"):
            marks, after_mark = (marks + 1 if after_mark == position else 1), position + 1
            bare = position == 0 or text[position - 1] in keep or (bool(runs) and runs[-1][1] == position)
            hidden = marks > _MARKS or bare or character in _BLANK
        else:
            # isprintable() is false of controls, format and bidi characters, separators and surrogates, and of what is
            # private or unassigned: nobody knows how that is drawn.
            hidden = character not in keep and (not character.isprintable() or character in _BLANK)
        if hidden and runs and runs[-1][1] == position:
            runs[-1] = (runs[-1][0], position + 1)
        elif hidden:
            runs.append((position, position + 1))
    return runs


def _escape(run: str, undecoded: bool) -> Markup:
    shown = "".join(_byte(one) if undecoded and _is_byte(one) else _escaped(one) for one in run)
    titles = [f"byte {_byte(one)}" if undecoded and _is_byte(one) else _title(one) for one in run[:_TITLES]]
    more = ", …" if len(run) > _TITLES else ""
    return Markup('<span class="odd" title="{}">{}</span>').format(", ".join(titles) + more, shown)


def _escaped(character: str) -> str:
    number = ord(character)
    if number > 0xFFFF:
        return f"\\U{number:08x}"
    return _SHORT.get(character) or (f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}")


def _title(character: str) -> str:
    return f"U+{ord(character):04X} {unicodedata.name(character, '')}".rstrip()


def _is_byte(character: str) -> bool:
    return 0xDC00 <= ord(character) <= 0xDCFF


def _byte(character: str) -> str:
    return f"\\x{ord(character) - 0xDC00:02x}"
