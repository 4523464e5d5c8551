"""The schema, its migrations and its roles, on a real PostgreSQL."""

import asyncio
import contextlib
import re
import subprocess
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import TypeVar

import asyncpg
import pytest
from postgres import PASSWORD, Cluster, binaries

from gatebook.db import migrate
from gatebook.db.connect import connect, login
from gatebook.db.queries import QUERIES
from gatebook.errors import UserError
from gatebook.identity import request_uuid
from gatebook.settings import Settings

SQL = Path(str(resources.files("gatebook.db")))
PASSWORDS = {"gatebook_capture": "one", "gatebook_viewer": "two", "gatebook_index": "three", "gatebook_keeper": "four"}
ROLES = list(PASSWORDS)
T = TypeVar("T")
DAY_MS = 24 * 3600 * 1000


Story = Callable[[Callable[[str], Awaitable[asyncpg.Connection]]], Awaitable[T]]


def play(settings: Settings, story: Story[T]) -> T:
    """Run `story(role)`; `await role(NAME)` connects as "owner", "capture" or "viewer", and is closed at the end."""

    async def run() -> T:
        async with contextlib.AsyncExitStack() as opened:

            async def role(name: str) -> asyncpg.Connection:
                connection = await (as_owner(settings) if name == "owner" else connect(settings, name, 30))
                opened.push_async_callback(connection.close)
                return connection

            return await story(role)

    return asyncio.run(run())


async def as_owner(settings: Settings) -> asyncpg.Connection:
    return await asyncpg.connect(
        host=settings.postgres_host, user="gatebook", password=PASSWORD, database=settings.postgres_db
    )


def schema(settings: Settings) -> str:
    """The database as pg_dump tells it, without what differs from run to run."""
    command = [
        binaries() / "pg_dump",
        "--schema-only",
        "-h",
        settings.postgres_host,
        "-U",
        "gatebook",
        settings.postgres_db,
    ]
    dump = subprocess.run(command, env={"PGPASSWORD": PASSWORD}, capture_output=True, text=True, check=True).stdout
    return re.sub(r"^\\(un)?restrict .*\n", "", dump, flags=re.MULTILINE)


def uuid_at(ms: int, number: int = 0) -> str:
    return request_uuid(f"{number:019x}".ljust(32, "0"), f"{ms // 1000}.{ms % 1000:03}")


def row(id: str) -> list[object]:
    """The flush statement's columns, for one plain request."""
    values = [id, 0, "192.0.2.1", "192.0.2.1", 200, False, "http", "1.1", "GET", "/", "[]", b"", None, None]
    return [[value] for value in values]


def now_ms() -> int:
    return time.time_ns() // 10**6


def test_init_sql_equals_all_migrations_together(cluster: Cluster) -> None:
    by_init, by_migrations = cluster.new_database(), cluster.new_database()
    cluster.psql((SQL / "init.sql").read_text(), by_init.postgres_db)

    async def story(role) -> list[str]:
        return await migrate.migrate(await role("owner"), PASSWORDS)

    assert play(by_migrations, story) == migrate.names()
    assert schema(by_init) == schema(by_migrations)
    names = "SELECT string_agg(name, ' ' ORDER BY name) FROM migrations"
    assert cluster.psql(names, by_init.postgres_db) == cluster.psql(names, by_migrations.postgres_db)


def test_an_older_database_is_brought_up_to_date_once_whoever_starts_first(database: Settings, tmp_path: Path) -> None:
    for name in migrate.names():
        (tmp_path / f"{name}.sql").write_text(migrate.MIGRATIONS.joinpath(f"{name}.sql").read_text())

    async def upgrade(role) -> list[str]:
        owner = await role("owner")
        assert not await migrate.is_current(owner, ROLES, tmp_path)
        return await migrate.migrate(owner, PASSWORDS, tmp_path)

    assert play(database, upgrade) == migrate.names()
    (tmp_path / "0999_pre_next_release.sql").write_text("ALTER TABLE requests ADD note text; SELECT pg_sleep(0.2);")

    async def all_at_once(role) -> list[list[str]]:
        return await asyncio.gather(*(upgrade(role) for _ in range(5)))

    assert sorted(play(database, all_at_once)) == [[], [], [], [], ["0999_pre_next_release"]]

    async def is_current(role) -> bool:
        owner = await role("owner")
        return await migrate.is_current(owner, ROLES, tmp_path) and await migrate.is_current(owner, ROLES)

    assert play(database, is_current)  # also for the older release, which may still run


def test_all_parts_may_start_at_once_on_an_empty_database(database: Settings) -> None:
    async def run() -> None:
        for connection in await asyncio.gather(*(connect(database, "capture", 30) for _ in range(8))):
            await connection.close()

    asyncio.run(run())


def test_a_migration_that_fails_leaves_nothing(database: Settings, tmp_path: Path) -> None:
    (tmp_path / "0001_pre_good.sql").write_text("CREATE TABLE good ();")
    (tmp_path / "0002_pre_bad.sql").write_text("CREATE TABLE bad (); SELECT 1/0;")

    async def story(role) -> object:
        owner = await role("owner")
        with pytest.raises(asyncpg.PostgresError):
            await migrate.migrate(owner, {}, tmp_path)
        return await owner.fetchval("SELECT to_regclass('good')")

    assert play(database, story) is None


def test_the_working_roles_can_do_their_work_and_no_more(database: Settings) -> None:
    async def story(role) -> None:
        capture = await role("capture")
        await capture.fetch(QUERIES["flush"], *row(uuid_at(now_ms())), "webapp-1", "[]", "1:1:", 0)
        await capture.execute(QUERIES["keep_house"])
        viewer = await role("viewer")
        assert await viewer.fetchval("SELECT count(*) FROM requests") == 1
        forbidden = {
            capture: [
                "DELETE FROM requests",
                "UPDATE requests SET status = 1",
                "DROP TABLE requests",
                "TRUNCATE batches",
            ],
            viewer: ["DELETE FROM requests", "DELETE FROM search_blocks", "SELECT keep_house()", "DELETE FROM trail"],
            await role("index"): ["DELETE FROM requests", "INSERT INTO batches VALUES (default)"],
            await role("keeper"): ["UPDATE requests SET status = 1", "DELETE FROM trail", "DELETE FROM forgotten"],
        }
        for connection, statements in forbidden.items():
            for statement in [*statements, "CREATE TABLE mine ()", "SELECT make_day(current_date)"]:
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await connection.execute(statement)

    play(database, story)


def test_a_wrong_password_and_an_absent_database_are_said_so(database: Settings) -> None:
    for wrong, words in [
        (replace(database, postgres_password="wrong"), "refuses the user gatebook"),
        (replace(database, postgres_user="nobody"), "refuses the user nobody"),
        (replace(database, postgres_db="absent"), "there is no database absent"),
        (replace(database, postgres_host="/nowhere"), "no database answered at /nowhere:5432"),
    ]:
        with pytest.raises(UserError, match=words):
            asyncio.run(connect(wrong, "capture", 1))


def test_a_user_that_may_not_migrate_is_told_so(database: Settings, cluster: Cluster) -> None:
    cluster.psql("CREATE ROLE poor LOGIN PASSWORD 'poor'")
    cluster.psql("GRANT CREATE ON SCHEMA public TO poor", database.postgres_db)
    poor = replace(database, postgres_user="poor", postgres_password="poor")
    with pytest.raises(UserError, match="could not be brought up to date: permission denied"):
        asyncio.run(connect(poor, "capture", 1))


def test_a_changed_password_reaches_the_working_roles(own_cluster: Cluster) -> None:
    settings = own_cluster.new_database()
    play(settings, lambda role: role("capture"))
    own_cluster.psql("ALTER ROLE gatebook PASSWORD 'another'")
    changed = replace(settings, postgres_password="another")
    play(changed, lambda role: role("capture"))
    with pytest.raises(asyncpg.InvalidPasswordError):
        asyncio.run(asyncpg.connect(**login(settings, "capture")))


def test_rows_lie_in_their_days_partition_and_days_are_made_ahead(database: Settings) -> None:
    async def story(role) -> None:
        capture = await role("capture")
        for number, days in enumerate([0, 1, 7, 30, -400]):
            id = uuid_at(now_ms() + days * DAY_MS, number)
            await capture.fetch(QUERIES["flush"], *row(id), "webapp-1", "[]", "1:1:", 0)
        rows = await capture.fetch("""
            SELECT tableoid::regclass::text AS lies_in, to_char(received_at, '"requests_"YYYYMMDD') AS day
            FROM requests ORDER BY id
        """)
        assert [lies_in == day for lies_in, day in rows] == [False, True, True, True, False]
        assert {lies_in for lies_in, day in rows if lies_in != day} == {"requests_default"}

    play(database, story)


def test_a_day_made_late_takes_over_what_the_default_partition_holds(database: Settings) -> None:
    id = uuid_at(now_ms() + 30 * DAY_MS)

    async def story(role) -> None:
        capture = await role("capture")
        await capture.fetch(QUERIES["flush"], *row(id), "webapp-1", "[]", "1:1:", 0)
        owner = await role("owner")
        await owner.execute("SELECT make_day((now() AT TIME ZONE 'UTC')::date + 30)")
        lies_in = await owner.fetchval("SELECT tableoid::regclass::text FROM requests WHERE id = $1", id)
        assert re.fullmatch(r"requests_\d{8}", lies_in)

    play(database, story)


def test_housekeeping_prunes_batches_after_a_day(database: Settings) -> None:
    async def story(role) -> None:
        capture = await role("capture")
        for number in range(4):
            await capture.fetch(QUERIES["flush"], *row(uuid_at(now_ms(), number)), "webapp-1", "[]", "1:1:", 0)
        owner = await role("owner")
        await owner.execute("""
            UPDATE batches SET written_at = now() - interval '25 hours'
            WHERE xid IN (SELECT xid FROM batches ORDER BY xid LIMIT 3)
        """)
        await capture.execute(QUERIES["keep_house"])
        assert await owner.fetchval("SELECT count(*) FROM batches") == 1

    play(database, story)


def test_how_far_batches_are_pruned_is_known_for_as_long_as_their_ids_mean_anything(database: Settings) -> None:
    async def story(role) -> None:
        capture, owner, viewer = await role("capture"), await role("owner"), await role("viewer")

        async def prune(rows: int) -> list[object]:
            for number in range(rows):
                await capture.fetch(QUERIES["flush"], *row(uuid_at(now_ms(), number)), "webapp-1", "[]", "1:1:", 0)
            xids = [batch["xid"] for batch in await owner.fetch("SELECT xid FROM batches ORDER BY xid")]
            await owner.execute("UPDATE batches SET written_at = now() - interval '25 hours' WHERE xid < $1", xids[-1])
            await capture.execute(QUERIES["keep_house"])
            assert await viewer.fetchval("SELECT last FROM batches_pruned WHERE epoch = epoch()") == xids[-2]
            return xids

        first = await prune(3)
        await capture.execute(QUERIES["keep_house"])  # nothing to prune: nothing changes
        assert await viewer.fetchval("SELECT last FROM batches_pruned") == first[-2]
        await prune(2)
        await owner.execute("UPDATE batches_pruned SET epoch = 'restored', last = '9000000000'")
        await prune(2)  # what another cluster pruned says nothing of this one

    play(database, story)


def test_the_epoch_names_a_cluster_and_a_database_whoever_asks(own_cluster: Cluster) -> None:
    settings, other = own_cluster.new_database(), own_cluster.new_database()

    async def epoch(role) -> set[str]:
        return {await (await role(name)).fetchval("SELECT epoch()") for name in ("viewer", "index", "owner")}

    (before,) = play(settings, epoch)
    own_cluster.stop()
    own_cluster.start()
    assert play(settings, epoch) == {before}
    assert play(other, epoch) != {before}


def test_body_json_is_null_for_what_is_none(database: Settings) -> None:
    async def story(role) -> None:
        viewer = await role("viewer")
        bodies = [b'{"a": [1]}', b"", b"{", b"\xff", b'"\\u0000"', b"[" * 100_000, b"1e999999", None]
        found = [await viewer.fetchval("SELECT body_json($1)", body) for body in bodies]
        assert found == ['{"a": [1]}', *[None] * 7]

    play(database, story)


def test_housekeeping_does_not_wait_for_a_long_reader(database: Settings) -> None:
    """Captures would queue behind a waiting lock: it gives up instead, and tries again later."""

    async def story(role) -> None:
        capture = await role("capture")
        owner = await role("owner")
        await owner.execute("DROP TABLE requests_" + time.strftime("%Y%m%d", time.gmtime(time.time() + 7 * 86400)))
        reader = await role("viewer")
        async with reader.transaction():
            await reader.fetch("SELECT count(*) FROM requests")
            with pytest.raises(asyncpg.LockNotAvailableError):
                await asyncio.wait_for(capture.execute(QUERIES["keep_house"]), 10)
        await capture.execute(QUERIES["keep_house"])

    play(database, story)


def test_id_floor_is_the_smallest_id_of_its_millisecond(database: Settings) -> None:
    async def story(role) -> None:
        viewer = await role("viewer")
        for ms in (0, 1763858054123, 2**47):
            floor = str(await viewer.fetchval("SELECT id_floor(to_timestamp($1::float8 / 1000))", float(ms)))
            assert uuid_at(ms - 1, 2**76 - 1) < floor <= uuid_at(ms, 0) if ms else floor <= uuid_at(ms, 0)

    play(database, story)


def test_every_day_that_ever_had_a_partition_is_known(database: Settings, tmp_path: Path) -> None:
    """Those that an older release made are, too; what is dropped stays known."""
    for name in migrate.names()[:2]:
        (tmp_path / f"{name}.sql").write_text(migrate.MIGRATIONS.joinpath(f"{name}.sql").read_text())
    partitions = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'requests'::regclass"

    async def story(role) -> None:
        owner = await role("owner")
        await migrate.migrate(owner, PASSWORDS, tmp_path)
        await owner.execute("SELECT make_day('2020-02-29')")
        await migrate.migrate(owner, PASSWORDS)
        assert await owner.fetchval("SELECT count(*) FROM days") == await owner.fetchval(partitions) - 1  # the default
        await owner.execute("SELECT make_day('2020-03-01'); DROP TABLE requests_20200229, requests_20200301")
        viewer = await role("viewer")
        old = await viewer.fetch("SELECT day::text FROM days WHERE day < '2021-01-01' ORDER BY day")
        assert [row["day"] for row in old] == ["2020-02-29", "2020-03-01"]
        await owner.execute("SELECT make_day('2020-03-01')")  # once more, which is no mistake
        assert await viewer.fetchval("SELECT count(*) FROM days WHERE day < '2021-01-01'") == 2

    play(database, story)
