"""Live events: each recorded request once, in the order of commits, to whoever listens.

Rule: a batch is told once no transaction that began before it can still commit (its xid is below the horizon,
pg_snapshot_xmin). So positions only ever move forward, and what a position has behind it is complete: a listener that
comes back with one misses nothing and is told nothing twice, at whichever viewer. The price is that a transaction that
is held open anywhere in the cluster holds all events back.

    position    where a listener is in the stream
    portion     the next few events behind a position, out of the database
    ring        the newest portions, in memory, shared by all listeners
    matcher     which events of the ring each filter takes
    hub         reads the ring, one reader for all listeners
    listener    one client: caught up out of the database, then served out of the ring
"""

from gatebook.viewer.events.hub import Hub as Hub
