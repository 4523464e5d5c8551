"""What is shown to be let in: cookies, sessions, tokens, passwords, names of hosts."""

import re
from ipaddress import ip_address

from fuzz.bytes_of import Bytes
from fuzz.target import target
from gatebook.access import attempts, session, token
from gatebook.access.access import is_own_name

_KEY, _OTHER = b"k" * 32, b"o" * 32
_NOW = 1_795_435_200
_VALUE = session.new(_KEY, _NOW)
_COOKIES = [
    b"gatebook_session=",
    b"; ",
    b";",
    b"=",
    b'"',
    b"gatebook_session",
    b"\t",
    b",",
    _VALUE.encode(),
    b"$Version=1",
]


@target(
    "cookie",
    _COOKIES,
    [b"gatebook_session=" + _VALUE.encode(), b"a=b; gatebook_session=1.x;gatebook_session=\t2", b"gatebook_session"],
)
def cookie(data: bytes) -> None:
    """Whatever could be taken for a session is withheld from the record, in whichever header, and nothing else is."""
    header = data.decode("latin-1")
    assert session.found([header]) == _by_hand(header)
    for name in ("CooKie", "X-Cookie"):
        [[same, kept]] = session.withheld([[name, header]])
        assert (same, kept) == (name, _withheld_by_hand(header))
        assert not any(session.ends(_KEY, value) for value in session.found([kept]))


def _withheld_by_hand(header: str) -> str:
    kept = ""
    while session.COOKIE in header:
        before, name, rest = header.partition(session.COOKIE)
        value = rest.lstrip(" \t")
        if value.startswith("="):
            value = value[1:].lstrip(' \t"')
        end = next((at for at, char in enumerate(value) if char in ' \t;,"'), len(value))
        if "=" not in rest[: len(rest) - len(value)] or not end:
            kept, header = kept + before + name, rest
            continue
        kept += before + name + rest[: len(rest) - len(value)] + session.WITHHELD
        header = value[end:]
    return kept + header


def _by_hand(header: str) -> list[str]:
    pairs = [pair.partition("=") for pair in header.split(";")]
    return [value.strip(" \t") for name, equals, value in pairs if equals and name.strip(" \t") == session.COOKIE]


@target(
    "session",
    [b".", b"=", b"-", b"_", _VALUE.encode(), session.new(_OTHER, _NOW).encode()],
    [_VALUE.encode(), b"1." + b"A" * 43],
)
def sessions(data: bytes) -> None:
    """Of all values one alone is a session: the one that was signed with the key."""
    value = data.decode("latin-1")
    ends = session.ends(_KEY, value)
    assert (ends is not None) == (
        value == session.new(_KEY, int(value.partition(".")[0]) - session.LASTS_S) if ends else False
    )
    assert session.ends(_OTHER, value) is None or value == session.new(
        _OTHER, session.ends(_OTHER, value) - session.LASTS_S
    )  # type: ignore[operator]
    signed = session.new(_KEY, _NOW + int.from_bytes(data[:3], "big"))
    assert session.ends(_KEY, signed) and session.ends(_OTHER, signed) is None
    at = len(data) % len(signed)
    for changed in (
        signed[:at] + "0" + signed[at + 1 :],
        signed[:at] + signed[at + 1 :],
        signed + value[:1],
        " " + signed,
    ):
        assert changed == signed or session.ends(_KEY, changed) is None


@target(
    "token",
    [b"gatebook_", b"_", b"0123456789ab", b"operator"],
    [b"gatebook_0123456789ab_" + b"A" * 43, b"gatebook_operator_"],
)
def tokens(data: bytes) -> None:
    """What is no token is none, and another secret gives another hash."""
    text = data.decode("utf-8", "surrogateescape")
    found = token.parts(text)
    assert (found is not None) == bool(re.fullmatch("gatebook_[0-9a-f]{12}_[A-Za-z0-9_-]{43}", text, re.ASCII))
    if found:
        assert text.startswith(f"gatebook_{found.id}_") and len(found.hash) == 32
        changed = text[:-1] + ("B" if text[-1] != "B" else "C")
        other = token.parts(changed)
        assert other and not token.same(found.hash, other.hash) and token.same(found.hash, token.parts(text).hash)  # type: ignore[union-attr]


@target(
    "host",
    [b"localhost", b".", b":80", b"[::1]", b"127.0.0.1", b"evil.example", b"@", b"gate.example", b"%", b"\xc4\xb0"],
    [
        b"localhost:8080",
        b"[::1]:80",
        b"x.localhost",
        b"localhost.evil.example",
        b"127.0.0.1.evil.example",
        b"x.below.example",
    ],
)
def host(data: bytes) -> None:
    """No name that somebody else could have in the DNS is taken for ours."""
    said = data.decode("latin-1")
    names = ("gate.example", "*.below.example")
    if not is_own_name(said, names):
        assert said.lower() not in (
            "localhost",
            "gate.example",
            "localhost:80",
            "[::1]",
            "127.0.0.1:8080",
            "a.below.example",
        )
        return
    name = said.strip().lower()
    if not name:
        return
    bare = name[1:].partition("]")[0] if name.startswith("[") else name.partition(":")[0]
    bare = bare.removesuffix(".")
    if bare in ("localhost", "gate.example") or bare.endswith((".localhost", ".below.example")):
        return
    ip_address(bare)  # raises ValueError where it is none


@target("attempts", [b"\x00", b"\xff"], [bytes(40), bytes(range(60))])
def tries(data: bytes) -> None:
    """Whoever is wrong waits, longer and longer; who is right does not; what is known of all is bounded."""
    known, now, given = attempts.Attempts(), 0.0, Bytes(data)
    mistakes: dict[str, tuple[int, float]] = {}
    while given.left:
        number, step = given.byte(), given.byte()
        client = f"10.0.0.{number % 8}" if number < 128 else f"2001:db8:0:{number % 4}::{number:x}"
        who = client if number < 128 else client.rpartition("::")[0]
        now += step / 4
        wrong, at = mistakes.get(who, (0, now))
        left = at + (0 if wrong < attempts.FREE else min(2 ** (wrong - attempts.FREE), attempts.MOST_WAIT_S)) - now
        waits = known.begin(client, now)
        assert (waits > 0) == (left > 0) and waits <= attempts.MOST_WAIT_S + 1
        if waits:
            continue
        assert known.begin(client, now) == 1, "one at a time"
        right = step % 5 == 0
        known.end(client, right, now)
        if right:
            mistakes.pop(who, None)
        else:
            mistakes[who] = wrong + 1, now
        mistakes = {who: (wrong, at) for who, (wrong, at) in mistakes.items() if now - at < 3600}
    assert len(known) <= attempts.MOST_CLIENTS
