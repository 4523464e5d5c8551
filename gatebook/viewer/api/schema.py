"""What the API answers, for its OpenAPI document. Answers are made from rows directly; a test compares the two."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, Field, IPvAnyAddress

from gatebook.viewer.api.parameters import CURSOR
from gatebook.viewer.row import Recorded, Wire


class Whole(Recorded):
    """One recorded request, with its body."""

    body: str | None = Field(
        description="what is kept of it, as `body_encoding` says and masked as all else; null when nothing is kept, or "
        "over 1 MiB of it, which /_/api/requests/{id}/body has"
    )
    body_encoding: Literal["utf-8", "base64"] | None = Field(description="utf-8: as text, since it is valid UTF-8")


class Page(BaseModel):
    """Recorded requests, newest first."""

    requests: list[Recorded]
    next: str | None = Field(pattern=CURSOR, description="the cursor of the page after this one; null at the end")
    complete: bool = Field(
        description="false: there was no time to look further than `reached`, and `next` goes on from there"
    )
    reached: datetime | None = Field(description="everything down to this time was looked at; null at the end")


class Neighbours(BaseModel):
    """What comes before and after a request."""

    newer: UUID | None
    older: UUID | None
    complete: bool = Field(description="false: there was no time to look at all, so a null is not certain")


class Group(BaseModel):
    """Requests of one stretch of time that have one value."""

    start: datetime | None = Field(description="when the stretch begins; null without `step`")
    value: str | int | None = Field(description="what they have in common; null without `by`")
    count: int
    bytes: int = Field(description="of their bodies, as the clients sent them")


class Counts(BaseModel):
    """How many requests there are from `reached` up to the cursor."""

    groups: list[Group] = Field(description="by start, then by count")
    others: int = Field(description="requests with other values than the most frequent ones")
    next: str | None = Field(
        pattern=CURSOR, description="the cursor that counts the rest; null when everything is counted"
    )
    complete: bool = Field(description="false: there is more to count, see `next`")
    reached: datetime | None = Field(description="everything down to this time is counted; null at the end")


class FilterField(BaseModel):
    """One field of a filter."""

    name: str
    operators: list[str]
    help: str
    example: str


class Fields(BaseModel):
    """All fields of a filter."""

    fields: list[FilterField]


class Problem(BaseModel):
    """What went wrong (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str = Field(description="what happened, with the value")
    hint: str = Field("", description="what to try")
    position: int = Field(
        0, description="of a filter: the character (Unicode code point) where it went wrong, counted from 0"
    )
    expected: str = Field("", description="of a filter: what could have stood there")


class Health(BaseModel):
    status: str


class AuditedLog(BaseModel):
    bytes: int = Field(description="of the pieces that were read")
    lines: int = Field(description="of the span")


class AuditCounts(BaseModel):
    """Requests by what became of them. Each that was acknowledged is one of the six that follow it."""

    acknowledged: int = Field(description="answered 200 or 413, as committed or spooled")
    recorded: int = Field(description="in the table")
    spooled: int = Field(description="in a spool, to be drained into the table")
    forgotten: int = Field(description="deleted for good by an operator, as the trail tells")
    expired: int = Field(description="of a day that was dropped")
    unknown: int = Field(description="in a spool folder that the viewer cannot see; not proven")
    missing: int = Field(description="nowhere")
    twice: int = Field(description="rows, or acknowledgements, of an id that there is already")
    retried: int = Field(description="tried on more than one replica, or more than once")
    refused: int = Field(description="answered 5xx: nobody was told that they are recorded")
    rejected: int = Field(description="answered 4xx by the load balancer itself")
    unlogged: int = Field(description="rows that no line of the log names")
    unreadable: int = Field(description="lines of the log that are torn")


class MissingRequest(BaseModel):
    """What the log tells of a request that is missing."""

    id: UUID
    received_at: datetime
    request: Wire
    peer: str
    replica: str
    durability: str
    status: int


class Audit(BaseModel):
    """What the load balancer acknowledged, against what is recorded."""

    proven: bool = Field(description="nothing is missing and nothing came twice")
    sentence: str = Field(description="what was proven, and what was not")
    from_: datetime = Field(alias="from", description="the span begins: as asked, or with the log if that is later")
    until: datetime = Field(description="the span ends: when the audit was asked for")
    log: AuditedLog
    counts: AuditCounts
    missing: list[MissingRequest] = Field(description="the first hundred")
    twice: list[UUID] = Field(description="ids acknowledged twice, the first hundred")


class GateReplicas(BaseModel):
    """The replicas behind PROXY_UPSTREAM."""

    answering: int = Field(description="those that say they can record")
    silent: int = Field(description="those that cannot, or do not answer; nobody at all counts as one")
    silent_names: list[str] = Field(description="of the first five of these: of their sockets, or their addresses")


class GateSpool(BaseModel):
    """All spools of the viewer's GATEBOOK_SPOOL."""

    rows: int = Field(description="requests that wait to be written into the database")
    bytes: int = Field(description="on disk")
    files: int = Field(description="spools with something in them")


class GateAudit(BaseModel):
    """What this viewer's last audit found; /_/api/audit makes a new one."""

    finished_at: datetime
    proven: bool = Field(description="nothing is missing and nothing came twice")
    sentence: str
    counts: AuditCounts


class Gate(BaseModel):
    """How the gate is."""

    status: Literal["ok", "warning", "trouble"] = Field(
        description="warning: something should be looked at; trouble: requests are refused or missing, or the database "
        "does not answer"
    )
    words: str = Field(description="all that is wrong, in one sentence; empty when nothing is")
    replicas: GateReplicas
    spool: GateSpool | None = Field(description="null when the viewer cannot read it")
    database: bool = Field(description="whether it answers the viewer")
    last_audit: GateAudit | None = Field(description="null when there was none since the viewer was started")
    oldest: datetime | None = Field(
        description="of the oldest request that is kept, as of a minute ago at most; null when there is none, "
        "or that is not known"
    )
    checked_at: datetime


class Attempt(BaseModel):
    """One try of the load balancer to hand a request on."""

    upstream: str = Field(description="where to, as the load balancer names it")
    status: int | None = Field(description="what came back; 502 and 504 stand for no answer; null when it is not known")


class Passage(BaseModel):
    """How a request came through the load balancer, as its log tells."""

    attempts: list[Attempt] = Field(description="in turn; none when the load balancer answered alone")
    seconds: float = Field(description="from the first byte of the request to the last of the answer")
    received_bytes: int = Field(description="of the whole request")
    sent_bytes: int = Field(description="of the whole answer")
    status: int = Field(description="what was answered")
    durability: str = Field(description="committed or spooled; empty when it was not recorded")
    replica: str = Field(description="who recorded it; empty when nobody did")


class Act(BaseModel):
    """A line of the trail."""

    id: int
    at: datetime
    act: str = Field(description="signed in, token created, token revoked, revealed, forgotten")
    who: str = Field(description="session, token NAME, operator, or anybody where nobody is asked who they are")
    client: IPvAnyAddress | None = Field(description="from where; null: on the machine itself")
    about: str = Field(description="the path asked for, the token's name, the fields of the filter")
    requests: int | None = Field(description="how many it was about; null where that is not known")
    reason: str | None = Field(description="as given by who did it")


TRAIL_CURSOR = "^[1-9][0-9]{0,17}$"


class Trail(BaseModel):
    """What was done with the records, newest first."""

    acts: list[Act]
    next: str | None = Field(pattern=TRAIL_CURSOR, description="the cursor of the page after this one; null at the end")
