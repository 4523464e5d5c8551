"""The container's health check: exit code 0 when the replica or viewer in here is ready, else 1.

Run as `python -SI healthcheck.py`, every two seconds and in every container, so it imports next to nothing. It is no
part of the running package, and so reads GATEBOOK_BIND from the environment itself.
"""

import os
import socket

TIMEOUT_S = 2.5
REQUEST = b"GET /_/health/ready HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"


def is_ready(port: int) -> bool:
    """Whether what listens on `port` of this container answers that it is ready."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S) as connection:
            connection.sendall(REQUEST)
            return connection.recv(12) == b"HTTP/1.1 200"
    except OSError:
        return False


if __name__ == "__main__":
    bind = os.environ.get("GATEBOOK_BIND", "0.0.0.0:8000")
    raise SystemExit(not is_ready(int(bind.rpartition(":")[2])))
