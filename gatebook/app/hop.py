"""Split what nginx sends to a replica: the private hop, not the client's bytes as such.

Rules: nginx frames this hop always alike: a request line of its own, `Name: value` lines, an empty line, Content-Length
bytes. Its private lines come first and have a blank in their names, which nginx accepts from no client; whatever
follows the first line that is not private is the client's, name and value as sent. Pure: bytes in, values out.
"""

from collections.abc import Sequence
from typing import NamedTuple

_STAMP = "Gatebook Stamp: "
_REQUEST = "Gatebook Request: "
_OVERSIZE = "Gatebook Oversize: "
_HEADER = "Gatebook Header "
_LENGTH = "Content-Length: "


class NotFromTheLoadBalancer(ValueError):
    """The request has no stamp: it did not come through the load balancer."""


class Hop(NamedTuple):
    """One request as the load balancer hands it over. Text is latin-1: one character per byte."""

    request_id: str  # 32 hexadecimal digits, random: nginx's $request_id
    msec: str  # Unix time in seconds with three decimals: nginx's $msec
    scheme: str
    peer: str  # who connected to the load balancer: an IP address
    line: str  # the client's request line as sent
    headers: list[list[str]]  # [[name, value], ...]; first those whose place nginx does not tell
    body_length: int  # bytes that follow on the hop
    oversize: bool  # the body was larger than nginx reads, and was left out
    tls: Sequence[str] = ()  # nginx's names of the protocol and the cipher, then the server name; none without TLS


def split(head: bytes) -> Hop:
    """Take a hop's head apart, its last line's CRLF included, the empty line not.

    Raises NotFromTheLoadBalancer when it has no stamp.
    """
    lines = head.decode("latin-1").split("\r\n")  # the last one is empty
    if len(lines) < 4 or not lines[1].startswith(_STAMP):
        raise NotFromTheLoadBalancer(lines[0])
    request_id, msec, scheme, peer, *tls = lines[1][len(_STAMP) :].split(" ")
    at = 3
    oversize = lines[at].startswith(_OVERSIZE)
    at += oversize
    headers = []
    while lines[at].startswith(_HEADER):
        headers.append(lines[at][len(_HEADER) :].split(": ", 1))
        at += 1
    body_length = 0
    if lines[at].startswith(_LENGTH):
        body_length = int(lines[at][len(_LENGTH) :])
        at += 1
    headers += [line.split(": ", 1) for line in lines[at:-1]]
    line = lines[2][len(_REQUEST) :]
    return Hop(request_id, msec, scheme, peer, line, headers, 0 if oversize else body_length, oversize, tls)
