"""What a replica says to the load balancer: whole HTTP/1.1 responses as bytes. Pure.

Rule: every answer to a recorded request names its id, replica and durability, and a refusal is never a 2xx.
"""

import orjson
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4

from gatebook.identity import utc

_STATUS = {
    200: "HTTP/1.1 200 OK\r\n",
    400: "HTTP/1.1 400 Bad Request\r\n",
    413: "HTTP/1.1 413 Content Too Large\r\n",
    503: "HTTP/1.1 503 Service Unavailable\r\n",
}
RETRY_AFTER_S = 1


def page(html: bytes, policy: str, recorded: str) -> tuple[str, bytes]:
    """The page at `/`; `recorded` are the header lines of `recorded_as`."""
    head = (
        f"{_STATUS[200]}Content-Type: text/html; charset=utf-8\r\nCache-Control: no-store\r\n"
        f"Content-Security-Policy: {policy}\r\nX-Content-Type-Options: nosniff\r\n"
        f"Referrer-Policy: no-referrer\r\n{recorded}"
    )
    return head, html


def receipt(status: int, id: str, replica: str, durability: str, spool: str = "") -> tuple[str, bytes]:
    """That a request was recorded: 200, or 413 when its body is not all there."""
    body = {
        "id": id,
        "received_at": utc(id),
        "replica": replica,
        "durability": durability,
    }
    return f"{_STATUS[status]}{_JSON}{recorded_as(id, replica, durability, spool)}", orjson.dumps(body) + b"\n"


def recorded_as(id: str, replica: str, durability: str, spool: str = "") -> str:
    """The header lines that every recorded answer has. `spool`, for the load balancer's log only: which one has it."""
    where = f"Gatebook-Spool: {spool}\r\n" if spool else ""
    return f"Gatebook-Id: {id}\r\nGatebook-Replica: {replica}\r\nGatebook-Durability: {durability}\r\n{where}"


def refusal(why: str) -> tuple[str, bytes]:
    """That a request was not recorded, or that nobody can know: try again."""
    body = {"error": "not recorded", "detail": why, "retry_after": RETRY_AFTER_S}
    return f"{_STATUS[503]}{_JSON}Retry-After: {RETRY_AFTER_S}\r\n", orjson.dumps(body) + b"\n"


def health(ok: bool, state: str) -> tuple[str, bytes]:
    return f"{_STATUS[200 if ok else 503]}{_JSON}", orjson.dumps({"state": state}) + b"\n"


def metrics(text: bytes) -> tuple[str, bytes]:
    """In the text format of Prometheus."""
    return f"{_STATUS[200]}Content-Type: {CONTENT_TYPE_PLAIN_0_0_4}\r\n", text


def not_for_you() -> tuple[str, bytes]:
    """To a client that came round the load balancer."""
    why = "this port takes requests from Gatebook's load balancer only"
    return f"{_STATUS[400]}{_JSON}", orjson.dumps({"error": "not recorded", "detail": why}) + b"\n"


_JSON = "Content-Type: application/json\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
