"""What the API answers, for its OpenAPI document. Answers are made from rows directly; a test compares the two."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, Field, IPvAnyAddress

Wire = Annotated[str, Field(description="as sent, one character per byte (latin-1)")]


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
    headers: list[tuple[Wire, Wire]] = Field(description="name and value, in the order sent")
    body_size: int | None = Field(description="bytes the client sent; null when unknown")
    body_sha256: str | None = Field(description="of the whole body, in hexadecimal, when it is truncated")
    truncated: bool = Field(description="the body is not, or not wholly, kept")
    status: int = Field(description="what was answered")


class Page(BaseModel):
    """Recorded requests, newest first."""

    requests: list[Recorded]
    next: str | None = Field(description="the cursor of the page after this one; null at the end")


class Health(BaseModel):
    status: str
