"""The next few events behind a position, out of the database, ready to be sent."""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg
import orjson

from gatebook.db.queries import QUERIES as DB_QUERIES
from gatebook.db.queries import named
from gatebook.filter import EVERYTHING, Expression, Parameters, condition
from gatebook.redact import Redaction
from gatebook.viewer.database import QUERIES as VIEWER_QUERIES
from gatebook.viewer.events.position import Key, Position
from gatebook.viewer.row import item, items

QUERIES = named("gatebook.viewer.events", "events.sql") | {"forgotten": DB_QUERIES["forgotten"]}
Fetch = Callable[..., Awaitable[list[asyncpg.Record]]]  # (statement, *values)

ROWS = 512  # of a portion at most, and
BYTES = 4 * 1024 * 1024  # of their targets and headers, unless one alone has more
_SENT_BYTES = 64 * 1024  # at a time, since that waits for a slow client in every listener's memory


@dataclass(frozen=True)
class Portion:
    """The events behind the position `after` up to the position `until`: all, or with a `gap` all that are left."""

    after: Position
    until: Position
    events: Sequence[tuple[Key, bytes]]
    more: bool  # there may be others already
    gap: bool = False  # something behind `after` has been pruned
    forgets: bool = False  # a batch without requests is among its own: something that was told may be forgotten


def blocks(events: Iterable[bytes]) -> Iterator[bytes]:
    """Events, joined and cut: a client sees a stream of bytes."""
    joined = b"".join(events)
    for start in range(0, len(joined), _SENT_BYTES):
        yield joined[start : start + _SENT_BYTES]


async def read(
    fetch: Fetch,
    after: Position,
    redaction: Redaction,
    rows: int = ROWS,
    expression: Expression = EVERYTHING,
    most_bytes: int = BYTES,
) -> Portion:
    """The portion behind `after`: at most `rows` requests, of which it has those that match, as `redaction` shows them.

    It ends early once it has `most_bytes` of targets and headers, but never before its first request.

    Raises what `fetch` raises.
    """
    batches = await fetch(QUERIES["batches"], after.epoch, after.xid + (not after.id), rows)
    gap = bool(batches) and (after.xid, not after.id) < (batches[0]["pruned"], True)
    forgets = any(not batch["ids"] for batch in batches)
    keys = [(batch["xid"], id) for batch in batches for id in sorted(map(str, batch["ids"]))]
    more = len(keys) >= rows
    keys = [key for key in keys if key > after.key]
    if not keys:
        until = Position(after.epoch, batches[-1]["xid"]) if batches else after
        return Portion(after, until, [], more, gap, forgets)
    last_of = {xid: id for xid, id in keys}
    keys = keys[:rows]
    wanted = len(keys)
    found = await _rows(fetch, keys, expression, most_bytes)
    more = more or len(keys) < wanted
    xid, id = keys[-1]
    until = Position(after.epoch, xid, "" if last_of[xid] == id else id)
    keys = [key for key in keys if key[1] in found]
    told = await items([found[id] for _, id in keys], redaction, item)
    events = [(key, encoded(after.epoch, key, one)) for key, one in zip(keys, told, strict=True)]
    return Portion(after, until, events, more, gap, forgets)


async def _rows(fetch: Fetch, keys: list[Key], expression: Expression, most_bytes: int) -> Mapping[str, asyncpg.Record]:
    """The rows of `keys` that match, by id. While they are too large together, the last half of the keys is removed."""
    parameters = Parameters(None, None, None, most_bytes)
    asked = QUERIES["rows"].format(columns=VIEWER_QUERIES["columns"], condition=condition(expression, parameters))
    while True:
        ids = [id for _, id in keys]
        rows = await fetch(asked, ids, min(ids), max(ids), *parameters.values[3:])
        if not rows or rows[0]["found"] == len(rows):
            return {str(row["id"]): row for row in rows}
        del keys[len(keys) // 2 or 1 :]


def encoded(epoch: str, key: Key, told: Mapping[str, Any]) -> bytes:
    """One event. JSON may have line ends between its values, which would end ours."""
    data = orjson.dumps(told).replace(b"\n", b" ").replace(b"\r", b" ")
    return b"id: %s-%d-%s\nevent: request\ndata: %s\n\n" % (epoch.encode(), key[0], key[1].encode(), data)
