"""How fast passwords may be tried, by whom.

Rules: whoever was wrong a few times waits, each time longer; one attempt a client at a time. What is known of clients
is bounded, and forgotten when they have been quiet. IPv6 clients are known by their /64, which is what one of them has.
"""

from collections import OrderedDict
from ipaddress import IPv6Address

from gatebook.access import networks

FREE = 3  # mistakes without a wait: a finger slips
MOST_WAIT_S = 300
MOST_CLIENTS = 10_000
_FORGOTTEN_AFTER_S = 3600.0


class Attempts:
    """Who was wrong how often. Times are seconds of a monotonic clock, which the caller reads."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, tuple[int, float]] = OrderedDict()  # mistakes, when the last one was; that last
        self._trying: set[str] = set()

    def begin(self, client: str | None, now: float) -> int:
        """0: go on, and tell `end`. Else the seconds that this client has to wait."""
        who = known_by(client)
        if who in self._trying:
            return 1
        wrong, at = self._known.get(who, (0, now))
        if (left := at + wait_s(wrong) - now) > 0:
            return int(left) + 1
        self._trying.add(who)
        return 0

    def end(self, client: str | None, right: bool | None, now: float) -> None:
        """What came of it; None: it was not found out."""
        who = known_by(client)
        self._trying.discard(who)
        if right:
            self._known.pop(who, None)
        elif right is False:
            wrong, _ = self._known.pop(who, (0, now))
            self._known[who] = wrong + 1, now
        self._forget(now)

    def __len__(self) -> int:
        return len(self._known)

    def _forget(self, now: float) -> None:
        while self._known:
            _, at = next(iter(self._known.values()))
            if len(self._known) <= MOST_CLIENTS and now - at < _FORGOTTEN_AFTER_S:
                return
            self._known.popitem(last=False)


def wait_s(wrong: int) -> float:
    """How long to wait after so many mistakes: 1, 2, 4, ... MOST_WAIT_S."""
    return 0.0 if wrong < FREE else min(2.0 ** min(wrong - FREE, 30), MOST_WAIT_S)


def known_by(client: str | None) -> str:
    """An IPv4 address, an IPv6 network of 64 bits, or nothing for who came without one."""
    if client is None:
        return ""
    address = networks.address(client)
    return str(IPv6Address(int(address) >> 64 << 64) if isinstance(address, IPv6Address) else address)
