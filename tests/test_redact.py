"""What is hidden of a request: whatever was sent, a value with a secret name is not seen, and nothing else changes."""

import json
import os
import time
import tracemalloc
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gatebook.redact import MASK, NOTHING, Redaction
from gatebook.settings import read

REDACTION = Redaction(read({}).redact)
SECRET = "hÜnt3r-Zw€i"
MIB = 1024 * 1024

# Names that are not meant, whatever they are put together with.
plain_names = st.text(st.characters(codec="utf-8", exclude_characters="[].")).map(lambda name: f"a{name}z")
secret_names = st.sampled_from(
    ["password", "Password2", "client_secret", "access_token", "API_KEY", "x-csrf-token", "pwd", "Authorization"]
)
scalars = st.none() | st.booleans() | st.integers() | st.text()


def documents(within: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    names = plain_names | secret_names
    return st.lists(within, max_size=3) | st.dictionaries(names, within, max_size=3)


json_values = st.recursive(scalars, documents, max_leaves=12)


def masked(value: Any) -> Any:
    """What a reader of JSON should find."""
    if isinstance(value, list):
        return [masked(one) for one in value]
    if isinstance(value, dict):
        return {name: MASK if REDACTION.headers([[name, ""]])[1] else masked(one) for name, one in value.items()}
    return value


@given(json_values, st.sampled_from([None, 1]), st.booleans())
def test_the_values_of_secret_keys_in_json_are_masked_and_it_is_json_still(
    value: Any, indent: int | None, ascii: bool
) -> None:
    body = json.dumps(value, indent=indent, ensure_ascii=ascii).encode("utf-8", "surrogatepass")
    found, changed = REDACTION.body(body)
    assert json.loads(found.decode("utf-8", "surrogatepass")) == masked(value)
    assert changed == (found != body)


@given(json_values, st.integers(1, 3))
def test_json_within_strings_of_json_is_looked_into(value: Any, levels: int) -> None:
    def nested(value: Any) -> Any:
        for _ in range(levels):
            value = {"within": json.dumps(value)}
        return value

    found, _ = REDACTION.body(json.dumps(nested(value)).encode())
    inner = json.loads(found)
    for _ in range(levels):
        inner = json.loads(inner["within"])
    assert inner == masked(value)


PLACES: dict[str, Callable[[str, str], bytes]] = {
    "json": lambda name, value: json.dumps({"a": [1, {name: value}], "b": 2}).encode(),
    "json, utf-8": lambda name, value: json.dumps({name: value, "b": 2}, ensure_ascii=False).encode(),
    "json in json": lambda name, value: json.dumps({"a": json.dumps({name: value})}, indent=2).encode(),
    "json in a form": lambda name, value: b"x=1&payload=" + quote_plus(json.dumps({name: value})).encode() + b"&y=2",
    "json object": lambda name, value: json.dumps({name: {"a": [value], "}": value}, "b": 2}).encode(),
    "json behind something": lambda name, value: b'5" long: "' + json.dumps({name: value}).encode(),
    "key with escapes": lambda name, value: (
        b'{"' + "".join(f"\\u{ord(one):04x}" for one in name).encode() + b'": ' + json.dumps(value).encode() + b"}"
    ),
    "json in json as .net writes it": lambda name, value: (
        json.dumps({"a": json.dumps({"n": 1, name: value})}).replace('\\"', "\\u0022").encode()
    ),
    "json in json in json as .net writes it": lambda name, value: json.dumps(
        {"a": json.dumps({"b": json.dumps({name: value}).replace('"', "\\u0022")})}
    ).encode(),
    "json in xml": lambda name, value: (
        f"<a b='1'>{{&quot;{name}&quot;:&quot;{value}&quot;, &#34;b&#34;: 2}}</a>".encode()
    ),
    "json that says the name": lambda name, value: json.dumps([{"name": name, "a": "}", "value": value}, 1]).encode(),
    "json that says the name behind": lambda name, value: json.dumps({"Value": value, "key": name}, indent=1).encode(),
    "json in json that says the name": lambda name, value: json.dumps(
        {"a": json.dumps({"key": name, "values": [value, {"b": value}]})}
    ).encode(),
    "form": lambda name, value: f"x=1&{name}={quote(value)}&y=2".encode(),
    "form, raw": lambda name, value: f"x=1&{name}={value}&y=2".encode(),
    "form with a path": lambda name, value: f"user[{name}]={quote(value)}&y=2".encode(),
    "form with an escaped name": lambda name, value: (
        "x=1&" + "".join(f"%{byte:02X}" for byte in name.encode()) + f"={quote(value)}"
    ).encode(),
    "url in json": lambda name, value: json.dumps({"url": f"https://h/?a=1&{name}={quote(value)}"}).encode(),
    "url in json as go writes it": lambda name, value: (
        f'{{"url":"https://h/?a=1\\u0026{name}={quote(value)}\\u0026b=2"}}'.encode()
    ),
    "url in a form": lambda name, value: f"next={quote(f'https://h/?{name}={quote(value)}&b=1', safe='')}&y=2".encode(),
    "attribute": lambda name, value: f'<user {name}="{value}" at="home"/>'.encode(),
    "element": lambda name, value: f'<a><{name} Type="text">{value}</{name}><b>2</b></a>'.encode(),
    "attribute with blanks": lambda name, value: f'<user at="home" {name} = "{value}" />'.encode(),
    "element as go writes it": lambda name, value: (
        json.dumps({"x": f"<{name}>{value}</{name}>"}).replace("<", "\\u003c").replace(">", "\\u003e").encode()
    ),
    "element in an element": lambda name, value: f"<a>&lt;{name}&gt;{value}&lt;/{name}&gt;</a>".encode(),
    "element in utf-16": lambda name, value: f"<{name}>{value}</{name}>".encode("utf-16"),
    "url in json as gson writes it": lambda name, value: f'{{"url":"/?{name}\\u003d{value}\\u0026b\\u003d2"}}'.encode(),
    "yaml": lambda name, value: f"a:\n  - {name}: {value}\n    b: 2\n".encode(),
    "message in a body": lambda name, value: f"--B\r\nA: b\r\n\r\nGET / HTTP/1.1\r\n{name}: {value}\r\n--B--".encode(),
    "setting": lambda name, value: f"[a]\nb = 1\n{name} = {value}\nc = 2\n".encode(),
    "element with a prefix": lambda name, value: f"<s:a><s:{name}><![CDATA[{value}]]></s:{name}\n></s:a>".encode(),
    "element in json": lambda name, value: json.dumps({"x": f"<{name}>{value}</{name}>"}).replace("/", "\\/").encode(),
    "form that begins late": lambda name, value: f" &{name}={value} {value}&y=2".encode(),
    "form with a blank in its name": lambda name, value: f"x=1&{name}+={value}&y=2".encode(),
    "multipart": lambda name, value: (
        f'--X\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n{value}\r\n--X--\r\n'.encode()
    ),
    "multipart, unquoted": lambda name, value: (
        f"--X\nContent-Disposition: form-data;\n filename=x; name={name}\n\n{value}\n--X--\n".encode()
    ),
    "utf-16": lambda name, value: json.dumps({name: value, "b": 2}, ensure_ascii=False).encode("utf-16"),
    "utf-16, big": lambda name, value: f"a=😀&{name}={value}&b=2".encode("utf-16-be"),
    "utf-32": lambda name, value: json.dumps({name: value}, ensure_ascii=False).encode("utf-32"),
    "utf-32, big": lambda name, value: f"a=1&{name}={value}".encode("utf-32-be"),
}
WRITINGS = (
    lambda part: part,
    quote,
    quote_plus,
    lambda part: json.dumps(part)[1:-1],
    lambda part: json.dumps(part)[1:-1].replace("\\", "\\\\"),
)
CODINGS = ("utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")


def seen(found: bytes, secret: str) -> list[str]:
    """Parts of three characters of the secret that can be read in there, however they are written."""
    parts = [secret[at : at + 3] for at in range(len(secret) - 2)]
    return [part for part in parts for write in WRITINGS for coding in CODINGS if write(part).encode(coding) in found]


@pytest.mark.parametrize("place", PLACES)
@given(secret_names)
def test_a_secret_is_not_seen_wherever_it_is_sent(place: str, name: str) -> None:
    body = PLACES[place](name, SECRET)
    assert seen(body, SECRET), "or nothing is tested"
    found, changed = REDACTION.body(body)
    assert changed and not seen(found, SECRET), found


@pytest.mark.parametrize("place", [place for place in PLACES if place != "json that says the name behind"])
def test_a_secret_is_not_seen_in_a_body_that_is_cut_off_anywhere(place: str) -> None:
    body = PLACES[place]("access_token", SECRET)
    for end in range(len(body)):
        assert not seen(REDACTION.body(body[:end])[0], SECRET), body[:end]


@pytest.mark.parametrize("place", PLACES)
def test_what_has_no_secret_name_stays_as_it_is(place: str) -> None:
    body = PLACES[place]("pass_word", SECRET)
    assert REDACTION.body(body) == (body, False)


tokens = st.sampled_from(
    [
        *[
            b'"token"',
            b"token",
            b"=",
            b"&",
            b'"',
            b"\\",
            b":",
            b"{",
            b"}",
            b"[",
            b"]",
            b"\r\n",
            b"--X",
            b"%22",
            b"%3D",
            b"<token>",
            b"</token>",
        ],
        *[
            b" ",
            b'name="token"',
            b"\\u0026",
            b"\\u0022",
            b"\\\\u0022",
            b"&quot;",
            b"&lt;",
            b'"name":',
            b'"value":',
            b"\0",
            b";",
            b",",
            b"%25",
            b"\xe2\x82\xac",
            b"'",
            b"Content-Disposition: f",
        ],
    ]
)
soup = st.lists(tokens | st.binary(max_size=3), max_size=40).map(b"".join)


@settings(max_examples=500)
@given(soup)
@example(b"token=&token=")
def test_only_values_are_replaced(body: bytes) -> None:
    """Put back in the place of their masks, they make what was sent; but for the quotes around a mask of our own."""
    values: list[str] = []

    def mask(value: str) -> str:
        values.append(value)
        return f"⟦{len(values) - 1}⟧".encode().decode("latin-1")

    found, changed = Redaction(["token"], mask).body(body)
    assert changed == (found != body) == bool(values)
    if b"\0" in body:
        return  # it may have been read as UTF-16, where the masks are written so
    at = 0
    for number, value in enumerate(values):
        before, marked, found = found.partition(f"⟦{number}⟧".encode())
        assert marked
        raw, start = value.encode("latin-1"), body.find(value.encode("latin-1"), at + max(0, len(before) - 20))
        assert raw or start >= 0
        start = body.index(raw, at + len(before.rstrip(b'"\\')) if raw else at + len(before))
        kept = body[at:start]
        assert before.startswith(kept) and not before[len(kept) :].strip(b'\\"'), (before, kept)
        quote = before[len(kept) :]
        assert found.startswith(quote)
        found, at = found[len(quote) :], start + len(raw)
    assert found == body[at:]


@given(soup)
def test_without_patterns_nothing_is_masked(body: bytes) -> None:
    assert NOTHING.body(body) == (body, False)
    assert not NOTHING
    assert NOTHING.headers([["Authorization", "x"]]) == ([["Authorization", "x"]], False)
    assert NOTHING.target("/?token=x") == ("/?token=x", False)


@given(soup)
def test_masking_twice_masks_no_more(body: bytes) -> None:
    once, _ = REDACTION.body(body)
    assert REDACTION.body(once)[0] == once


def test_headers_are_masked_by_their_names_and_urls_in_the_others() -> None:
    sent = [
        ["authorization", "Bearer abc"],
        ["Cookie", "a=b"],
        ["X-Auth-Token", "abc"],
        ["Referer", "https://h/?token=abc&b=2#access_token=abc"],
        ["X-Payload", '{"password": "abc", "n": 1}'],
        ["Link", '<https://h/?page=2&api_key=abc>; rel="next"'],
        ["Host", "h"],
    ]
    found, changed = REDACTION.headers(sent)
    assert changed
    assert found == [
        ["authorization", MASK],
        ["Cookie", MASK],
        ["X-Auth-Token", MASK],
        ["Referer", f"https://h/?token={MASK}&b=2#access_token={MASK}"],
        ["X-Payload", f'{{"password": "{MASK}", "n": 1}}'],
        ["Link", f'<https://h/?page=2&api_key={MASK}>; rel="next"'],
        ["Host", "h"],
    ]
    assert REDACTION.headers(sent[-1:]) == (sent[-1:], False)


@pytest.mark.parametrize(
    "sent, found",
    [
        ("/hook?a=1&token=abc&b=2", f"/hook?a=1&token={MASK}&b=2"),
        ("/hook?pass%77ord=a;b#c", f"/hook?pass%77ord={MASK}"),
        ("/hook;token=abc?x=1", f"/hook;token={MASK}"),
        (
            "/hook?to=https%3A%2F%2Fh%2F%3Ftoken%3Dabc%26b%3D1&c=1",
            f"/hook?to=https%3A%2F%2Fh%2F%3Ftoken%3D{MASK}%26b%3D1&c=1",
        ),
        ("/hook?to=%253Ftoken%253Dabc&c=1", f"/hook?to=%253Ftoken%253D{MASK}&c=1"),
        ("/hook?q=%7B%22token%22%3A%22abc%22%7D", f"/hook?q=%7B%22token%22%3A%22{MASK}%22%7D"),
        ("/hook?tokens=3&a=%", "/hook?tokens=3&a=%"),
        ("/token", "/token"),
    ],
)
def test_targets_are_masked_by_the_names_of_their_parameters(sent: str, found: str) -> None:
    assert REDACTION.target(sent) == (found, found != sent)
    assert REDACTION.line(f"GET {sent} HTTP/1.1") == f"GET {found} HTTP/1.1"
    assert REDACTION.line(f"GET {sent}") == f"GET {found}"


@pytest.mark.parametrize(
    "pattern, name, meant",
    [
        ("token", "token", True),
        ("token", "TOKEN", True),
        ("token", "tokens", False),
        ("*token", "x-token", True),
        ("*token", "token-x", False),
        ("x*y*z", "x1y2z", True),
        ("x*y*z", "xz", False),
        ("a*a", "a", False),
        ("*", "anything", True),
        ("*api_key", "X-API-Key", True),
        ("api_key", "apiKey", True),
        ("api_key", "api.key", False),
        ("pwd", "user[pwd][0]", True),
        ("pwd", "user.pwd", True),
        ("schlüssel", "Schlüssel".encode().decode("latin-1"), True),
    ],
)
def test_a_star_stands_for_anything_and_case_does_not_count(pattern: str, name: str, meant: bool) -> None:
    assert Redaction([pattern]).headers([[name, "x"]])[1] is meant


def test_numbered_masks_tell_whether_two_values_differ() -> None:
    numbered = REDACTION.numbered()
    assert numbered.target("/?token=a&pwd=b")[0] == "/?token=[redacted 1]&pwd=[redacted 2]"
    assert numbered.body(b'{"token": "a", "secret": 5}')[0] == b'{"token": "[redacted 1]", "secret": "[redacted 3]"}'


def _repeated(unit: bytes, length: int) -> bytes:
    return (unit * (length // len(unit) + 1))[:length]


@pytest.mark.parametrize(
    "unit",
    [
        *[
            b'"',
            b"\\",
            b'\\"',
            b'\\":',
            b'":',
            b'"token":',
            b'"token":{',
            b'"token":["',
            b'\\"token\\":{',
            b"token=",
            b"%25",
            b"&lt;",
            b"\\u0022",
            b"token: ",
            b"token: a\n",
            b'"name":"token",',
            b'"value":{',
            b'"value":1,',
            b'{"value":[],"name":"token",',
            b'{"name":"token","value":',
            b'\\"name\\":\\"token\\",\\"value\\":[',
        ],
        *[
            b"&token=a",
            b"%2525token%3D",
            b'{"token":"abc"},',
            b"--a\r\nx:y\r\n",
            b"<token>",
            b'"<token>"',
            b"</tokenx",
            b"<![CDATA[]]>",
            b"--token\n",
            b'--a\n;name="token"\n\n',
        ],
        *[b"\ntoken", b'"t\0', b"\0=", b'" ', b"token='", b"\\u0", b'="', b"token=\\", b"\\" * 1000 + b'"token":'],
    ],
)
def test_the_time_grows_with_the_body_and_nothing_else(unit: bytes) -> None:
    """A body of 2 MiB of whatever; what grows with the square of it would take minutes."""
    began = time.monotonic()
    REDACTION.body(b"token" + _repeated(unit, 2 * MIB))
    REDACTION.body(_repeated(unit, 2 * MIB))
    assert time.monotonic() - began < 20


@pytest.mark.parametrize(
    "body",
    [
        b'/q?x=<password>ab"SECRET and its end is cut off',
        b'{"a":"<password>ab\\"SECRET',
        b"--" + b"x" * 500 + b'\r\nA: b\rc\r\nContent-Disposition: form-data; name="token"\r\n\r\nSECRET',
    ],
)
def test_a_value_ends_where_it_ends(body: bytes) -> None:
    assert b"SECRET" not in REDACTION.body(body)[0]


@pytest.mark.parametrize("opening", [b'x<token>"', b'x<a%d:token>"'])
@pytest.mark.parametrize("behind", [b"/token", b"</tokenx", b"</a1:tokenx", b"<"])
def test_what_is_not_closed_is_not_sought_again_and_again(opening: bytes, behind: bytes) -> None:
    openings = b"".join(opening.replace(b"%d", b"%d" % number) for number in range(300))
    began = time.monotonic()
    found, _ = REDACTION.body(openings + _repeated(behind, 4 * MIB))
    assert time.monotonic() - began < 10
    assert found.startswith(b"x<")


def test_the_memory_grows_little_faster_than_the_body() -> None:
    body = b"%41" * 300_000
    tracemalloc.start()
    REDACTION.body(body)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 15 * len(body)


def test_the_names_of_hostile_keys_are_looked_at_in_linear_time() -> None:
    began = time.monotonic()
    Redaction(["*a*a*a*a*a*b"]).body(b'{"' + b"a" * MIB + b'": 1}')
    assert time.monotonic() - began < 10


def test_a_name_of_very_many_steps_is_known_by_its_ends() -> None:
    long = ".".join(map(str, range(100_000)))
    for name, is_masked in ((f"{long}.token", True), (f"token.{long}", True), (long, False)):
        assert REDACTION.target(f"/?{name}=x")[1] == is_masked


def test_bytes_that_are_no_text_stay_as_they_are() -> None:
    body = os.urandom(MIB)
    assert REDACTION.body(body) == (body, False)


@pytest.mark.parametrize(
    ("sent", "found"),
    [
        (b'a=1&token=x y"z;<&b=2', f"a=1&token={MASK}&b=2".encode()),
        (b"token=line\nof it&b=2", f"token={MASK}&b=2".encode()),
        (b"token=x\nname=y\n", f"token={MASK}\nname=y\n".encode()),
        (b'see "https://h/?token=x" and go', f'see "https://h/?token={MASK}" and go'.encode()),
        (b"<token>a <b/>c</token><x>1</x>", f"<token>{MASK}</token><x>1</x>".encode()),
        (b"<token><![CDATA[a</token>b]]></token>c", f"<token>{MASK}</token>c".encode()),
        (b'{"how": "send <token> here", "b": 1}', f'{{"how": "send <token>{MASK}", "b": 1}}'.encode()),
        (b"<token/><x:Token>a</tokens>b</x:Token>", f"<token/><x:Token>{MASK}</x:Token>".encode()),
        (
            b'--B\r\nContent-Disposition: form-data; name="token"\r\n\r\na\r\n--Bx\r\n\r\nb\r\n--B--\r\n',
            f'--B\r\nContent-Disposition: form-data; name="token"\r\n\r\n{MASK}\r\n--B--\r\n'.encode(),
        ),
        (b"token=&x=%20", f"token={MASK}&x=%20".encode()),
        (b'{"token": }, {"token": null}', f'{{"token": }}, {{"token": "{MASK}"}}'.encode()),
        ("😀={}&token=x&b=😀".encode("utf-16-le"), f"😀={{}}&token={MASK}&b=😀".encode("utf-16-le")),
        ("😀=&token=x&b=😀".encode("utf-32-be"), f"😀=&token={MASK}&b=😀".encode("utf-32-be")),
    ],
)
def test_a_value_ends_where_it_does(sent: bytes, found: bytes) -> None:
    assert REDACTION.body(sent) == (found, True)
