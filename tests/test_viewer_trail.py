"""What is done with the records is noted, and can be read."""

import asyncio

from gatebook.db.connect import connect
from gatebook.settings import Settings
from gatebook.viewer import trail
from gatebook.viewer.asker import ANYBODY, Asker, asker, known_as
from gatebook.viewer.database import connected


def test_the_trail_says_who_did_what_from_where(database: Settings) -> None:
    async def story() -> list[tuple[object, ...]]:
        await (await connect(database, "viewer", 10)).close()
        async with connected(database) as viewer:
            await trail.note(viewer, "revealed", Asker("session", "192.0.2.7"), "/_/api/requests", 3)
            await trail.note(viewer, "signed in", Asker("operator", None), "")
            found = await viewer.fetch("SELECT act, who, host(client), about, requests FROM trail ORDER BY id")
            return [tuple(row) for row in found]

    assert asyncio.run(story()) == [
        ("revealed", "session", "192.0.2.7", "/_/api/requests", 3),
        ("signed in", "operator", None, "", None),
    ]


def test_who_asks_is_what_the_guard_says_and_from_where_is_the_load_balancers_word() -> None:
    def scope(*forwarded: bytes) -> dict[str, object]:
        return {"type": "http", "headers": [(b"x-forwarded-for", value) for value in forwarded]}

    assert asker(scope()) == (ANYBODY, None)
    assert asker(scope(b"192.0.2.7")) == (ANYBODY, "192.0.2.7")
    assert asker(scope(b"evil, 2001:db8::1")) == (ANYBODY, "2001:db8::1")
    assert asker(scope(b"evil")) == (ANYBODY, None)
    assert asker(known_as(scope(b"192.0.2.7"), "token ci")) == ("token ci", "192.0.2.7")
