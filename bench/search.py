"""How long a search takes over many rows, against the same over ten thousand: `python -m bench.search --rows 10000000`.

Two databases on a PostgreSQL of their own, each filled by a generator, spread evenly over the last ten days, then
indexed and asked by the real viewer over its socket. What is rare is there once, seven tenths down.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
import urllib.parse
from dataclasses import dataclass
from pathlib import Path

import click

from bench.audit import Viewer

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from postgres import Cluster

FEW = 10_000
MOST = 3.0  # times as long, where the index helps
_BATCH = 100_000
_DAYS = 10
_ASKED = 25  # times each

# Ten headers, some 950 bytes in all; every third has a body. `n` is the age: row 0 is the newest.
_FILL = """
INSERT INTO requests (
    id, body_size, peer, client, status, truncated, replica, scheme, http_version, method, target, headers, body
)
SELECT
    (lpad(to_hex(ms), 12, '0') || '7' || substr(noise, 1, 3) || '8' || substr(noise, 4, 15))::uuid,
    length(body), '10.0.0.1', client::inet, 200, false, replica, 'http', '1.1', method, target,
    format(
        '[["Host","bin.example"],["User-Agent","%s"],["Accept","*/*"],["Accept-Encoding","gzip, br"],'
        '["Content-Type","application/json"],["Content-Length","%s"],["X-Request-Id","%s"],'
        '["X-Signature","sha256=%s"],["X-GitHub-Event","%s"],["X-Forwarded-For","%s"]]',
        'agent/' || n % 40, length(body), noise, md5(noise), event, client
    )::json,
    convert_to(body, 'UTF8')
FROM (
    SELECT
        n, md5(n::text) AS noise, now_ms - n * (86400000::bigint * {days}) / {rows} AS ms,
        CASE WHEN rare THEN '203.0.113.77' ELSE format('10.%s.%s.%s', n % 7, n % 199, n % 251) END AS client,
        CASE WHEN rare THEN 'webapp-old' ELSE 'webapp-' || n % 3 + 1 END AS replica,
        CASE WHEN rare THEN 'PATCH' WHEN n % 3 = 0 THEN 'POST' ELSE 'GET' END AS method,
        CASE WHEN rare THEN '/rare/thing'
            WHEN n % 3 = 0 THEN '/github/octo/repository-' || n % 500 || '?delivery=' || n
            ELSE '/items/' || n || '?page=1' END AS target,
        CASE WHEN rare THEN 'release' WHEN n % 3 = 0 THEN 'push' ELSE 'ping' END AS event,
        CASE WHEN rare THEN '{{"needle": 1}}'
            WHEN n % 3 = 0 THEN
                format('{{"number": %s, "repository": {{"full_name": "octo/repository-%s"}}}}', n, n % 500)
            ELSE '' END AS body
    FROM (
        SELECT n, n = {rare} AS rare, {now_ms}::bigint AS now_ms FROM generate_series({first}::bigint, {last}) AS n
    ) AS numbers
) AS made
"""


@dataclass(frozen=True)
class Asked:
    """A kind of filter. `indexed`: its first page must not take more than MOST times as long over many rows."""

    kind: str
    filter: str
    indexed: bool = True


@dataclass(frozen=True)
class Taken:
    """What an answer took: until its first page, or the end if that came first."""

    ms: float
    found: int
    answers: int  # one, unless the deadline came first


class Place(Viewer):
    """A viewer over `rows` rows."""

    def __init__(self, cluster: Cluster, folder: Path, rows: int) -> None:
        folder.mkdir()
        super().__init__(cluster, folder)
        self.rows = rows
        self._now_ms = time.time_ns() // 10**6

    def fill_all(self) -> None:
        """The oldest first, as they would have come."""
        self._sql(f"SELECT make_day(current_date - ago) FROM generate_series(2, {_DAYS + 1}) AS ago")
        starts = range(0, self.rows, _BATCH)[::-1]
        with click.progressbar(starts, label=f"{self.rows:,} rows", file=sys.stderr) as bar:
            for first in bar:
                numbers = {"first": first, "last": min(first + _BATCH, self.rows) - 1, "rare": self.rows * 7 // 10}
                self._sql(_FILL.format(rows=self.rows, days=_DAYS, now_ms=self._now_ms, **numbers))
        self._sql("VACUUM (ANALYZE) requests")
        self._sql("DELETE FROM search_state")  # they came without batches: the index begins anew

    def wait_for_index(self) -> float:
        """Until every row that was there is in a block; the seconds that took."""
        begun = time.monotonic()
        label = f"index of {self.rows:,} rows"
        with click.progressbar(length=self.rows, label=label, file=sys.stderr) as bar:
            while (done := self._indexed()) < self.rows:
                bar.update(done - bar.pos)
                time.sleep(0.5)
            bar.update(self.rows - bar.pos)
        return time.monotonic() - begun

    def sizes(self) -> tuple[float, float]:
        """MiB of the requests, and of the index."""
        of = "SELECT sum(pg_total_relation_size(relid)) / 2^20 FROM pg_partition_tree('requests')"
        index = "SELECT (pg_total_relation_size('search_blocks') + pg_total_relation_size('search_chunks')) / 2^20"
        return float(self._sql(of)), float(self._sql(index))

    def ask(self, filter: str) -> Taken:
        """The first page, going on where a deadline cut it short."""
        begun, answers, found, cursor = time.perf_counter(), 0, 0, ""
        while True:
            query = {"filter": filter, "limit": "50"} | ({"cursor": cursor} if cursor else {})
            page = json.loads(self.get("/_/api/requests?" + urllib.parse.urlencode(query)))
            answers, found, cursor = answers + 1, found + len(page["requests"]), page["next"]
            if page["complete"] or found:
                return Taken((time.perf_counter() - begun) * 1000, found, answers)

    def median(self, asked: Asked) -> Taken:
        """What it takes usually; what takes long is asked fewer times."""
        first = self.ask(asked.filter)
        times = _ASKED if first.ms < 200 else 3 if first.ms < 5000 else 1
        taken = [self.ask(asked.filter) for _ in range(times)]
        return Taken(statistics.median(each.ms for each in taken), taken[0].found, taken[0].answers)

    def asked(self) -> list[Asked]:
        """Filters for what there is; `rare` has one match, `absent` none."""
        rare = self._sql(
            "SELECT id, to_char(received_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS'), headers->6->>1"
            " FROM requests WHERE method = 'PATCH'"
        ).split("|")
        id, at, delivery = rare[0], rare[1], rare[2]
        return [
            Asked("none", ""),
            Asked("time, recent", "since:1h"),
            Asked("time, past", f"until:{at}"),
            Asked("time, absent", "until:2020-01-01"),
            Asked("id", f"id:{id}"),
            Asked("id, absent", "id:01900000-0000-7000-8000-000000000000"),
            Asked("method + path prefix, recent", "method:POST path:/github/*"),
            Asked("method + path prefix, rare", "method:PATCH path:/rare/*"),
            Asked("method + path prefix, absent", "method:PUT path:/github/*"),
            Asked("client, recent", "client:10.3.0.0/16"),
            Asked("client, rare", "client:203.0.113.77"),
            Asked("client, absent", "client:203.0.113.78"),
            Asked("replica, recent", "replica:webapp-2"),
            Asked("replica, rare", "replica:webapp-old"),
            Asked("replica, absent", "replica:webapp-9"),
            Asked("header equality, recent", "header.x-github-event=push"),
            Asked("header equality, rare", f"header.x-request-id={delivery}"),
            Asked("header equality, absent", "header.x-request-id=0"),
            Asked("body text, recent", "body:octo", False),
            Asked("body text, rare", "body:needle", False),
            Asked("JSON, recent", "json.repository.full_name:octo/*", False),
            Asked("JSON, rare", "json.needle:1", False),
            Asked("any text, rare", '"/rare/thing"', False),
        ]

    def _indexed(self) -> int:
        said = self._sql(
            "SELECT coalesce(sum(rows), 0) FROM search_blocks;"
            "SELECT coalesce(sum(length(blocks) / 36), 0) * 1024 FROM search_chunks;"
            "SELECT count(*) FROM search_state WHERE down_to = '00000000-0000-0000-0000-000000000000'"
        )
        in_blocks, in_chunks, ended = map(int, said.split())
        return self.rows if ended else min(in_blocks + in_chunks, self.rows - 1)

    def _sql(self, sql: str) -> str:
        return self._cluster.psql(sql, self._database)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.search", description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=10_000_000)
    chosen = parser.parse_args()
    cluster = Cluster()
    try:
        cluster.start()
        with tempfile.TemporaryDirectory(prefix="gatebook-", dir="/tmp") as folder:
            few, many = Place(cluster, Path(folder) / "few", FEW), Place(cluster, Path(folder) / "many", chosen.rows)
            sys.exit(1 if compare(few, many) else 0)
    finally:
        cluster.remove()


def compare(few: Place, many: Place) -> list[str]:
    """Print the tables; returns the kinds whose ratio is too large."""
    for place in (few, many):
        place.fill_all()
    with few.running(), many.running() as process:
        few.wait_for_index()
        seconds, cpu_s = many.wait_for_index(), sum(process.cpu_times()[:2])
        requests, index = many.sizes()
        print(f"{many.rows:,} rows, {requests:,.0f} MiB, indexed in {seconds:,.0f} s", end="")
        print(f" ({cpu_s:,.0f} s of the viewer's CPU); the index has {index:,.0f} MiB\n")
        print(
            f"| filter | {FEW:,} rows, ms | {many.rows:,} rows, ms | times | found |\n| --- | --: | --: | --: | --: |"
        )
        slow = []
        for at_few, at_many in zip(few.asked(), many.asked(), strict=True):
            one, other = few.median(at_few), many.median(at_many)
            ratio = other.ms / one.ms
            slow += [at_many.kind] if at_many.indexed and ratio > MOST else []
            print(f"| {at_many.kind} | {one.ms:.1f} | {said(other)} | {ratio:.1f} | {other.found} |", flush=True)
    return slow


def said(taken: Taken) -> str:
    return f"{taken.ms:,.1f}" + (f" (in {taken.answers} answers)" if taken.answers > 1 else "")


if __name__ == "__main__":
    main()
