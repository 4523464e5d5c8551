"""What a host keeps while the database is away: one SQLite file per process, in one folder for all.

Rules: `append` returns only once SQLite has synced the commit (WAL, synchronous=FULL). NAME.sqlite is written only by
who holds the lock (flock(2)) of NAME.lock, its owner, for life; the lock of a process that has died is free, and
whoever takes it owns the file and may drain it. A file is there only while there is something in it. Readers look on
beside them.

Blocking: the callers are threads. Knows nothing of PostgreSQL.
"""

from gatebook.spool.file import COLUMNS, File, Spooled, SpoolError
from gatebook.spool.folder import Depth, adopt, contained, depth, identity, own
from gatebook.spool.place import Spool

__all__ = [
    "COLUMNS",
    "Depth",
    "File",
    "Spool",
    "SpoolError",
    "Spooled",
    "adopt",
    "contained",
    "depth",
    "identity",
    "own",
]
