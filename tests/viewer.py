"""The viewer's application over a real database, asked in plain calls; and what its answers have in common."""

import asyncio
import contextlib
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx

from gatebook.db.connect import connect, login
from gatebook.settings import Settings
from gatebook.viewer.api import application as api
from gatebook.viewer.database import connected

NOON = 1_795_435_200_123  # 2026-11-23T12:00:00.123Z in Unix milliseconds


def uuid7(unix_ms: int, tail: int) -> UUID:
    """A version 7 UUID of a point in time; `tail` orders those of one millisecond."""
    return UUID(int=unix_ms << 80 | 0x7 << 76 | 0b10 << 62 | tail)


class Viewer:
    """The application over a database of its own, asked in plain calls."""

    def __init__(self, database: Settings) -> None:
        self._stack = contextlib.AsyncExitStack()
        self._runner = asyncio.Runner()
        self._runner.run(self._open(database))

    async def _open(self, database: Settings) -> None:
        await (await connect(database, "viewer", 30)).close()
        self._owner = await asyncpg.connect(**{**login(database, "viewer"), **owner(database)})
        self._stack.push_async_callback(self._owner.close)
        self.app = api.application(database, await self._stack.enter_async_context(connected(database)))
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        client = httpx.AsyncClient(transport=transport, base_url="http://gate")
        self._client = await self._stack.enter_async_context(client)

    def close(self) -> None:
        self._runner.run(self._stack.aclose())
        self._runner.close()

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        return self._runner.run(self._client.request(method, path, **options))

    def get(self, path: str, headers: dict[str, str] | None = None, **query: object) -> httpx.Response:
        return self.request("GET", path, headers=headers, params=query or None)

    def sql(self, statement: str, *values: object) -> None:
        self._runner.run(self._owner.execute(statement, *values))

    def record(self, id: UUID | None = None, **columns: object) -> UUID:
        """Write a row; returns its id."""
        id = id or uuid7(NOON, uuid4().int & 0xFFFFFFFF)
        row = {**ROW, **columns, "id": id}
        marks = ", ".join(f"${number}" for number in range(1, len(row) + 1))
        self.sql(f"INSERT INTO requests ({', '.join(row)}) VALUES ({marks})", *row.values())
        return id

    def page(self, **query: object) -> tuple[list[UUID], str | None]:
        """The ids of a page, and the cursor of the next one."""
        answer = self.get("/_/api/requests", **query)
        assert answer.status_code == 200, answer.text
        return [UUID(item["id"]) for item in answer.json()["requests"]], answer.json()["next"]


ROW: dict[str, object] = {
    "body_size": 0,
    "peer": "192.0.2.7",
    "client": "198.51.100.9",
    "status": 200,
    "truncated": False,
    "replica": "webapp-1",
    "scheme": "http",
    "http_version": "1.1",
    "method": "GET",
    "target": "/",
    "headers": "[]",
    "body": b"",
}


def owner(database: Settings) -> dict[str, str]:
    return {"user": database.postgres_user, "password": database.postgres_password}


def is_problem(answer: httpx.Response, status: int) -> bool:
    """Whether this is a problem document (RFC 9457) of that status that says what to try."""
    assert answer.status_code == status, (answer.status_code, answer.text)
    assert answer.headers["content-type"] == "application/problem+json"
    document = answer.json()
    assert document["status"] == status and document["title"] and document["detail"] and document["hint"]
    return has_manners(answer)


def has_manners(answer: httpx.Response) -> bool:
    return answer.headers["cache-control"] == "no-store" and answer.headers["x-content-type-options"] == "nosniff"
