"""What a request can be found by without being looked at: hashes, which blocks of requests are kept by. Pure.

Rule: what a term is made of stays as it is, since blocks outlive releases; whoever changes it empties search_state.

terms() runs for every request ever recorded, so hashes go on where a former one ended (crc32 allows it), and what comes
again is remembered: places, addresses and header names as long as they are short.
"""

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from ipaddress import ip_address
from typing import Any
from zlib import crc32

import orjson

NETWORKS = {4: (8, 16, 24, 32), 6: (32, 48, 64, 128)}  # lengths of prefixes; the longest is the address itself
DEEPEST = 8  # prefixes of a path
SIZES = range(10, 31)  # powers of two

_REMEMBERED = 8192
_SHORT = 200
_AUTHORITY = re.compile("[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*")
_END_OF_PATH = re.compile("[?#]")


def terms(row: Mapping[str, Any]) -> set[int]:
    """The hashes of a row of `requests`: whole numbers that fit PostgreSQL's integer.

    Reads method, target, headers (the JSON), peer and client (as text or not), replica, scheme, status, truncated and
    body_size.
    """
    method, way = row["method"], path(row["target"])
    of_place = _of_place if len(way) + len(method) <= _SHORT else _of_place.__wrapped__
    found = set(of_place(method, way))
    found.update(_of_address("peer", str(row["peer"])))
    found.update(_of_address("client", str(row["client"])))
    found.update(_of_answer(row["replica"], row["scheme"], row["status"], row["truncated"]))
    found.update(_OF_SIZE[min((row["body_size"] or 0).bit_length(), len(_OF_SIZE) - 1)])
    for name, value in orjson.loads(row["headers"]):
        named, before_value = _of_name(name) if len(name) <= _SHORT else _of_name.__wrapped__(name)
        found.add(named)
        found.add((crc32(value.encode(), before_value) ^ 0x80000000) - 0x80000000)  # as in _signed()
    return found


def hashed(*words: str) -> int:
    """The hash of one thing that is told of a request, such as "header", "accept", "*/*"."""
    return _signed(crc32("\0".join(words).encode()))


def path(target: str) -> str:
    """What the field `path` is of a target; the same in SQL is sql.PATH."""
    if not target.startswith("/") and (authority := _AUTHORITY.match(target)):
        target = target[authority.end() :]
    end = _END_OF_PATH.search(target)
    return target[: end.start()] if end else target


def prefixes(path: str) -> Iterator[str]:
    """`/a/` and `/a/b/` of `/a/b/c`; the first ones of a long path."""
    end = 0
    for _ in range(DEEPEST):
        end = path.find("/", end + 1)
        if end < 0:
            return
        yield path[: end + 1]


def status_class(status: int) -> str:
    """`5` of 503; what is no status is in the nearest class."""
    return str(min(max(status // 100, 1), 5))


def network(number: int, length: int, version: int) -> str:
    """The first `length` bits of an address, in a form of their own."""
    return f"{version}/{length}/{number >> ((32 if version == 4 else 128) - length):x}"


@lru_cache(_REMEMBERED)
def _of_place(method: str, path: str) -> tuple[int, ...]:
    """Method, path and its prefixes, and these of this method alone."""
    method = lowered(method)
    whole, begins = path.encode(), [prefix.encode() for prefix in prefixes(path)]
    found = [hashed("method", method)]
    for of in ("", method):
        before = crc32(f"path\0{of}\0".encode())
        found.append(_signed(crc32(whole, before)))
        before = crc32(f"below\0{of}\0".encode())
        found += [_signed(crc32(begin, before)) for begin in begins]
    return tuple(found)


@lru_cache(_REMEMBERED)
def _of_address(who: str, text: str) -> tuple[int, ...]:
    address = ip_address(text)
    lengths = NETWORKS[address.version]
    return tuple(hashed(who, network(int(address), length, address.version)) for length in lengths)


@lru_cache(_REMEMBERED)
def _of_answer(replica: str, scheme: str, status: int, truncated: bool) -> tuple[int, ...]:
    return (
        hashed("replica", replica),
        hashed("scheme", scheme),
        hashed("status", str(status)),
        hashed("class", status_class(status)),
        hashed("truncated", str(truncated)),
    )


@lru_cache(_REMEMBERED)
def _of_name(name: str) -> tuple[int, int]:
    """A header's name, and where the hash of its value goes on from."""
    name = lowered(name)
    return hashed("header", name), crc32(f"header\0{name}\0".encode())


def lowered(text: str) -> str:
    """In lower case as far as it is ASCII."""
    return text.lower() if text.isascii() else text.encode().lower().decode()


def _signed(hash: int) -> int:
    """The same 32 bits as PostgreSQL's integer has them."""
    return (hash ^ 0x80000000) - 0x80000000


# By the number of bits of a size: that it is 2**10 or more, 2**11 or more, …
_OF_SIZE = [tuple(hashed("size", str(power)) for power in SIZES if power < bits) for bits in range(SIZES.stop + 1)]
