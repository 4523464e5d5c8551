"""A body is shown in the ways that suit it, the best one first; whatever the bytes are, something is shown."""

import gzip
import json
import os
import re
import zlib
from encodings.aliases import aliases

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from shown_pages import drawn, looked_at, png, soon

from gatebook.viewer.shown.body import shown
from gatebook.viewer.shown.charset import Decoded, decoded
from gatebook.viewer.shown.hexdump import hexdump
from gatebook.viewer.shown.plain import plain

JSON = b'{"a": 1}'
XML = b'<?xml version="1.0"?><a>1</a>'
FORM = "application/x-www-form-urlencoded"
PARTS = b'--B\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--B--\r\n'

types = st.sampled_from(
    [
        *(
            "",
            "application/json",
            "application/x-ndjson",
            "text/xml",
            "image/svg+xml",
            FORM,
            "multipart/mixed; boundary=B",
        ),
        *("image/png", "text/plain; charset=utf-16", "text/plain; charset=shift_jis", "application/octet-stream"),
    ]
) | st.text(st.characters(max_codepoint=255), max_size=40)
beginnings = st.sampled_from(
    [
        *(
            b"",
            b"{",
            b"[",
            b'{"a":',
            b"<?xml version='1.0'?>",
            b"<!DOCTYPE a [",
            b"--B\r\n",
            b"--B\r\nA: b\r\n\r\n",
            b"a=%",
        ),
        *(png(), b"GIF89a", b"RIFF0000WEBPVP8X", b"\0\0\1\0\1\0", b"\xff\xfe", b"\xef\xbb\xbf", b"\x1f\x8b\x08"),
    ]
)
contents = st.builds(
    bytes.__add__, beginnings, st.binary(max_size=200) | st.text('<>&"{}[]:,=%\n\0é\u202e').map(str.encode)
)
codings = st.sampled_from(["", "gzip", "deflate", "gzip, gzip", "br", "identity", "é" * 3, "gzip," * 9])
views = st.sampled_from([None, "json", "xml", "form", "multipart", "image", "text", "hex", "nonsense", "<b>"])
TAGS = {
    *(
        "div",
        "p",
        "nav",
        "a",
        "span",
        "b",
        "small",
        "pre",
        "details",
        "summary",
        "section",
        "h4",
        "figure",
        "figcaption",
    ),
    *("table", "thead", "tbody", "tr", "th", "td", "img", "button"),
}


@settings(deadline=None)  # whatever else the machine does
@given(contents, types, codings, views, st.integers(0, 2**40), st.booleans(), st.booleans(), st.booleans())
def test_any_bytes_are_shown(content, type, coding, view, at, truncated, decoded, whole):
    body = looked_at(
        content,
        type,
        view,
        headers=[["Content-Encoding", coding]],
        at=at,
        truncated=truncated,
        decoded=decoded,
        whole=whole,
    )
    assert set(re.findall(r"<(?!/)([^ >]*)", drawn(body))) <= TAGS
    assert body.size == 0 or (body.view in body.views and "hex" in body.views)


@pytest.mark.parametrize(
    ("content", "type", "views"),
    [
        (JSON, "application/json", ["json", "text", "hex"]),
        (JSON, "application/vnd.github+json; charset=utf-8", ["json", "text", "hex"]),
        (JSON, "", ["json", "text", "hex"]),
        (JSON, FORM, ["json", "form", "text", "hex"]),
        (b"7", "application/json", ["json", "text", "hex"]),
        (b"7", "", ["text", "hex"]),
        (b'{"a":1}\n{"b":2}\n', "application/x-ndjson", ["json", "text", "hex"]),
        (XML, "application/soap+xml", ["xml", "text", "hex"]),
        (XML, "", ["xml", "text", "hex"]),
        (b"<html><p>a</html>", "text/html", ["text", "hex"]),
        (b"a=1&b=2", FORM, ["form", "text", "hex"]),
        (PARTS, "multipart/form-data; boundary=B", ["multipart", "text", "hex"]),
        (PARTS, "multipart/form-data", ["text", "hex"]),
        (png(), "application/octet-stream", ["image", "hex"]),
        (b"alert(1)", "application/javascript", ["text", "hex"]),
        (bytes(range(256)), "", ["hex"]),
        (bytes(range(256)), "text/plain", ["hex", "text"]),
        (b"", "application/json", []),
    ],
)
def test_it_is_shown_as_what_it_is_said_to_be_else_as_what_it_looks_like(content, type, views):
    assert list(looked_at(content, type).views) == views


@pytest.mark.parametrize(
    ("content", "type", "note"),
    [
        (
            b'{"a": 1,}',
            "application/json",
            "Expecting property name enclosed in double quotes in line 1, column 9, before }.",
        ),
        (b'{"a": 1', "application/json", "at its end"),
        (b'{"a":\n [1 2]}', "application/json", "in line 2, column 5"),
        (b"[NaN]", "application/json", "NaN"),
        (b'{"a":"\xe4"}', "application/json", "not UTF-8"),
        (b"<a></b>", "text/xml", "mismatched tag, in line 1"),
        (b"junk", "multipart/form-data; boundary=B", "boundary"),
        (PARTS, "multipart/form-data", "no boundary"),
        (JSON, FORM, "said to be a form"),
        (b"no picture", "image/png", "does not begin like one"),
        (png(), "image/webp", "it is image/png"),
    ],
)
def test_a_contradiction_is_said(content, type, note):
    [found] = looked_at(content, type).notes
    assert note in found


@pytest.mark.parametrize(("view", "chosen"), [("hex", "hex"), ("text", "text"), ("xml", "json"), ("<b>", "json")])
def test_the_view_that_is_wished_for_is_shown_if_there_is_one(view, chosen):
    body = looked_at(JSON, "application/json", view)
    assert body.view == chosen
    assert bool(body.notes) is (view != chosen)


# Kept or not


def test_a_body_that_was_not_kept_is_not_shown():
    body = shown([], None, 5_000_000_000, True)
    assert not body.kept
    assert "not kept" in drawn(body)


def test_a_body_that_was_cut_says_how_much_is_kept_and_is_a_tree_as_far_as_it_goes():
    body = shown([["Content-Type", "application/json"]], b'{"a": [1, 2, "thr', 12_345_678, True)
    assert body.notes == ("Only the first 17 bytes are kept, of 12,345,678 that were sent.",)
    assert body.view == "json"
    assert [row.text for row in body.data.rows if row.kind == "number"] == ["1", "2"]
    assert "There is more" in drawn(body)


def test_no_value_of_a_cut_body_leads_to_a_filter():
    """Its JSON is none in the table, so no filter would find it."""
    assert looked_at(JSON, "", whole=True).data.linked
    assert not looked_at(JSON, "", whole=False).data.linked
    assert not looked_at(gzip.compress(JSON), "", headers=[["Content-Encoding", "gzip"]], decoded=True).data.linked


# Content-Encoding


def coded(content, coding, **options):
    return looked_at(content, "application/json", headers=[["Content-Encoding", coding]], **options)


def raw_deflate(content):
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(content) + compressor.flush()


@pytest.mark.parametrize(
    ("content", "coding"),
    [
        (gzip.compress(JSON), "gzip"),
        (gzip.compress(JSON), "X-GZIP"),
        (gzip.compress(b'{"a":') + gzip.compress(b" 1}"), "gzip"),
        (zlib.compress(JSON), "deflate"),
        (raw_deflate(JSON), "deflate"),
        (zlib.compress(gzip.compress(JSON)), "gzip, identity,deflate"),
    ],
)
def test_a_compressed_body_is_decoded_when_that_is_asked(content, coding):
    body = coded(content, coding, decoded=True)
    assert (body.view, body.decoded, body.notes) == ("json", True, ())
    assert "as sent" in drawn(body)


def test_a_compressed_body_is_shown_as_sent_at_first():
    body = coded(gzip.compress(JSON), "gzip")
    assert (body.view, body.decoded, body.notes) == ("hex", False, ())
    assert "decoded=1" in drawn(body)


@pytest.mark.parametrize(("content", "coding"), [(JSON, "gzip"), (gzip.compress(JSON)[:-9], "gzip"), (JSON, "br")])
def test_what_cannot_be_decoded_is_shown_as_sent_and_said(content, coding):
    body = coded(content, coding, decoded=True)
    assert not body.decoded
    assert any("cannot be decoded" in note for note in body.notes)
    assert body.size == len(content)


def test_a_body_that_says_it_is_compressed_and_is_not_is_readable():
    assert coded(JSON, "gzip").view == "json"


def test_a_bomb_is_opened_no_further_than_a_mebibyte():
    bomb = gzip.compress(gzip.compress(bytes(200_000_000)))
    with soon():
        body = coded(bomb, "gzip, gzip", decoded=True)
    assert body.size == 1024 * 1024
    assert "The first 1,048,576 bytes" in body.notes[0]
    with soon():
        assert coded(gzip.compress(b"") * 200_000, "gzip", decoded=True).size == 0


# Bounds

LARGE = {
    "json numbers": (b"[" + b"1," * 500_000 + b"1]", "application/json"),
    "json objects": (b"[" + b'{"a":{}},' * 100_000 + b"1]", "application/json"),
    "json depth": (b"[" * 900 + b"]" * 900, "application/json"),
    "json deeper": (b"[" * 500_000 + b"]" * 500_000, "application/json"),
    "json string": (b'["' + b"\\u202e" * 170_000 + b'"]', "application/json"),
    "json keys": (b"{" + b'"\xc2\x85":1,' * 100_000 + b'"a":1}', "application/json"),
    "xml elements": (b"<a>" + b"<b/>" * 250_000 + b"</a>", "text/xml"),
    "xml depth": (b"<a>" * 300_000, "text/xml"),
    "xml attributes": (b"<a " + b"".join(b'a%d="1" ' % n for n in range(90_000)) + b"/>", "text/xml"),
    "xml entities": (
        b'<!DOCTYPE a [<!ENTITY b "' + b"x" * 1000 + b'"><!ENTITY c "' + b"&b;" * 1000 + b'">]><a>&c;</a>',
        "text/xml",
    ),
    "form": (b"a=%00&" * 170_000, FORM),
    "form json": (b"p=[" + b"[],&p=[" * 150_000, FORM),
    "parts": (b"--B\r\nA: b\r\n\r\n[[],[],[],[]]\r\n" * 30_000 + b"--B--\r\n", "multipart/form-data; boundary=B"),
    "part headers": (b"--B\r\n" + b"A: b\r\n" * 100_000, "multipart/form-data; boundary=B"),
    "text": (b"a\0" * 500_000, "text/plain"),
    "marks": ("a\u0301".encode() * 300_000, "text/plain"),
    "lines": (b"\n" * 1_000_000, "text/plain"),
    "controls": (b"\x1b" * 1_000_000, "text/plain; charset=shift_jis"),
    "surrogates": (b"\xd8\0" * 500_000, "text/plain; charset=utf-16-be"),
    "random": (os.urandom(1_000_000), ""),
    "random utf-8": (os.urandom(1_000_000), "text/plain; charset=utf-8"),
}


@pytest.mark.parametrize("case", LARGE)
def test_a_hostile_body_takes_neither_long_nor_a_large_page(case):
    content, type = LARGE[case]
    with soon():
        page = drawn(looked_at(content, type))
    assert len(page) < 4_000_000


def test_a_string_that_a_cut_body_does_not_end_takes_no_longer_however_deep_it_lies():
    with soon():
        drawn(looked_at(b"[" * 70 + b'"' + b'\\"' * 400_000, "application/json", truncated=True))


def test_an_entity_is_not_expanded():
    body = looked_at(LARGE["xml entities"][0], "text/xml")
    assert body.view == "text"
    assert "declares entities" in body.notes[0]


# Pages of text and hex


@given(st.lists(st.text("ab\n", max_size=60)), st.integers(1, 50), st.integers(0, 4000))
def test_pages_of_text_are_all_of_it_and_end_where_lines_do(lines, most, at):
    text = "\n".join(lines)
    pages, start = [], 0
    while start is not None:
        page = plain(Decoded(text, "utf-8", 0), True, start, most)
        assert page.first == start and (page.before is None) == (start == 0)
        pages.append(page)
        start = page.after
    assert "".join(page.text for page in pages) == text
    assert all(len(page.text) <= most for page in pages)
    assert all(page.text.endswith("\n") for page in pages[:-1] if "\n" in page.text)
    holds = plain(Decoded(text, "utf-8", 0), True, at, most)
    assert holds in pages and (holds.first <= at < holds.end or at >= len(text))


@given(st.binary(max_size=100), st.integers(0, 120))
def test_pages_of_hex_are_all_of_it(content, at):
    page = hexdump(content, at, 32)
    assert bytes.fromhex("".join(row.bytes for row in page.rows)) == content[page.first : page.end]
    assert page.first <= at < page.end or at >= len(content)
    assert (page.after is None) == (page.end == len(content))


def test_a_text_that_begins_with_a_line_end_keeps_it():
    """HTML takes the first one behind <pre> for its own."""
    assert ">\n\nsecond" in drawn(looked_at(b"\nsecond", "text/plain"))


def test_a_byte_that_is_not_of_the_charset_is_shown_as_that_byte():
    page = drawn(looked_at("größer und größer".encode() + b"\xff", "text/plain; charset=utf-8"))
    assert 'größer<span class="odd" title="byte \\xff">\\xff</span>' in page
    assert "1 byte is not that" in page


@pytest.mark.parametrize(
    ("content", "said", "text", "charset"),
    [
        ("ä".encode(), "", "ä", "utf-8"),
        (b"caf\xe9", "", "café", "latin-1"),
        (b"caf\xe9", "iso-8859-1", "café", "latin-1"),
        (b"\x80", "windows-1252", "€", "cp1252"),
        ("日本".encode("shift_jis"), "Shift_JIS", "日本", "shift_jis"),
        ("\ufeffab".encode("utf-16-le"), "", "\ufeffab", "utf-16-le"),
        (b"a", "unicode_escape", "a", "utf-8"),
        (b"a", "zlib", "a", "utf-8"),
        (b"a", "no/such", "a", "utf-8"),
    ],
)
def test_text_is_read_in_the_charset_that_is_said_else_in_the_likeliest(content, said, text, charset):
    body = looked_at(content, f"text/plain; charset={said}" if said else "text/plain")
    assert (body.data.text, body.data.charset) == (text, charset)


@given(st.sampled_from(sorted(set(aliases.values()))), st.binary())
@example("cp424", bytes(range(256)))
def test_any_bytes_can_be_read_in_any_charset(said, content):
    text = decoded(content, said).text
    assert bool(text) is bool(content)


# JSON and forms


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda some: st.lists(some) | st.dictionaries(st.text(), some),
    )
)
@example({"": [{}, [], ""]})
def test_the_tree_is_what_was_sent(value):
    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False, indent=1)):
        body = looked_at(text.encode("utf-8", "surrogatepass"), "application/json")
        if body.view == "json":
            assert again(body.data.rows) == json.loads(text)


def again(rows):
    """The value that a tree is of."""
    rows = iter(rows)

    def value(row):
        match row.kind:
            case "array":
                return [value(one) for one in inside()]
            case "object":
                return {one.key: value(one) for one in inside()}
            case "string":
                return row.text
        return json.loads(row.text)

    def inside():
        while (row := next(rows)).kind != "end":
            yield row

    return value(next(rows))


def rows(text, **options):
    return looked_at(text.encode(), "application/json", **options).data.rows


def test_numbers_order_and_keys_that_come_twice_are_as_sent():
    found = rows('{"b": 1.50, "a": 1e400, "b": 12345678901234567890123}')
    assert [(row.key, row.text) for row in found[1:-1]] == [
        ("b", "1.50"),
        ("a", "1e400"),
        ("b", "12345678901234567890123"),
    ]


@pytest.mark.parametrize(
    ("text", "term"),
    [
        ('{"a": {"b": "c d"}}', 'json.a.b:"c d"'),
        ('{"a": [0, "x"]}', "json.a.1:x"),
        ('{"a": "x*"}', 'json.a:"x*"'),
        ('{"a.b": true}', 'json."a.b":true'),
        ('{"a": 1.50}', "json.a:1.50"),
        ('{"a": -1.5e3}', "json.a:-1500"),
        ('{"a": -0}', "json.a:0"),
        ('{"a": null}', None),
        ('{"a": 1e999999}', None),
        ('{"a": "%s"}' % ("x" * 3000), None),
        ('{"a": 1, "b": "\\u0000"}', None),  # PostgreSQL takes none of it as JSON, ...
        ('{"a": 1, "b": "\\ud800"}', None),
        ('{"a": 1, "b": "\\udc00\\ud800"}', None),
        ('{"a": 1, "b": 1e131072}', None),
        ('{"a": 1, "b": 1e-16384}', None),
        ('{"b": -1e99999999999999999999, "a": 1}', None),
        ('{"a": 1, "b": %s}' % ("1" * 200_000), None),
        ('{"a": 1, "b": "\\ud83d\\ude00", "c": 1e400}', "json.a:1"),  # ... but all of this
        ('{"a": {"b": [1, 2]}, "c": 3, "a": 4}', "json.a:4"),
        ('"alone"', None),
    ],
)
def test_a_value_leads_to_those_that_have_it(text, term):
    found = [row.term for row in rows(text) if row.kind in ("string", "number", "word")]
    assert term in found if term else not any(found)


def test_a_value_whose_key_comes_again_leads_nowhere():
    found = {row.text: row.term for row in rows('{"a": {"b": [1, {}]}, "c": 2, "a": 3, "d": [{"a": 4, "a": 5}]}')}
    assert [text for text, term in found.items() if term] == ["2", "3", "5"]


def test_what_is_very_deep_is_one_piece():
    found = rows("[" * 70 + "1" + "]" * 70)
    [deep] = [row for row in found if row.kind == "deep"]
    assert deep.text == "[" * 6 + "1" + "]" * 6


def test_a_long_tree_is_folded_beyond_its_first_levels():

    def opened(value):
        return [row.open for row in rows(json.dumps(value)) if row.kind in ("object", "array")]

    assert opened({"a": {"b": {"c": [1]}}}) == [True] * 4
    assert opened({"a": {"b": {"c": list(range(1000))}}}) == [True] * 4
    assert opened({"a": [list(range(1000)), [2]], "b": [3]}) == [True, True, True, False, True]
    many = opened([{"id": number} for number in range(1000)])
    assert many[:50] == [True] * 50 and not any(many[200:])


def test_what_is_folded_shows_how_it_begins():
    page = drawn(looked_at(json.dumps([{"id": number, "of": [1]} for number in range(500)]).encode()))
    assert '<span class="begin">&#34;id&#34;: 499, &#34;of&#34;: …</span>' in page


def test_a_form_shows_json_within_it_as_a_tree():
    [field] = looked_at(b"payload=%7B%22a%22%3A%5B1%5D%7D", FORM).data.fields
    assert [row.kind for row in field.tree.rows] == ["object", "array", "number", "end", "end"]


def test_the_fields_of_a_form_are_in_order_with_repeats_and_without_values():
    fields = looked_at(b"b=1&a=%C3%A9+%zz&b=&c&=&%ff=%00", FORM).data.fields
    assert [(field.name, field.value) for field in fields] == [
        ("b", "1"),
        ("a", "é %zz"),
        ("b", ""),
        ("c", None),
        ("", ""),
        ("ÿ", "\0"),
    ]


def test_of_a_long_field_it_is_said_how_many_characters_are_left_out():
    [fits, long] = looked_at(b"%41" * 8192 + b"=1&" + b"%41" * 8193 + b"=" + b"b" * 8194, FORM).data.fields
    assert (fits.name, fits.more, long.name, long.more) == ("A" * 8192, 0, "A" * 8192, 3)


# XML


def test_xml_is_indented_and_nothing_of_it_is_lost():
    sent = (
        b'<?xml version="1.0"?><!DOCTYPE a SYSTEM "a.dtd"><a b="1" c="&lt;"><!--d--><e> f &amp; g </e>h<![CDATA[<i>]]>'
        b"&j;<k/><?l m?></a>"
    )
    page = re.sub(r"<[^>]*>|\n *", "", drawn(looked_at(sent, "text/xml")))
    for piece in [
        '&lt;a b="1" c="&lt;"&gt;',
        "&lt;!--d--&gt;",
        "&lt;e&gt; f &amp; g &lt;/e&gt;",
        "h",
        "&lt;![CDATA[&lt;i&gt;]]&gt;",
    ]:
        assert piece in page
    for piece in ["&amp;j;", "&lt;k/&gt;", "&lt;?l m?&gt;", "&lt;/a&gt;", '!DOCTYPE a "a.dtd"']:
        assert piece in page


@pytest.mark.parametrize("text", ["x" * 4096, "x\n" * 2048])
def test_xml_that_is_too_long_ends_every_element_that_it_begins_and_no_other(text):
    page = drawn(looked_at(f"<r>{f'<b>{text}</b>' * 100}</r>".encode(), "text/xml"))
    assert "There is more than is drawn here" in page
    for tag in ("details", "div", "p"):
        assert len(re.findall(f"<{tag}[ >]", page)) == page.count(f"</{tag}>")


def test_xml_is_read_in_the_charset_of_its_content_type():
    sent = '<?xml version="1.0" encoding="utf-8"?><a>é</a>'.encode("latin-1")
    assert looked_at(sent, "text/xml; charset=iso-8859-1").data.rows[1].text == "é"
    assert looked_at(sent, "text/xml").view == "text"


# Parts


def test_each_part_has_its_name_its_headers_and_the_view_that_suits_it():
    sent = (
        b'--B\r\nContent-Disposition: form-data; name="a"\r\nContent-Type: application/json\r\n\r\n[1]\r\n'
        b'--B\r\nContent-Disposition: form-data; name="b"; filename="\xe2\x80\xaegnp.exe"\r\n\r\n' + png() + b"\r\n"
        b"--B\r\nContent-Type: multipart/mixed; boundary=C\r\n\r\n--C\r\n\r\nx\r\n--C--\r\n"
        b"--B\r\n\r\n\r\n--B--\r\n"
    )
    body = looked_at(sent, "multipart/form-data; boundary=B")
    found = [(part.name, part.shown.view, part.size, part.whole) for part in body.data.parts]
    assert found == [
        ("a", "json", 3, True),
        ("b", "image", len(png()), True),
        (None, "text", 15, True),
        (None, "", 0, True),
    ]
    page = drawn(body)
    assert '<img src="/image?part=1"' in page
    assert "\u202e" not in page


def test_parts_that_break_off_are_shown_as_far_as_they_go():
    body = looked_at(PARTS[:-8], "multipart/form-data; boundary=B")
    assert [(part.name, part.whole) for part in body.data.parts] == [("a", False)]
    assert "missing" in drawn(body)
