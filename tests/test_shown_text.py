"""What a client sent can be looked at: nothing of it runs, hides or reorders, and nothing is lost."""

import html
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatebook.viewer.shown.text import marked, plain, wire

any_text = st.text(st.characters(exclude_categories=()))  # surrogates too
ODD = re.compile(r'<span class="odd" title="([^"<>]*)">([^<>]*)</span>')


def unmarked(markup: str) -> str:
    """What was sent, out of what is shown."""
    return "".join(_read(piece) if index % 2 else html.unescape(piece) for index, piece in enumerate(_pieces(markup)))


def _pieces(markup: str) -> list[str]:
    return re.split(r'<span class="odd" title="[^"<>]*">([^<>]*)</span>', markup)


def _read(escapes: str) -> str:
    return re.sub(r"\\0", r"\\x00", escapes).encode("ascii").decode("unicode_escape")


@given(any_text)
def test_nothing_is_lost(text: str) -> None:
    assert unmarked(str(marked(text))) == text


@given(any_text)
def test_what_is_shown_is_printable(text: str) -> None:
    assert str(marked(text)).isprintable()


@given(any_text)
def test_there_is_no_other_tag(text: str) -> None:
    assert "<" not in ODD.sub("", str(marked(text)))


@given(st.text("<>&\"'\n\t\r\0 \u202e\u0301ab", max_size=40))
def test_what_is_kept_stays(text: str) -> None:
    shown = str(marked(text, keep="\n\t"))
    assert unmarked(shown) == text
    assert [shown.count(one) for one in "\n\t"] == [text.count(one) for one in "\n\t"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\u202e", '<span class="odd" title="U+202E RIGHT-TO-LEFT OVERRIDE">\\u202e</span>'),
        ("a\0\nb", 'a<span class="odd" title="U+0000, U+000A">\\0\\n</span>b'),
        ("\U000e0041", '<span class="odd" title="U+E0041 TAG LATIN CAPITAL LETTER A">\\U000e0041</span>'),
        ("\x9b", '<span class="odd" title="U+009B">\\x9b</span>'),
    ],
)
def test_an_odd_character_is_named(text: str, shown: str) -> None:
    assert marked(text) == shown


@pytest.mark.parametrize("text", ["", "GET /ä?ö=ü", "日本語", "cafe\u0301", "שלום", "a  b", "😀", "\\u202e"])
def test_readable_text_stays_as_it_is(text: str) -> None:
    assert marked(text) == text


@pytest.mark.parametrize("blank", ["\u200b", "\u2028", "\u00a0", "\u3164", "\u2800", "\ufe0f", "\U000e0100", "\ud800"])
def test_what_is_drawn_as_nothing_is_seen(blank: str) -> None:
    assert f"{ord(blank):04x}"[-2:] in unmarked_escapes(f"a{blank}b")


def unmarked_escapes(text: str) -> str:
    found = ODD.search(str(marked(text)))
    assert found
    return found[2]


def test_a_pile_of_marks_does_not_grow_over_its_neighbours() -> None:
    assert str(marked("a" + "\u0301" * 500)).count("\u0301") == 4
    assert "\u0301" not in marked("\u0301") + marked("\0\u0301") + marked("a\n\u0301", keep="\n")


def test_where_no_html_can_be_each_odd_character_has_a_stand_in() -> None:
    assert plain("a\u202eb\u3164\n") == "a\ufffdb\ufffd\ufffd"
    assert plain("e" + "\u0301" * 9) == "e" + "\u0301" * 4 + "\ufffd" * 5
    assert plain("<ä> 😀") == "<ä> 😀"


@pytest.mark.parametrize(
    ("sent", "text"), [(b"plain", "plain"), ("ä€".encode(), "ä€"), (b"\xe4", "ä"), (b"\xff\xfe", "ÿþ")]
)
def test_wire_text_is_utf8_where_it_can_be(sent: bytes, text: str) -> None:
    assert wire(sent.decode("latin-1")) == text


def test_what_is_no_wire_text_stays() -> None:
    assert wire("€") == "€"


def test_a_byte_that_did_not_decode_is_not_taken_for_a_surrogate():
    assert marked("\udc80", undecoded=True) == '<span class="odd" title="byte \\x80">\\x80</span>'
    assert marked("\udc80") == '<span class="odd" title="U+DC80">\\udc80</span>'
