"""Sessions: what a browser shows after it has signed in. Nothing is kept of them; they prove themselves.

Rules: a session is `EXPIRES.MAC`, made and checked with a key that the view password gives, so it ends in time, and all
of them end when the password changes. Its value is never recorded: `withheld` blanks all that `found` could take for
one, and what only looks like it.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Iterable, Sequence

COOKIE = "gatebook_session"
LASTS_S = 12 * 3600
KEPT_S = 90 * 24 * 3600  # by the browser: one that has ended still tells that this browser knew the password
WITHHELD = "withheld"

_PAIR = re.compile(rf"((?:^|;)[ \t]*{COOKIE}[ \t]*=)([^;]*)")
_ANYWHERE = re.compile(
    rf"({COOKIE}[ \t]*+=[ \t\"]*+)[^ \t;,\"]++"
)  # however a proxy on the way has put headers together
_VALUE = re.compile(r"([1-9][0-9]{0,14})\.[A-Za-z0-9_-]{43}")

# 16 MiB and about 0.2 s a password: what OWASP's Password Storage Cheat Sheet asks of scrypt (RFC 7914) at this memory.
_COST = {"n": 2**14, "r": 8, "p": 5, "dklen": 32, "maxmem": 32 * 1024 * 1024}


def key(password: str, postgres_password: str) -> bytes:
    """What sessions are signed with, and what a password is known by: 32 bytes, equal in all parts of one Gatebook.

    Slow on purpose, and salted with a secret: whoever has a session still cannot try passwords at home.
    """
    salt = hmac.new(postgres_password.encode(), b"gatebook view password's salt", hashlib.sha256).digest()
    return hashlib.scrypt(password.encode("utf-8", "surrogateescape"), salt=salt, **_COST)


def new(key: bytes, now: float) -> str:
    """A session that begins now and lasts LASTS_S; times are Unix seconds."""
    expires = str(int(now) + LASTS_S)
    return f"{expires}.{_mac(key, expires)}"


def ends(key: bytes, value: str) -> int | None:
    """When this session ends, Unix seconds; None when it was not signed with `key`."""
    match = _VALUE.fullmatch(value)
    if not match:
        return None
    expires, _, mac = value.partition(".")
    return int(expires) if hmac.compare_digest(mac, _mac(key, expires)) else None


def found(cookies: Iterable[str]) -> list[str]:
    """The values of all cookies of that name, in Cookie headers' values; some proxies and browsers send several."""
    return [value.strip(" \t") for header in cookies for _, value in _PAIR.findall(header)]


def withheld(headers: Sequence[Sequence[str]]) -> list[list[str]]:
    """`[[name, value], ...]` with WITHHELD in place of each session; all other characters stay as they are."""
    return [[name, _ANYWHERE.sub(rf"\g<1>{WITHHELD}", value)] for name, value in headers]


def _mac(key: bytes, expires: str) -> str:
    mac = hmac.new(key, b"gatebook session " + expires.encode(), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(mac).decode().rstrip("=")
