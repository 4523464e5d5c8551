"""A port that nobody listens on, for a server that a test starts in a moment."""

import contextlib
import random
import socket


def free_port() -> int:
    """One of 127.0.0.1, below those that the system gives to connections: a load beside it takes thousands of these."""
    for port in random.sample(range(20_000, 32_000), 100):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise AssertionError("no port is free")
