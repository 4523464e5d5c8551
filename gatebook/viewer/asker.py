"""Who asks, as far as is known: for the trail, and for what depends on it.

Rule: `gatebook.who` in the scope is written by the guard alone; the client's address is the load balancer's word.
"""

from contextvars import ContextVar
from ipaddress import ip_address
from typing import NamedTuple

from starlette.datastructures import Headers
from starlette.types import Scope

ANYBODY = "anybody"  # nobody is asked who they are
SIGNED_IN: ContextVar[bool] = ContextVar("signed_in", default=False)  # the page that is made: for one who can sign out
_WHO = "gatebook.who"


class Asker(NamedTuple):
    """`who`: 'session', 'token NAME', 'operator' or ANYBODY; `client`: an IP address, None when nobody told."""

    who: str
    client: str | None


def asker(scope: Scope) -> Asker:
    """Who sent the request of this ASGI scope."""
    return Asker(scope.get(_WHO, ANYBODY), client(scope))


def known_as(scope: Scope, who: str) -> Scope:
    """The scope of a request that `who` was found to have sent."""
    return {**scope, _WHO: who}


def client(scope: Scope) -> str | None:
    """The address that the load balancer put last into X-Forwarded-For."""
    word = Headers(scope=scope).get("x-forwarded-for", "").rpartition(",")[2].strip()
    try:
        return str(ip_address(word))
    except ValueError:
        return None
