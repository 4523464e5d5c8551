"""Where a listener begins: at its position if that still means something, else with a gap that says why not."""

import orjson

from gatebook.identity import utc
from gatebook.viewer.events.portion import QUERIES, Fetch
from gatebook.viewer.events.position import Position


async def start(fetch: Fetch, asked: Position | None) -> tuple[Position, bytes]:
    """The position to begin at, and the `gap` event to begin with, if any. Without `asked`: from now on.

    Raises what `fetch` raises.
    """
    [now] = await fetch(QUERIES["now"], asked and asked.xid, (asked and asked.id) or None)
    newest = Position(now["epoch"], now["newest"])
    if asked is None:
        return newest, b""
    if asked.epoch != newest.epoch:
        return newest, gap(asked, newest, "the position is of another database, or of this one before it was restored")
    if asked.xid >= now["next"]:
        return newest, gap(asked, newest, "the position is of a future of this database that has not come")
    if asked.id and not now["held"]:
        oldest = Position(newest.epoch, max(asked.xid - 1, now["pruned"]))
        return oldest, gap(asked, oldest, "the batch of the position is not there any more")
    return asked, b""


def gap(last: Position, at: Position, detail: str) -> bytes:
    """The event that tells a listener at `last` that it is not known what followed; it goes on at `at`."""
    data = orjson.dumps({"detail": detail, "since": utc(last.id) if last.id else None})
    return b"id: %s\nevent: gap\ndata: %s\n\n" % (str(at).encode(), data)
