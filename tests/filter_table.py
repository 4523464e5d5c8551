"""Random rows in a real table, and what conditions in SQL say of them."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any
from uuid import UUID

import asyncpg
from filter_rows import Row, batch
from postgres import PASSWORD

from gatebook.db.connect import connect
from gatebook.db.queries import QUERIES
from gatebook.filter import terms
from gatebook.settings import Settings

ROWS = 60
FLUSHED = ("id", "body_size", "peer", "client", "status", "truncated", "scheme", "http_version", "method", "target")
COLUMNS = ("method", "target", "peer", "client", "replica", "scheme", "status", "truncated", "body_size")


class Table:
    """Batches of random rows, each written when it is first asked for, their terms beside them."""

    def __init__(self, runner: asyncio.Runner, connection: asyncpg.Connection) -> None:
        self._runner = runner
        self._connection = connection
        self.batch = cache(self._written)

    def holding(self, conditions: list[str], values: list[Any]) -> list[set[UUID]]:
        """For each condition those of the rows $1 that it is true for."""
        told = ", ".join(f"{condition} AS c{place}" for place, condition in enumerate(conditions))
        statement = f"SELECT id, {told} FROM requests JOIN told USING (id) WHERE id = ANY ($1::uuid[])"
        rows = self._runner.run(self._connection.fetch(statement, *values))
        assert len(rows) == len(values[0])
        assert all(value is not None for row in rows for value in row), "a condition is never NULL"
        return [{row["id"] for row in rows if row[f"c{place}"]} for place in range(len(conditions))]

    def value(self, statement: str, *values: object) -> Any:
        """What one statement of one value says."""
        return self._runner.run(self._connection.fetchval(statement, *values))

    def write(self, rows: list[Row]) -> None:
        self._runner.run(self._write(rows))

    def _written(self, number: int) -> list[Row]:
        rows = batch(number, ROWS)
        self.write(rows)
        return rows

    async def _write(self, rows: list[Row]) -> None:
        for replica in {row.replica for row in rows}:
            own = [row for row in rows if row.replica == replica]
            columns = [[getattr(row, name) for row in own] for name in FLUSHED]
            rest = [[row.headers_json for row in own], [row.body for row in own], [None for _ in own], []]
            await self._connection.fetch(QUERIES["flush"], *columns, *rest, replica, "[]", "1:1:", 0)
        told = [(row.id, sorted(terms(as_read(row)))) for row in rows]
        await self._connection.executemany("INSERT INTO told VALUES ($1, $2)", told)


def as_read(row: Row) -> dict[str, object]:
    """The row as terms() gets it."""
    return {**{name: getattr(row, name) for name in COLUMNS}, "headers": row.headers_json}


@contextmanager
def table(database: Settings) -> Iterator[Table]:
    """An empty one, for the length of the block."""
    with asyncio.Runner() as runner:
        connection = runner.run(_opened(database))
        try:
            yield Table(runner, connection)
        finally:
            runner.run(connection.close())


async def _opened(database: Settings) -> asyncpg.Connection:
    await (await connect(database, "capture", 30)).close()  # migrates
    connection = await asyncpg.connect(
        host=database.postgres_host, user="gatebook", password=PASSWORD, database=database.postgres_db
    )
    await connection.execute("CREATE TABLE told (id uuid PRIMARY KEY, terms integer[] NOT NULL)")
    return connection
