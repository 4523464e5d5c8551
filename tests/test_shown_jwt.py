"""JSON Web Tokens in requests: found where they are, shown as they were sent, never taken for verified."""

import base64
import json
import time
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gatebook.viewer.shown.jwt import Token, tokens


def part(text: str | bytes) -> str:
    raw = text if isinstance(text, bytes) else text.encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def token(claims: str = '{"sub":"1"}', header: str = '{"alg":"HS256","typ":"JWT"}', signature: str = "c2ln") -> str:
    return f"{part(header)}.{part(claims)}.{signature}"


def found(target: str = "/", headers: list[list[str]] | None = None, body: bytes | None = None) -> list[Token]:
    return tokens({"target": target, "headers": headers or []}, body)


def test_a_token_is_found_in_headers_parameters_path_and_body() -> None:
    one = token()
    headers = [["Authorization", f"Bearer {one}"], ["Cookie", f"a=b; session={one}; c=d"], ["X-\xc3\xa9", one]]
    all = found(f"/login/{one}?x=1&id%5Ftoken={one}", headers, b'{"token": "' + one.encode() + b'"}')
    assert [token.where for token in all] == [
        "header Authorization", "header Cookie", "header X-é", "path", "parameter id_token", "body",
    ]  # fmt: skip


def test_the_same_token_in_one_place_is_shown_once() -> None:
    assert len(found(body=f"{token()} {token()}".encode())) == 1
    assert len(found(body=f"{token()} {token('{}')}".encode())) == 2


def test_it_is_shown_indented_and_as_it_was_sent() -> None:
    claims = '{"n":1.50e3,"big":12345678901234567890123,"a":1,"a":[],"s":"\\u00e9 {,}:\\"","l":[1,{"x":null}]}'
    [shown] = found(headers=[["A", token(claims)]])
    assert shown.header == '{\n  "alg": "HS256",\n  "typ": "JWT"\n}'
    assert shown.claims == (
        '{\n  "n": 1.50e3,\n  "big": 12345678901234567890123,\n  "a": 1,\n  "a": [],\n  "s": "\\u00e9 {,}:\\"",\n'
        '  "l": [\n    1,\n    {\n      "x": null\n    }\n  ]\n}'
    )


def test_a_token_without_a_signature_is_one() -> None:
    [shown] = found(headers=[["A", token("{}", '{"alg":"none"}', "")]])
    assert shown.claims == "{}"


@pytest.mark.parametrize(
    ("said", "ms"),
    [
        ("1700000000", 1_700_000_000_000),
        ("1700000000.5", 1_700_000_000_500),
        ("1.7e9", 1_700_000_000_000),
        ("0", 0),
        ('"1700000000"', None),
        ("true", None),
        ("-1", None),
        ("1e400", None),
        ("9" * 2000, None),
        ("253402300800", None),
    ],
)
def test_times_are_those_that_the_claims_say(said: str, ms: int | None) -> None:
    [shown] = found(headers=[["A", token(f'{{"exp":{said},"iat":{said},"nbf":{said}}}')]])
    assert (shown.expires_ms, shown.issued_ms, shown.not_before_ms) == (ms, ms, ms)


@pytest.mark.parametrize(
    "text",
    [
        "eyJhbGciOiJIUzI1NiJ9.e30",  # two parts
        token(claims="[1]"),
        token(claims="no JSON"),
        token(claims='{"a":NaN}'),
        token(header='{"typ":"JWT"}'),  # no algorithm
        part('{"alg":"x"}') + "." + part(b'{"a":"\xff"}') + ".x",
        "eyJ.x.y",
        "x" + token(),  # part of something longer
        token(claims="[" * 5000 + "]" * 5000),
        token(claims='{"a":' + "[" * 5000 + "]" * 5000 + "}"),
    ],
)
def test_what_is_no_token_is_passed_over(text: str) -> None:
    assert found(headers=[["A", text]]) == []


@given(st.text(max_size=200), st.text(st.characters(max_codepoint=255), max_size=50), st.binary(max_size=200))
@example("{", "e", b"ey.ey.ey")
def test_nothing_is_raised_whatever_was_sent(claims: str, wire: str, body: bytes) -> None:
    raw = claims.encode(errors="surrogatepass")
    text = ".".join([part('{"alg":""}'), part(raw), wire])
    found("/" + wire + "?" + text, [[wire, text], ["Cookie", wire]], body + text.encode("latin-1"))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda of: st.lists(of) | st.dictionaries(st.text(), of)
    )
)
def test_indenting_changes_nothing_of_what_it_means(value: Any) -> None:
    [shown] = found(headers=[["A", token(json.dumps({"v": value}))]])
    assert json.loads(shown.claims) == {"v": value}


def test_the_work_is_bounded() -> None:
    many = " ".join(token(f'{{"n":{number}}}') for number in range(5000)).encode()
    hostile = [many, b"ey" * 600_000, b"eyJ." * 300_000, b"eyJh." * 250_000 + b"x", b"eyJ" + b"A" * 2**20, b"." * 2**20]
    hostile += [token('{"a":' + "[" * 900 + "]" * 900 + "}").encode()]
    began = time.process_time()
    for body in hostile:
        all = found(body=body)
        assert len(all) <= 16 and sum(len(one.claims) for one in all) < 200_000
    assert time.process_time() - began < 5
