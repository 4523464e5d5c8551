"""Which network an address is in, in one way for all that ask: who may look, which
proxies are trusted, who is one client.

Rule: an IPv4 address that came over an IPv6 socket (::ffff:192.0.2.7, RFC 4291, 2.5.5.2) is still an IPv4 address.
"""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address

from gatebook.settings import Network

Address = IPv4Address | IPv6Address


def address(text: str) -> Address:
    """The address that is meant. Raises ValueError when it is none."""
    found = ip_address(text)
    return found.ipv4_mapped or found if isinstance(found, IPv6Address) else found


def within(address: Address, networks: Iterable[Network]) -> bool:
    """Whether one of them has it."""
    return any(address in network for network in networks)
