"""What is made of a request to be looked at: its body in every view, its tokens, texts, and a comparison of two."""

import base64
import gzip
import json
import re
import zlib
from html.parser import HTMLParser
from urllib.parse import unquote, unquote_to_bytes
from xml.etree import ElementTree
from xml.parsers import expat

from shown_pages import drawn, png

from fuzz.bytes_of import Bytes
from fuzz.target import target
from gatebook.filter import parse
from gatebook.viewer.shown import body as bodies
from gatebook.viewer.shown import (
    charset,
    coding,
    difference,
    form,
    hexdump,
    image,
    json_tree,
    jwt,
    multipart,
    plain,
    text,
    xml,
)
from gatebook.viewer.shown.limits import Limits

_JSON = [
    b'{"a":',
    b"[",
    b"]",
    b"}",
    b",",
    b"null",
    b"true",
    b"-0",
    b"1e5",
    b'"\\ud83d\\ude00"',
    b'"a":1,"a":2',
    b"{}",
    b"\x1e",
]
_XML = [
    b"<a>",
    b"</a>",
    b"<b c='d'/>",
    b"<!--",
    b"-->",
    b"<![CDATA[",
    b"]]>",
    b"<?x y?>",
    b"&lt;",
    b"&#1;",
    b"&x;",
    b"xmlns:",
]
_XML += [
    b"<!DOCTYPE a [",
    b'<!ENTITY x "y">',
    b'<?xml version="1.0" encoding="utf-16"?>',
    b'SYSTEM "file:///etc/passwd"',
]
_PARTS = [
    b"--b",
    b"--b--",
    b"\r\n\r\n",
    b'Content-Disposition: form-data; name="x"',
    b'; filename="y"',
    b"Content-Type: ",
]
_TYPES = [
    "", "application/json", "text/html", "application/xml", "image/svg+xml", "image/png", "application/x-ndjson",
    "application/x-www-form-urlencoded", "multipart/form-data; boundary=b", "text/plain; charset=utf-16",
    "text/plain; charset=cp1252", "application/json-seq", "text/plain;charset=shift_jis",
]  # fmt: skip
_VIEWS = [None, "json", "xml", "form", "multipart", "image", "text", "hex", "x"]
_GZIP = gzip.compress(b"hello " * 20, mtime=0)

# What the pages have of elements and attributes. Whatever else turns up came from somebody.
_ELEMENTS = {
    "div", "p", "nav", "a", "span", "button", "pre", "details", "summary", "small", "table", "thead", "tbody", "tr",
    "th", "td", "h4", "b", "figure", "figcaption", "img",
}  # fmt: skip
_ATTRIBUTES = {
    "class", "href", "title", "aria-label", "aria-current", "download", "tabindex", "role", "open", "scope", "src",
    "alt", "width", "height", "loading", "decoding", "data-copy-from",
}  # fmt: skip
_OWN_ADDRESS = re.compile(r"(?:/it\?[a-z0-9=&]*|/_/\?filter=[\w%.*+~-]*|/raw|/image[?a-z0-9=&]*|/it\?)")


class _Page(HTMLParser):
    """Holds a fragment to what the templates write themselves."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.text: list[str] = []
        self._open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in _ELEMENTS, tag
        for name, value in attrs:
            assert name in _ATTRIBUTES, (tag, name)
            assert name not in ("href", "src", "data-copy-from") or _OWN_ADDRESS.fullmatch(value or ""), value
        if tag != "img":
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open and self._open.pop() == tag, tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")

    handle_decl = handle_pi = unknown_decl = handle_comment

    @classmethod
    def read(cls, html: str) -> str:
        """The text in it."""
        page = cls()
        page.feed(html)
        page.close()
        assert not page._open, page._open
        shown = "".join(page.text)
        assert not re.search("[\0-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", shown)
        return shown


@target(
    "body",
    [*_JSON, *_XML, *_PARTS, _GZIP, png()],
    [
        b"\x00\x01\x00\x00\x00" + b'{"a": [1, "<script>"]}',
        b"\x01\x00\x00\x00\x00" + _GZIP,
        b"\x00\x05\x00\x00\x00" + png(),
        b"\x00\x08\x00\x00\x00" + b'--b\r\nContent-Disposition: form-data; name="<b>"\r\n\r\n{"x":1}\r\n--b--\r\n',
    ],
)
def body(data: bytes) -> None:
    """Something is drawn of anything, nothing of it becomes markup, and it is bounded."""
    given = Bytes(data)
    options, type, view = given.byte(), given.choice(_TYPES), given.choice(_VIEWS)
    at, more = given.number(256) * 37, given.several(lambda: [given.choice(["Content-Type", "X"]), given.wire(60)], 1)
    content = given.rest()
    headers = [*more, ["Content-Type", type]]
    if options & 1:
        headers.append(["Content-Encoding", ["gzip", "deflate, gzip", "gzip, gzip, gzip", "br"][options >> 6]])
    found = bodies.shown(
        headers, content, len(content) + 5, bool(options & 2), view, at, bool(options & 4), not options & 8
    )
    assert found.kept and (found.size == 0 or found.view in found.views)
    assert found.decoded or found.size == len(content)
    html = drawn(found)
    _Page.read(html)
    assert len(html) < 3_000_000


@target(
    "json", _JSON, [b'{"a": [1, -0, 1e5, null, {"b": "c"}], "a": 2}', b'[[[]],{},"\\u0000"]', b'{"a.b": {"": "x y"}}']
)
def json_body(data: bytes) -> None:
    """What is drawn is what was sent: each number, key and order; what JSON is, Python's reader says."""
    sent = data.decode("utf-8", "surrogateescape")
    try:
        expected = _loaded(sent)
        is_json = True
    except (ValueError, RecursionError):
        is_json = False
    try:
        tree = json_tree.tree(sent, Limits(), terms=True)
    except json_tree.NotJson:
        assert not is_json
        tree = None
    else:
        assert is_json
        if tree.complete and not any(row.more or row.key_more or row.kind == "deep" for row in tree.rows):
            assert _loaded(_written(tree.rows)) == expected
        for row in tree.rows:
            if row.term:
                found = parse(row.term)
                assert found.field == "json" and _at(expected, found.key) in (row.text, None)  # type: ignore[union-attr]
    try:
        json_tree.tree(sent, Limits(), cut=True, lines=bool(len(data) & 1))
    except json_tree.NotJson:
        assert tree is None


def _loaded(sent: str) -> object:
    def refuse(word: str) -> None:
        raise ValueError(word)

    return json.loads(sent, object_pairs_hook=_Pairs, parse_int=_Number, parse_float=_Number, parse_constant=refuse)


class _Pairs(list[tuple[str, object]]):
    """An object with its keys as they came."""


class _Number(str):
    """As it was written."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Number) and str(self) == str(other)

    __hash__ = str.__hash__


def _written(rows: list[json_tree.Row]) -> str:
    pieces: list[str] = []
    for row in rows:
        if row.kind == "end":
            pieces.append(row.text)
            continue
        if pieces and pieces[-1] not in ("{", "["):
            pieces.append(",")
        if row.key is not None:
            pieces.append(json.dumps(row.key) + ":")
        pieces.append(
            {"object": "{", "array": "["}.get(row.kind) or (json.dumps(row.text) if row.kind == "string" else row.text)
        )
        if pieces[-1] in ("{", "[") and row.key is not None:
            pieces[-2:] = [pieces[-2] + pieces[-1][:0], pieces[-1]]
    return "".join(pieces)


def _at(value: object, keys: tuple[str, ...]) -> str | None:
    """What a filter finds there: of several of one name the last; None for a number, which it finds otherwise."""
    for key in keys:
        if isinstance(value, _Pairs):
            value = dict(value)[key]
        else:
            assert isinstance(value, list)
            value = value[int(key)]
    if isinstance(value, _Number):
        return None
    return {True: "true", False: "false"}.get(value, value) if isinstance(value, bool) else value  # type: ignore[return-value]


@target(
    "xml",
    _XML,
    [
        b"<a b='c'>x<b/>y</a>",
        b'<?xml version="1.0"?><!DOCTYPE a><a>&x;</a>',
        b'<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>',
    ],
)
def xml_body(data: bytes) -> None:
    """Its text is the one that another reader finds; a document that declares an entity is none."""
    try:
        document = xml.document(data, Limits())
    except xml.NotXml:
        document = None
    try:
        xml.document(data, Limits(), cut=True)
    except xml.NotXml:
        assert document is None
    if document is None or not document.complete:
        return
    opened = 0
    for row in document.rows:
        opened += (row.kind == "open") - (row.kind == "end")
        assert opened >= 0
    assert opened == 0
    assert not _declares_entities(data)
    if b"<!DOCTYPE" in data or any(row.more for row in document.rows):
        return
    try:
        expected = "".join(ElementTree.fromstring(data).itertext())
    except ElementTree.ParseError:
        assert b":" in data, "the other reader minds namespaces, and nothing else"
        return
    found = "".join(row.text for row in document.rows if row.kind in ("element", "text", "cdata"))
    assert re.sub("[ \t\r\n]", "", found) == re.sub("[ \t\r\n]", "", expected)


def _declares_entities(data: bytes) -> bool:
    found: list[object] = []
    parser = expat.ParserCreate()
    parser.EntityDeclHandler = lambda *declared: found.append(declared)
    parser.Parse(data, True)
    return bool(found)


@target("form", [b"=", b"&", b"+", b"%20", b"%", b"%zz"], [b"a=b&c=%20+d&e&=f&a=", b'x={"a":1}'])
def form_body(data: bytes) -> None:
    """Names and values are those that another reader finds, in their order."""
    found = form.form(data, Limits(), "iso-8859-1")
    expected = [piece.partition(b"=") for piece in data.split(b"&")]
    assert found.complete == (len(found.fields) == len(expected))
    for field, (name, has, value) in zip(found.fields, expected, strict=False):
        if field.more == 0:
            assert field.name == unquote_to_bytes(name.replace(b"+", b" ")).decode("latin-1")
            assert field.value == (unquote(value.decode("latin-1").replace("+", " "), "latin-1") if has else None)


@target("multipart", _PARTS, [b'\x02\x03abc\x05x"y\\z\x04\x00\r\n-', b"\x01\x00\x00"])
def multipart_body(data: bytes) -> None:
    """Parts come out as they went in; of anything else the pieces lie within the body, one behind the other."""
    given = Bytes(data)
    sent = given.several(lambda: (_quotable(given), given.some(60)), 4)
    content = b"".join(
        b'--b-B\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % (name.encode("latin-1"), part)
        for name, part in sent
    )
    content += b"--b-B--\r\n"
    if sent and not any(b"\r\n--b-B" in part or part.startswith(b"--b-B") for _, part in sent):
        found = multipart.parts(content, "multipart/form-data; boundary=b-B")
        assert not found.wrong and not found.more
        assert [(part.name, content[part.first : part.end]) for part in found.parts] == sent
    _lie_within(data, "multipart/form-data; boundary=b")
    _lie_within(data, given.wire(100))


def _quotable(given: Bytes) -> str:
    """What browsers leave in quotes as it is."""
    return re.sub(r'[\0-\x1f"\\;\x7f]', "", given.wire(20))


def _lie_within(data: bytes, type: str) -> None:
    try:
        found = multipart.parts(data, type)
    except multipart.NotMultipart:
        return
    end = 0
    assert 0 < len(found.parts) <= multipart.MOST_PARTS
    for part in found.parts:
        assert part.first == part.end == 0 or end <= part.first <= part.end <= len(data)
        end = max(end, part.end)


@target(
    "jwt",
    [b"eyJhbGciOiJIUzI1NiJ9", b".", b'{"exp":', b"1e999", b"-", b"_"],
    [b"\x05/?t=x" + b'{"sub":"1","exp":1.5}', b"\x00[1]"],
)
def tokens(data: bytes) -> None:
    """A token is found and shown as it was sent; whatever else is there raises nothing."""
    given = Bytes(data)
    before, claims = given.wire(20), given.rest()
    header = base64.urlsafe_b64encode(b'{"alg":"none"}').rstrip(b"=").decode()
    token = f"{header}.{base64.urlsafe_b64encode(claims).rstrip(b'=').decode()}."
    request = {"headers": [["A", before], ["B", f"Bearer {token}"]], "target": f"/?{before}"}
    found = jwt.tokens(request, data)
    assert len(found) <= 16
    try:
        value = json.loads(claims.decode(), parse_constant=_no_constant, parse_int=float)
    except (ValueError, RecursionError):
        value = None
    mine = [one for one in found if one.where == "header B"]
    assert len(mine) == (isinstance(value, dict) and len(claims) <= 12_000)
    for one in mine:
        assert json.loads(one.claims, parse_int=float) == value or "NaN" in one.claims or value != value
        assert one.expires_ms is None or 0 <= one.expires_ms < 2**53


def _no_constant(word: str) -> None:
    raise ValueError(word)


@target(
    "coding",
    [_GZIP, zlib.compress(b"x"), b"\x1f\x8b", b"\x78\x9c", bytes(20)],
    [b"\x01abc", b"\x02" + bytes(200), _GZIP],
)
def content_coding(data: bytes) -> None:
    """What was packed comes out, at most MOST_BYTES of it; of what was not, bytes or one kind of error."""
    given = Bytes(data)
    names = given.several(lambda: given.choice(["gzip", "deflate", "x-gzip"]), coding.MOST_CODINGS)
    times, sent = given.choice([1, 1, 1, 1000]), given.rest()
    packed = sent = sent * times
    for name in names:
        packed = zlib.compress(packed) if name == "deflate" else gzip.compress(packed, 1, mtime=0)
    if names:
        out, cut = coding.decoded(packed, names)
        assert (out, cut) == (sent[: coding.MOST_BYTES], len(sent) > coding.MOST_BYTES)
        half, was_cut = coding.decoded(packed[: len(packed) // 2], names, cut=True)
        assert was_cut and sent.startswith(half)
    for hostile in (["gzip"], ["deflate"], ["gzip", "deflate"]):
        for cut in (False, True):
            try:
                out, _ = coding.decoded(data, hostile, cut)
            except coding.NotDecodable as error:
                assert str(error)
            else:
                assert len(out) <= coding.MOST_BYTES


_EXACT = ("utf-8", "ascii", "latin-1", "iso8859", "utf-16", "koi8", "mac-roman", "cp125")


@target(
    "charset",
    [b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf", b"\xd8\x00", b"utf-16"],
    [b"\x05utf-8h\xff\xc3\xa9", b"\x00\xff\xfea\0\0\xd8", b"\x04cp37abc"],
)
def text_charset(data: bytes) -> None:
    """No byte is lost or replaced: from the characters come the bytes again."""
    given = Bytes(data)
    said, content = given.wire(12), given.rest()
    for name in (said, "", "utf-16le", "big5", "iso-8859-7"):
        found = charset.decoded(content, name)
        charset.is_text(found)
        if not found.charset.startswith(_EXACT):
            continue
        if found.charset.startswith("utf-16"):
            even = found.text[: len(found.text) - found.undecoded]
            again = even.encode(found.charset, "surrogatepass") + bytes(
                ord(one) - 0xDC00 for one in found.text[len(even) :]
            )
        else:
            again = found.text.encode(found.charset, "surrogateescape")
        assert again == content


@target(
    "image",
    [
        png(),
        b"GIF89a",
        b"\xff\xd8\xff\xe1",
        b"RIFF",
        b"WEBPVP8X",
        b"BM",
        b"\0\0\0\x20ftypavif",
        b"\0\0\1\0",
        b"Exif\0\0MM",
    ],
    [
        png(),
        b"GIF89a\1\0\1\0",
        b"\xff\xd8\xff\xc0\x00\x11\x08\x00\x10\x00\x10",
        b"\x00\x00\x01\x00\x01\x00\x10\x10\x00\x00",
    ],
)
def picture(data: bytes) -> None:
    """Of anything there is a size or none; what has none, or a huge one, is not drawn."""
    found = image.image(data)
    assert (found is None) == (image.kind(data) is None)
    if found:
        assert found.width >= 0 and found.height >= 0
        assert not found.drawn or 0 < found.width * found.height <= image.MOST_PIXELS


@target(
    "text",
    [b"\xe2\x80\xae", b"\xcc\x81" * 6, b"\xef\xb8\x8f", b"\xf3\xa0\x84\x80", b"<", b"&amp;"],
    [b"a<b>&\xe2\x80\xaec", "e\u0301\u0302\u0303\u0304\u0305".encode()],
)
def marked(data: bytes) -> None:
    """Nothing that was sent becomes markup, hides or reorders; and what is plainly seen stays as it is."""
    sent = data.decode("utf-8", "surrogateescape")
    html = text.marked(sent, undecoded=True)
    shown = _Page.read(html)
    assert not re.search("[\n\t]", shown)
    if re.fullmatch("[ -~]*", sent):
        assert shown == sent
    assert len(text.plain(sent)) == len(sent)
    assert set(re.findall("<[^>]*", html)) <= {"</span"} | {
        one for one in re.findall('<span class="odd" title="[^"<>]*"', html)
    }
    outside = re.sub('<span class="odd".*?</span>', "", html)
    kept = [one for one in _Page.read(outside)]
    rest = iter(sent)
    assert all(one in rest for one in kept), "the order of what is seen is that of what was sent"
    whole = hexdump.hexdump(data, len(data) // 2, 256)
    assert bytes.fromhex("".join(row.bytes for row in whole.rows)) == data[whole.first : whole.end]
    at, pages = 0, ""
    while True:
        page = plain.plain(charset.decoded(data), True, at, 100)
        pages += page.text
        if page.after is None:
            break
        assert page.after > at
        at = page.after
    assert pages == charset.decoded(data).text


@target("compare", [*_JSON, b"\n", b"a\n" * 20], [b"\x03abc\x03abd{}", b"\x05a\nb\nc\x07a\nx\nb\nc[1]"])
def comparison(data: bytes) -> None:
    """Two requests are told to be alike when they are, and only then."""
    given = Bytes(data)
    a, b = _request(given), _request(given)
    one, other = given.some(200), given.rest()
    if given.left == 0 and len(data) % 3 == 0:
        b, other = a, one
    found = difference.compare(difference.Sent(a, one), difference.Sent(b, other))
    same = (a["method"], a["target"], a["http_version"]) == (b["method"], b["target"], b["http_version"])
    assert ("request line" in found.differing) == (not same)
    assert ("headers" in found.differing) == (a["headers"] != b["headers"])
    assert ("body" in found.differing) == (one != other)


def _request(given: Bytes) -> dict[str, object]:
    headers = given.several(lambda: [given.choice(["A", "a", "B", given.wire(6)]), given.wire(6)], 4)
    fixed = dict.fromkeys(("client", "peer", "scheme", "replica", "status"), "x")
    return {
        "method": "GET",
        "target": "/" + given.wire(20),
        "http_version": "1.1",
        "headers": headers,
        "body_size": 1,
        **fixed,
    }
