"""Lines of the load balancer's access log, as nginx.conf.template has it write them."""

import hashlib
from typing import Any

import orjson

from gatebook.identity import request_uuid

BEGIN = b'{"stamp":"'


def request_id(number: int) -> str:
    """The 32 digits of nginx's $request_id, always the same for a number."""
    return hashlib.md5(str(number).encode()).hexdigest()


def clock(ms: int) -> str:
    return f"{ms // 1000}.{ms % 1000:03}"


def id_of(number: int, ms: int) -> str:
    """The id of a request that was stamped at `ms`, Unix milliseconds."""
    return request_uuid(request_id(number), clock(ms))


def line(number: int, ms: int, **told: Any) -> bytes:
    """The line of an acknowledged request, but for what is `told`."""
    usual = {
        "stamp": f"{request_id(number)} {clock(ms)}",
        "status": 200,
        "request": f"GET /{number} HTTP/1.1",
        "peer": "127.0.0.1",
        "replica": "webapp-1",
        "durability": "committed",
        "spool": "",
        "upstreams": "unix:/run/webapp-1.sock",
        "upstream_statuses": "200",
        "seconds": 0.002,
        "received": 140,
        "sent": 320,
    }
    return orjson.dumps({**usual, **told}) + b"\n"
