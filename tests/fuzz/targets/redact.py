"""What is hidden until it is revealed."""

import json
import re
from urllib.parse import quote

from fuzz.bytes_of import Bytes
from fuzz.target import target
from gatebook.redact import MASK, Redaction
from gatebook.settings import read

_PATTERNS = read({}).redact
_REDACTION = Redaction(_PATTERNS)
_NONE = Redaction(())
_SECRET = "c4n4ry"
_NAMES = ["password", "Access_Token", "client_secret", "pwd", "user[password]", "api_key"]
_WORDS = [
    b'"password":',
    b"password=",
    b"%70assword=",
    b'\\"token\\":',
    b"&",
    b"--b\r\n",
    b'name="secret"',
    b"\r\n\r\n",
]
_WORDS += [b'"p\\u0061ssword"', b"t\0o\0k\0e\0n\0=\0", b"Authorization", MASK.encode(), b"https://h/?token="]


@target(
    "redact",
    _WORDS,
    [
        b'{"password": "x", "a": 1}',
        b"a=b&token=%31&c",
        b"--b\r\nContent-Disposition: form-data; name=pwd\r\n\r\nx\r\n--b--",
    ],
)
def redact(data: bytes) -> None:
    """Whatever it is: only values are replaced, and with no patterns nothing is."""
    found, masked = _REDACTION.body(data)
    assert masked == (found != data) or MASK.encode() in data
    _only_replaced(data, found)
    text = data.decode("latin-1")
    for shown in (_REDACTION.target(text)[0], _REDACTION.text(text)):
        _only_replaced(data, shown.encode("latin-1"))
    headers = [["Authorization", text], ["X", text]]
    kept, was_masked = _REDACTION.headers(headers)
    assert kept[0] == ["Authorization", MASK] and was_masked
    _only_replaced(data, kept[1][1].encode("latin-1"))
    assert (_NONE.body(data), _NONE.target(text), _NONE.headers(headers)) == (
        (data, False),
        (text, False),
        (headers, False),
    )


def _only_replaced(sent: bytes, shown: bytes) -> None:
    """What stands between the masks stands so in what was sent, in this order."""
    if MASK.encode() in sent or b"\0" in sent:  # a mask in UTF-16 is another one
        return
    pieces = shown.split(MASK.encode())
    at = 0
    for number, piece in enumerate(pieces):
        piece = re.sub(rb'^\\*"', b"", piece) if number else piece  # what is no string gets quotes
        piece = re.sub(rb'\\*"\Z', b"", piece) if number < len(pieces) - 1 else piece
        found = sent.rfind(piece) if number == len(pieces) - 1 else sent.find(piece, at)
        assert found >= at if number else found == 0, piece
        at = found + len(piece)
    assert at == len(sent)


@target(
    "secret",
    [*_WORDS, b"\\", b'"', b"'", b"{", b"]", b"%22"],
    [b"\x00\x03a=b\x02x ", b"\x01\x01", b"\x02\x02{}", b"\x05\x03%25"],
)
def secret(data: bytes) -> None:
    """A secret with a name is not seen, wherever it stands among whatever else."""
    given = Bytes(data)
    name, how = given.choice(_NAMES), given.number(7)
    before, within, after = given.some(30), given.wire(20), given.rest()
    value = f"{_SECRET}{within}{_SECRET}"
    as_json = json.dumps({name: value})
    body = {
        0: b'{"x": 1, ' + as_json.encode()[1:] + after,
        1: b"a=1&" + f"{quote(name)}={quote(value)}&".encode() + after.replace(b"\n", b""),
        2: b'--b\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n--b--\r\n' % (
            name.encode(), value.replace("\n--b", "").encode()),
        3: json.dumps({"m": as_json, "l": [1]}).encode(),
        4: json.dumps({name: [value, {"y": value}]}).encode() + after,
        5: as_json.encode("utf-16-le"),
        6: json.dumps({"u": f"https://h/?a=1&{quote(name)}={quote(value)}"}).encode(),
    }[how]  # fmt: skip
    if how == 1 and before:
        body = b"z=1&" + body
    found, masked = _REDACTION.body(body)
    assert masked and _SECRET.encode() not in found and _SECRET.encode("utf-16-le") not in found
    headers, _ = _REDACTION.headers(
        [["Referer", f"https://h/?{quote(name)}={quote(value)}"], ["Cookie", value], ["X-Api-Key", value]]
    )
    assert _SECRET not in repr(headers)
    assert _SECRET not in _REDACTION.target(f"/a?b=c&{quote(name)}={quote(value)}#f")[0]
