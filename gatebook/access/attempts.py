"""How fast passwords may be tried, by whom.

Rules: whoever was wrong a few times waits, each time longer; one attempt a client at a time. What is known of clients
is bounded, and forgotten when they have been quiet. An IPv6 client is known by its /64, which is what one of them has,
and by its /48, which is what one site has: it could come from 65,536 of the former. As a site may be a whole company,
its wait grows with every eighth mistake.
"""

from collections import OrderedDict
from ipaddress import IPv6Address, IPv6Network

from gatebook.access import networks

FREE = 3  # mistakes without a wait: a finger slips
MOST_WAIT_S = 300
MOST_CLIENTS = 10_000
_FORGOTTEN_AFTER_S = 3600.0
_IPV6 = {64: 1, 48: 8}  # bits of a network, and how many mistakes from there count as one


class Attempts:
    """Who was wrong how often. Times are seconds of a monotonic clock, which the caller reads."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, tuple[int, float]] = OrderedDict()  # mistakes, when the last one was; that last
        self._trying: set[str] = set()

    def begin(self, client: str | None, now: float) -> int:
        """0: go on, and tell `end`. Else the seconds that this client has to wait."""
        known = known_by(client)
        if not self._trying.isdisjoint(known):
            return 1
        if (left := max(self._left_s(who, patience, now) for who, patience in known.items())) > 0:
            return int(left) + 1
        self._trying.update(known)
        return 0

    def end(self, client: str | None, right: bool | None, now: float) -> None:
        """What came of it; None: it was not found out."""
        for who in known_by(client):
            self._trying.discard(who)
            if right:
                self._known.pop(who, None)
            elif right is False:
                wrong, _ = self._known.pop(who, (0, now))
                self._known[who] = wrong + 1, now
        self._forget(now)

    def __len__(self) -> int:
        return len(self._known)

    def _left_s(self, who: str, patience: int, now: float) -> float:
        wrong, at = self._known.get(who, (0, now))
        return at + wait_s(wrong // patience) - now

    def _forget(self, now: float) -> None:
        while self._known:
            _, at = next(iter(self._known.values()))
            if len(self._known) <= MOST_CLIENTS and now - at < _FORGOTTEN_AFTER_S:
                return
            self._known.popitem(last=False)


def wait_s(wrong: int) -> float:
    """How long to wait after so many mistakes: 1, 2, 4, ... MOST_WAIT_S."""
    return 0.0 if wrong < FREE else min(2.0 ** min(wrong - FREE, 30), MOST_WAIT_S)


def known_by(client: str | None) -> dict[str, int]:
    """What a client is known by, and how many mistakes from there count as one.

    An IPv4 address; an IPv6 network of 64 bits and the one of 48 around it; or nothing for who came without an address.
    """
    if client is None:
        return {"": 1}
    address = networks.address(client)
    if not isinstance(address, IPv6Address):
        return {str(address): 1}
    return {str(IPv6Network((int(address), bits), strict=False)): patience for bits, patience in _IPV6.items()}
