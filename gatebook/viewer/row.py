"""A recorded request as the API shows it, in lists, alone, and in events alike.

`columns` of queries.sql is the select list that goes with it.
"""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import asyncpg
import orjson
from pydantic import BaseModel, Field, IPvAnyAddress

Wire = Annotated[str, Field(description="as sent, one character per byte (latin-1)")]
Pair = Annotated[list[Wire], Field(min_length=2, max_length=2)]


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


def item(row: asyncpg.Record) -> dict[str, Any]:
    """What orjson makes Recorded of."""
    told = {name: row[name] for name in Recorded.model_fields}
    told["id"] = str(row["id"])
    told["headers"] = orjson.Fragment(row["headers"])  # JSON already
    return told


def unpacked(row: asyncpg.Record) -> dict[str, Any]:
    """The same for whoever looks into it: headers as lists of name and value."""
    return {**item(row), "headers": orjson.loads(row["headers"])}
