"""Where a listener is in the stream of commits: `EPOCH-XID-ID`, which is also the id of an event.

The events up to and with that request of that transaction have been told. Without an ID: all of that transaction, and
of those before it. The order is that of transaction ids, and within one of them that of request ids.
"""

import re
from typing import NamedTuple

_SHAPE = re.compile(
    r"([0-9a-f]{8})-(\d{1,20})-([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})?", re.ASCII
)
_LARGEST_XID = 2**64 - 1
_BEHIND_ALL = "~"  # sorts behind every hexadecimal digit

Key = tuple[int, str]


class Position(NamedTuple):
    """One place in the stream. `epoch` is that of the SQL function epoch(); `id` "" when the whole batch was told."""

    epoch: str
    xid: int
    id: str = ""

    @property
    def key(self) -> Key:
        """Orders the positions of one epoch, and the events between them: (xid, id)."""
        return self.xid, self.id or _BEHIND_ALL

    def __str__(self) -> str:
        return f"{self.epoch}-{self.xid}-{self.id}"


def parse(text: str) -> Position:
    """The position that `text` says; raises ValueError."""
    match = _SHAPE.fullmatch(text)
    if not match or int(match[2]) > _LARGEST_XID:
        raise ValueError("this is no position in the stream of events")
    return Position(match[1], int(match[2]), match[3] or "")
