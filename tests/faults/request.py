"""From a token to the request that carries it, and back from a row. Pure.

Rule: a token says everything about its request, so that what was stored can be held against what was sent without
anybody remembering it.
"""

import math
from functools import lru_cache
from hashlib import sha256, shake_128
from typing import NamedTuple

import orjson

MEDIAN_BODY = 200
LARGE_BODY = 1024 * 1024
LARGE_ONE_IN = 1000


class Request(NamedTuple):
    """One request as it is sent."""

    method: str
    target: str
    body: bytes
    closes: bool  # asks for the connection to be closed afterwards

    def headers(self, host: str) -> list[tuple[str, str]]:
        """In the order in which Gatebook keeps them: first those whose place nginx does not tell."""
        lines = [("Host", host)]
        if self.closes:
            lines.append(("Connection", "close"))
        if self.method == "POST":
            lines.append(("Content-Length", str(len(self.body))))
        return [*lines, ("Sent-As", self.target)]

    def wire(self, host: str) -> bytes:
        lines = "".join(f"{name}: {value}\r\n" for name, value in self.headers(host))
        return f"{self.method} {self.target} HTTP/1.1\r\n{lines}\r\n".encode() + self.body


class Row(NamedTuple):
    """What is compared of a request and its row, as psql writes it; the body by its size and hash."""

    method: str
    target: str
    headers: str
    body_size: str
    kept_size: str
    body_sha256: str
    status: str


def token(run: str, number: int) -> str:
    """`run` names one load; a letter ends the number, so that no token is the beginning of another."""
    return f"{run}-{number}z"


def number_in(target: str, run: str) -> int | None:
    """The number of the token in a target, if it has one of this load's."""
    word = target.rpartition(f"{run}-")[2]
    digits = word.removesuffix("z")
    return int(digits) if digits != word and digits.isdigit() else None


def request(run: str, number: int) -> Request:
    """The `number`th request of a load: one page, one other GET and two POSTs out of four; one in 16 closes."""
    name = token(run, number)
    closes = number % 16 == 5
    match number % 4:
        case 0:
            return Request("GET", f"/?load={name}", b"", closes)
        case 1:
            return Request("GET", f"/load/{name}", b"", closes)
        case _:
            return Request("POST", f"/load/{name}", body(name), closes)


def body(name: str) -> bytes:
    """Bytes that look random: half of the bodies have up to 200, one in a thousand has exactly 1 MiB."""
    seed = int.from_bytes(shake_128(f"length of {name}".encode()).digest(8), "big")
    if seed % LARGE_ONE_IN == 0:
        return shake_128(name.encode()).digest(LARGE_BODY)
    share = (seed >> 16) / 2**48
    return shake_128(name.encode()).digest(round(-MEDIAN_BODY * math.log2(1 - share)))


def row(sent: Request, host: str) -> Row:
    """What its row has to be."""
    size = str(len(sent.body))
    headers = orjson.dumps(sent.headers(host)).decode()
    return Row(sent.method, sent.target, headers, size, size, _sha256(sent.body), "200")


@lru_cache(1)
def _sha256_of_nothing() -> str:
    return sha256(b"").hexdigest()


def _sha256(data: bytes) -> str:
    return sha256(data).hexdigest() if data else _sha256_of_nothing()
