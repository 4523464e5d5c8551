"""The trail: what was done with the records, by whom.

Rule: what has to be noted is noted before it is done, so that what cannot be noted is not done. No value that a client
sent is written into it.
"""

from typing import Any, Literal

from gatebook.identity import rfc3339
from gatebook.viewer.asker import Asker
from gatebook.viewer.database import QUERIES, Database

Act = Literal["signed in", "revealed"]


async def note(database: Database, act: Act, asker: Asker, about: str, requests: int | None = None) -> None:
    """Add a line about `requests` requests (None: not known); raises Unavailable."""
    await database.write("note", act, asker.who, asker.client, about, requests)


async def newest(database: Database, most: int, below: int | None = None) -> list[dict[str, Any]]:
    """The newest lines before the one of id `below`, as schema.Act describes them; raises Unavailable."""
    rows = await database.fetch(QUERIES["trail"], below, most)
    return [{**row, "at": rfc3339(row["at"])} for row in rows]
