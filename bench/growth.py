"""Does it stay as it is? Page and lone insert over ten million rows, a replica's memory over a million records."""

import time
from collections.abc import Callable

from bench.load import Request, Run, measure
from bench.systems import Gatebook

_BATCH = 500_000

# Rows such as the benchmark's own, stamped evenly over today until now: all in the partition that is written to.
_FILL = """
INSERT INTO requests (
    id, body_size, peer, client, status, truncated, replica, scheme, http_version, method, target, headers, body
)
SELECT
    (lpad(to_hex(ms), 12, '0') || '7' || substr(noise, 1, 3) || '8' || substr(noise, 4, 15))::uuid,
    0, '127.0.0.1', '127.0.0.1', 200, false, 'webapp-' || n %% 3 + 1, 'http', '1.1', 'GET', '/filled/' || n,
    '[["Host","127.0.0.1:8080"]]', ''
FROM (
    SELECT
        n, md5(n::text) AS noise,
        (extract(epoch FROM day + (now() - day) * 0.99 * n / %(last)s) * 1000)::bigint AS ms
    FROM
        generate_series(%(first)s::bigint, %(last_of_batch)s::bigint) AS n,
        date_trunc('day', now(), 'UTC') AS day
) AS made
"""


def fill(gatebook: Gatebook, rows: int, say: Callable[[str], None]) -> None:
    """Bring the table to `rows` rows, and have the database look at them as autovacuum would."""
    with gatebook.connected() as cursor:
        cursor.execute("SELECT count(*) FROM requests")
        have = cursor.fetchone()[0]
        for first in range(have, rows, _BATCH):
            last = min(first + _BATCH, rows) - 1
            cursor.execute(_FILL, {"first": first, "last_of_batch": last, "last": rows})
            say(f"filling the table: {last + 1:,} of {rows:,} rows")
        cursor.execute("VACUUM (ANALYZE) requests")
        cursor.execute("CHECKPOINT")


def keep_days(gatebook: Gatebook, days: int) -> None:
    """As many partitions as a stack has that has kept everything for so long."""
    with gatebook.connected() as cursor:
        cursor.execute("SELECT make_day(current_date - ago) FROM generate_series(2, %s) AS ago", (days,))


def lone_p50s(gatebook: Gatebook, requests: list[Request], seconds: float, rounds: int) -> dict[str, list[float]]:
    """The median latencies, in microseconds, of a client that is alone, by request, one per round."""
    found: dict[str, list[float]] = {request.name: [] for request in requests}
    for _ in range(rounds):
        for request in requests:
            found[request.name].append(measure(gatebook.system(), request, 1, seconds).p50_us)
    return found


def memory(gatebook: Gatebook, request: Request, records: int, say: Callable[[str], None]) -> list[dict[str, float]]:
    """The largest resident memory of a replica, in MiB, as it records more and more."""
    system = gatebook.system()
    done, found = 0, []
    while done < records:
        run: Run = measure(system, request, 64, 10)
        done += run.requests
        resident = max(process.memory_info().rss for process in system.parts["replicas"]) / 2**20
        found.append({"records": done, "resident_mib": round(resident, 1)})
        say(f"{done:,} records: {resident:.1f} MiB")
        time.sleep(0.1)
    return found
