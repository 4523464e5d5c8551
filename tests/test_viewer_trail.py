"""What is done with the records is noted, and can be read."""

import asyncio
import contextlib
from collections.abc import Iterator

import pytest
from postgres import Cluster
from viewer import Viewer, is_problem

from gatebook.db.connect import connect
from gatebook.settings import Settings
from gatebook.viewer import trail
from gatebook.viewer.api import schema
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


@pytest.fixture(scope="module")
def viewer(cluster: Cluster) -> Iterator[Viewer]:
    with contextlib.closing(Viewer(cluster.new_database())) as made:
        yield made


def test_the_trail_is_told_newest_first_and_page_by_page(viewer: Viewer) -> None:
    viewer.sql("TRUNCATE trail CASCADE")
    for number in range(7):
        viewer.sql(
            "INSERT INTO trail (at, act, who, client, about, requests, reason) VALUES"
            " ('2026-11-23T12:00:00.1239Z', 'forgotten', 'operator', NULL, $1, $2, 'asked for')",
            f"path {number}",
            number,
        )
    viewer.sql("INSERT INTO trail (act, who, client, about) VALUES ('revealed', 'token ci', '2001:db8::1', '/_/')")
    seen, cursor = [], None
    while True:
        page = viewer.get("/_/api/trail", limit=3, **({"cursor": cursor} if cursor else {})).json()
        seen += page["acts"]
        viewer.sql("INSERT INTO trail (act, who, about) VALUES ('signed in', 'session', '')")  # moves nothing
        if (cursor := page["next"]) is None:
            break
        assert len(page["acts"]) == 3
    assert [act["about"] for act in seen] == ["/_/", *(f"path {number}" for number in range(6, -1, -1))]
    newest, *_, oldest = seen
    assert (newest["who"], newest["client"], newest["requests"], newest["reason"]) == (
        "token ci", "2001:db8::1", None, None,
    )  # fmt: skip
    assert {name: oldest[name] for name in oldest if name != "id"} == {
        "at": "2026-11-23T12:00:00.123Z",
        "act": "forgotten",
        "who": "operator",
        "client": None,
        "about": "path 0",
        "requests": 0,
        "reason": "asked for",
    }
    assert set(oldest) == set(schema.Act.model_fields)


@pytest.mark.parametrize(
    "query", [{"limit": 0}, {"limit": 501}, {"cursor": "0"}, {"cursor": "9" * 19}, {"since": "1h"}]
)
def test_what_the_trail_is_not_asked_by_is_refused(viewer: Viewer, query: dict[str, object]) -> None:
    assert is_problem(viewer.get("/_/api/trail", **query), 400)


def test_the_highest_cursor_there_is_begins_at_the_newest(viewer: Viewer) -> None:
    assert viewer.get("/_/api/trail", cursor="9" * 18).json() == viewer.get("/_/api/trail").json()
