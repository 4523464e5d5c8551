"""Tokens: what a program shows to be let in, as `Authorization: Bearer` (RFC 6750).

Rules: a token is told once, when it is made; what is kept is its hash. Its secret part is random and long, so a plain
SHA-256 is enough: there is nothing to guess. The operator's token is kept nowhere: whoever can read the database's
password can work it out, and could read the whole table anyway.
"""

import hashlib
import hmac
import re
import secrets
from typing import NamedTuple

_ID_BYTES = 6
_SECRET_BYTES = 32
_TOKEN = re.compile(r"gatebook_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
_OPERATOR = "gatebook_operator_"
_LEAST_TO_DERIVE_FROM = 32  # characters, as many as a local stack's own has


class New(NamedTuple):
    """A token that was just made: its `text`, to be told once, and what to keep of it."""

    text: str
    id: str
    hash: bytes


class Parts(NamedTuple):
    """A token taken apart: by its `id` it is found, by the `hash` of its secret part (32 bytes) it is known."""

    id: str
    hash: bytes


def new() -> New:
    """A token that nobody can guess: 256 random bits behind 12 hexadecimal digits to find it by."""
    id, secret = secrets.token_hex(_ID_BYTES), secrets.token_urlsafe(_SECRET_BYTES)
    return New(f"gatebook_{id}_{secret}", id, _hash(secret))


def parts(text: str) -> Parts | None:
    """None for what has not the form of a token. Compare hashes by `same`."""
    match = _TOKEN.fullmatch(text)
    return Parts(match[1], _hash(match[2])) if match else None


def same(one: bytes, other: bytes) -> bool:
    """Whether two hashes are equal, in a time that does not tell where they differ."""
    return hmac.compare_digest(one, other)


def operator(postgres_password: str) -> str | None:
    """The token of whoever runs the stack, derived from POSTGRES_PASSWORD; None when that is too short for it.

    A password that somebody made up, or that stands in an example, could be guessed without asking anyone.
    """
    if len(postgres_password) < _LEAST_TO_DERIVE_FROM:
        return None
    mac = hmac.new(postgres_password.encode(), b"gatebook operator's token", hashlib.sha256)
    return _OPERATOR + mac.hexdigest()


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
