"""A recorded request as the API shows it, in lists, alone, and in events alike.

`columns` of queries.sql is the select list that goes with it.

Rule: nothing that a client sent leaves here but through a Redaction, which decides what of it is seen.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, Any, TypeVar
from uuid import UUID

import asyncpg
import orjson
from pydantic import BaseModel, Field, IPvAnyAddress

from gatebook.redact import Redaction

Wire = Annotated[str, Field(description="as sent, one character per byte (latin-1)")]
Pair = Annotated[list[Wire], Field(min_length=2, max_length=2)]


class Tls(BaseModel):
    """How a request came over TLS, as the load balancer saw it."""

    version: str = Field(description="such as TLSv1.3")
    cipher: str = Field(description="OpenSSL's name of the cipher suite")
    server_name: str | None = Field(description="which server the client asked for (SNI); `?`: what is no host name")


class Recorded(BaseModel):
    """One recorded request, without its body."""

    id: UUID
    received_at: datetime | None = Field(
        description="when it was complete at the load balancer, UTC, to the millisecond"
    )
    replica: str = Field(description="the replica that recorded it")
    peer: IPvAnyAddress = Field(description="who connected to the load balancer")
    client: IPvAnyAddress = Field(description="who that was, seen through the trusted proxies")
    scheme: str
    http_version: str
    method: Wire
    target: Wire
    headers: list[Pair] = Field(description="name and value, in the order sent")
    body_size: int | None = Field(description="bytes the client sent; null when unknown")
    body_sha256: str | None = Field(description="of the whole body, in hexadecimal, when it is truncated")
    truncated: bool = Field(description="the body is not, or not wholly, kept")
    status: int = Field(description="what was answered")
    tls: Tls | None = Field(description="null: it came without TLS")
    redacted: bool = Field(description="some values here are masked, see GATEBOOK_REDACT; `reveal=1` shows them")


T = TypeVar("T")

_ASIDE_CHARACTERS = 64 * 1024
_COLUMNS = tuple(name for name in Recorded.model_fields if name != "redacted")


def item(row: asyncpg.Record, redaction: Redaction) -> dict[str, Any]:
    """What orjson makes Recorded of, as `redaction` lets it be seen."""
    told = {name: row[name] for name in _COLUMNS}
    told["id"] = str(row["id"])
    told["tls"] = row["tls"] and orjson.loads(row["tls"])
    told["target"], target_masked = redaction.target(row["target"])
    told["headers"], headers_masked = orjson.Fragment(row["headers"]), False  # JSON already
    if redaction.may_mask(row["headers"]):
        headers, headers_masked = redaction.headers(orjson.loads(row["headers"]))
        told["headers"] = headers if headers_masked else told["headers"]
    told["redacted"] = target_masked or headers_masked
    return told


async def items(
    rows: Sequence[asyncpg.Record], redaction: Redaction, make: Callable[[asyncpg.Record, Redaction], T]
) -> list[T]:
    """What `make` makes of each; while others are answered, where that takes long: a MiB of the worst takes 0.5 s."""
    if sum(len(row["headers"]) + len(row["target"]) for row in rows) < _ASIDE_CHARACTERS:
        return [make(row, redaction) for row in rows]
    return await asyncio.to_thread(lambda: [make(row, redaction) for row in rows])


def unpacked(row: asyncpg.Record, redaction: Redaction) -> dict[str, Any]:
    """The same for whoever looks into it: headers as lists of name and value."""
    told = item(row, redaction)
    return told if isinstance(told["headers"], list) else {**told, "headers": orjson.loads(row["headers"])}
