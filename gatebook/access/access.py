"""One verdict on who may look, used by the viewer and by the page at `/`.

Rules: recording asks nobody; this is about looking alone. A network that is denied stays denied whatever else is said.
An address in place of a name is always right, since a page of another site that has been bound to our address comes
under its own name (DNS rebinding).
"""

import hmac
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import ip_address
from typing import Literal

from gatebook.access import networks, session
from gatebook.settings import Settings

Refusal = Literal["network", "host"]
Hidden = Literal["network", "host", "password"]
_MOST_SESSIONS = 8  # that are looked at: each costs an HMAC, and a MiB of Cookie headers has room for 15,000
_LONGEST_HOST = 300  # that an answer is remembered for; a name has 253 characters at most (RFC 1035)


class Access:
    """What the settings say about looking. Making one takes as long as trying a password, if there is one."""

    def __init__(self, settings: Settings) -> None:
        self._allow = settings.view_allow
        self._deny = settings.view_deny
        self._hosts = settings.view_hosts
        self._postgres_password = settings.postgres_password
        self._key = session.key(settings.view_password, settings.postgres_password) if settings.view_password else None
        self._refusal = lru_cache(maxsize=1024)(self._found_refusal)

    @property
    def asks_password(self) -> bool:
        return self._key is not None

    @property
    def open(self) -> bool:
        """Whether anybody may look from anywhere, under any name."""
        return not (self._allow or self._deny or self._hosts or self._key)

    def refusal(self, client: str | None, host: str) -> Refusal | None:
        """Why nobody may look from this address, or under this name; None: one may, with a session or token if asked.

        `client` is an IP address, None when nobody knows; `host` is a Host header, empty when there was none.
        """
        return self._refusal(client, host) if len(host) <= _LONGEST_HOST else self._found_refusal(client, host)

    def session_ends(self, cookies: Iterable[str], now: float) -> int | None:
        """When the session in these Cookie headers ends, Unix seconds; None: there is none that is valid now.

        Of many the first _MOST_SESSIONS are looked at.
        """
        if self._key is None:
            return None
        ends = [session.ends(self._key, value) for value in session.found(cookies)[:_MOST_SESSIONS]]
        return max((end for end in ends if end is not None and end > now), default=None)

    def hides(self, client: str, host: str, cookies: Iterable[str], now: float) -> Hidden | None:
        """Why whoever asks for `/` does not see what others sent; None: they do."""
        if self.open:
            return None
        if refusal := self.refusal(client, host):
            return refusal
        return "password" if self._key is not None and self.session_ends(cookies, now) is None else None

    def is_password(self, text: str) -> bool:
        """Whether it is the view password. Takes 0.2 s and 16 MiB, whatever it is."""
        if self._key is None:
            return False
        return hmac.compare_digest(session.key(text, self._postgres_password), self._key)

    def new_session(self, now: float) -> str:
        """A cookie's value for whoever has said the password."""
        if self._key is None:
            raise ValueError("nobody is asked for a password")
        return session.new(self._key, now)

    def _found_refusal(self, client: str | None, host: str) -> Refusal | None:
        if not self._from_here(client):
            return "network"
        return None if not self._hosts or is_own_name(host, self._hosts) else "host"

    def _from_here(self, client: str | None) -> bool:
        try:
            address = networks.address(client or "")
        except ValueError:
            return not self._allow
        is_allowed = not self._allow or networks.within(address, self._allow)
        return is_allowed and not networks.within(address, self._deny)


def is_own_name(host: str, names: Iterable[str]) -> bool:
    """Whether a Host header's value may mean us: an address, localhost and what is below it, or one of `names`.

    `*.example` among `names` is all that is below example. No Host at all is no browser's request.
    """
    name, is_address = _name(host)
    if is_address or not host:
        return True
    return any(_matches(name, pattern) for pattern in ("localhost", "*.localhost", *names))


def _name(host: str) -> tuple[str, bool]:
    """The name without its port, and whether it is an address."""
    text = host.strip().lower()
    name = text[1:].partition("]")[0] if text.startswith("[") else text.partition(":")[0]
    try:
        ip_address(name)
    except ValueError:
        return name.removesuffix("."), False
    return name, True


def _matches(name: str, pattern: str) -> bool:
    pattern = pattern.removesuffix(".")
    return name.endswith(pattern[1:]) and len(name) >= len(pattern) if pattern.startswith("*.") else name == pattern
