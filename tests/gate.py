"""What an audit compares, for tests to fill: a database, the load balancer's log, a spool folder."""

import asyncio
import contextlib
import tempfile
import time
from collections.abc import Awaitable
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncpg

from gatebook.db.connect import connect
from gatebook.settings import Settings
from gatebook.spool import Spool
from gatebook.viewer.audit import Audit
from gatebook.viewer.audit.verdict import OUTCOMES, Verdict
from gatebook.viewer.database import connected


class Gate:
    """A database, and folders for the log and the spool, which a test fills as it likes."""

    def __init__(self, settings: Settings) -> None:
        self._stack = contextlib.AsyncExitStack()
        self._runner = asyncio.Runner()
        self._places = tempfile.TemporaryDirectory()
        self.now_ms = time.time_ns() // 10**6
        self.settings = settings
        self.run(self._open())
        self.clear()

    async def _open(self) -> None:
        await (await connect(self.settings, "viewer", 30)).close()
        login = {"host": self.settings.postgres_host, "database": self.settings.postgres_db}
        self.owner = await asyncpg.connect(
            **login, user=self.settings.postgres_user, password=self.settings.postgres_password
        )
        self._stack.push_async_callback(self.owner.close)
        self.database = await self._stack.enter_async_context(connected(self.settings))

    def run(self, work: Awaitable[Any]) -> Any:
        async def awaited() -> Any:
            return await work

        return self._runner.run(awaited())

    def close(self) -> None:
        self.run(self._stack.aclose())
        self._runner.close()
        self._places.cleanup()

    def clear(self) -> None:
        """An empty table, no log, no spool."""
        self.run(self.owner.execute("TRUNCATE requests, forgotten"))
        folder = Path(tempfile.mkdtemp(dir=self._places.name))
        (folder / "spool").mkdir()
        self.log = folder / "access.log"
        self.settings = replace(self.settings, access_log=self.log, spool=folder / "spool")

    def write(self, *lines: bytes) -> None:
        self.log.write_bytes(b"".join(lines))

    def record(self, *ids: str) -> None:
        self.run(self._insert(ids))

    async def _insert(self, ids: tuple[str, ...]) -> None:
        await self.owner.execute(
            "INSERT INTO requests"
            " (id, peer, client, status, truncated, replica, scheme, http_version, method, target, headers)"
            " SELECT unnest($1::uuid[]), '::1', '::1', 200, false, 'r', 'http', '1.1', 'GET', '/', '[]'",
            ids,
        )

    def forget(self, *ids: str) -> None:
        """Note that these were deleted for good."""
        act = self.run(
            self.owner.fetchval(
                "INSERT INTO trail (act, who, about) VALUES ('forgotten', 'operator', 'path') RETURNING id"
            )
        )
        self.run(self.owner.execute("INSERT INTO forgotten SELECT unnest($1::uuid[]), $2", ids, act))

    def spool(self, *ids: str) -> str:
        """Keep requests in a spool of this folder; returns the folder's id."""
        spool = Spool(self.settings.spool, 2**30)
        spool.append(
            "r", [(id, 0, "::1", "::1", 200, False, "http", "1.1", "GET", "/", "[]", b"", None, None) for id in ids]
        )
        spool.close()
        return spool.identity

    def audit(self, since_s: int | None = None, settings: Settings | None = None) -> Verdict:
        verdict = self.run(Audit(settings or self.settings, self.database, since_s).run())
        assert list(verdict.counts) == list(OUTCOMES)
        assert verdict.counts["acknowledged"] == sum(verdict.counts[name] for name in OUTCOMES[1:7])
        return verdict
