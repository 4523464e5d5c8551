"""What the machine can do at best: the same nginx with a static file, COPY of the same rows, fdatasyncs of the disk."""

import io
import os
import time
from pathlib import Path

from bench.systems import Gatebook

_COLUMNS = (
    "id, body_size, peer, client, status, truncated, replica, scheme, http_version, method, target, headers, body"
)


def fdatasyncs_per_second(folder: Path, seconds: float) -> float:
    """Appends of 8 KiB, as WAL pages are, each synced before the next."""
    path = folder / "fdatasync"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    block, count, start = b"x" * 8192, 0, time.monotonic()
    try:
        while time.monotonic() - start < seconds:
            os.pwrite(descriptor, block, (count % 1024) * 8192)  # as WAL: segments are there already and are reused
            os.fdatasync(descriptor)
            count += 1
    finally:
        os.close(descriptor)
        path.unlink()
    return count / (time.monotonic() - start)


def copied_rows_per_second(gatebook: Gatebook, rows: int) -> float:
    """COPY of rows such as `GET /` makes, by one client, in one transaction, into a table like `requests`."""
    with gatebook.connected() as cursor:
        cursor.execute("CREATE TABLE copied (LIKE requests INCLUDING ALL)")
        headers = '[["Host","127.0.0.1:8080"]]'
        line = f"\t0\t127.0.0.1\t127.0.0.1\t200\tf\twebapp-1\thttp\t1.1\tGET\t/\t{headers}\t\\\\x\n"
        text = "".join(f"{number:08x}-0000-7000-8000-000000000000{line}" for number in range(rows))
        start = time.monotonic()
        cursor.copy_expert(f"COPY copied ({_COLUMNS}) FROM STDIN", io.StringIO(text))
        elapsed = time.monotonic() - start
        cursor.execute("DROP TABLE copied")
    return rows / elapsed
