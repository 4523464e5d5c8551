"""The replicas, seen from the viewer: found anew each time, and all asked at once.

Rules: a replica that hangs, breaks off or says too much is silent, and holds nobody up for longer than the numbers
below say. A name server that hangs is asked once, however often the replicas are looked for meanwhile.
"""

import asyncio
import glob
import re
import socket
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path

from gatebook.settings import Address

FIND_WITHIN_S = 0.5
ANSWER_WITHIN_S = 1.0
MOST_REPLICAS = 256  # more are not asked, and so are silent
MOST_BYTES = 64 * 1024  # of an answer's head, and of its body; a replica's metrics take 6 KiB

_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,9})[ \t]*\r\n", re.IGNORECASE)


class Replicas:
    """Whoever listens where `upstream` says: a unix path may be a pattern, a host name stands for all its addresses."""

    def __init__(self, upstream: Sequence[Address]) -> None:
        self._upstream = upstream
        self._lookups: dict[str, asyncio.Task[list[str]]] = {}

    async def ask(self, target: str) -> list[str | None]:
        """What each of them answers to GET `target`, None for each that is silent."""
        return [answer for _, answer in await self.ask_by_name(target)]

    async def ask_by_name(self, target: str) -> list[tuple[str, str | None]]:
        """The same, each with its name: that of its socket, or its address.

        A name or a pattern that leads to nobody counts as one that is silent.
        """
        found = await asyncio.gather(*map(self._places, self._upstream))
        places = list(dict.fromkeys(place for places in found for place in places))
        answers = await asyncio.gather(*(_ask(place, target) for place in places[:MOST_REPLICAS]))
        names = [Path(place.path).stem if place.path else str(place) for place in places]
        return list(zip_longest(names, answers))

    async def _places(self, address: Address) -> list[Address]:
        """Where `address` leads; to itself when that is nowhere."""
        if address.path:
            return [Address(path=path) for path in sorted(glob.glob(address.path)) or [address.path]]
        host = address.host.strip("[]")
        try:
            hosts = await asyncio.wait_for(asyncio.shield(self._lookup(host)), FIND_WITHIN_S)
        except TimeoutError:
            hosts = []
        return [Address(host=one, port=address.port) for one in hosts or [host]]

    def _lookup(self, host: str) -> "asyncio.Task[list[str]]":
        """The search for the addresses of `host`: the one that is under way, or a new one."""
        lookup = self._lookups.get(host)
        if lookup is None or lookup.done():
            lookup = self._lookups[host] = asyncio.create_task(_resolve(host))
        return lookup


async def _resolve(host: str) -> list[str]:
    """The IP addresses of `host`, for a name those of IPv4 alone, as the load balancer wants them; maybe none."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, None, family=family, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return sorted({str(place[0]) for *_, place in found})


async def _ask(place: Address, target: str) -> str | None:
    try:
        async with asyncio.timeout(ANSWER_WITHIN_S):
            return await _answer(place, target)
    except (OSError, EOFError, asyncio.LimitOverrunError, UnicodeError):  # OSError is also what a timeout raises
        return None


async def _answer(place: Address, target: str) -> str | None:
    """The body of an answer that is a 200 and has a length in bounds; a part of it is an EOFError."""
    reader, writer = await _connect(place)
    try:
        writer.write(f"GET {target} HTTP/1.1\r\nHost: replica\r\nConnection: close\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if not head.startswith(b"HTTP/1.1 200 ") or not length or int(length[1]) > MOST_BYTES:
            return None
        return (await reader.readexactly(int(length[1]))).decode()
    finally:
        writer.transport.abort()


async def _connect(place: Address) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Raises OSError, also for a host name: it was looked up before, and nobody has it."""
    if place.path:
        return await asyncio.open_unix_connection(place.path, limit=MOST_BYTES)
    return await asyncio.open_connection(place.host, place.port, limit=MOST_BYTES, flags=socket.AI_NUMERICHOST)
