"""Open the socket that a part listens on, so that a new process can take over from a running one.

Rule: a unix socket's path always leads to a listener. The new one is bound beside it and renamed over it, which is
atomic; nobody unlinks the path of a part that is wanted, so the process that is replaced finishes what it has accepted
and drops nothing.
"""

import os
import socket

from gatebook.errors import UserError
from gatebook.settings import Address

BACKLOG = 4096  # also for the event loop, which listens once more; a full one looks like a dead replica to nginx


def bind(address: Address) -> socket.socket:
    """A listening, non-blocking socket on `address`; raises UserError when that cannot be had."""
    try:
        return _unix(address.path) if address.path else _tcp(address)
    except OSError as error:
        raise UserError(
            f"cannot listen on {address}: {error.strerror}", "set GATEBOOK_BIND to an address that is free"
        ) from None


def _unix(path: str) -> socket.socket:
    beside = f"{path}.{os.getpid()}"
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(beside)
    os.chmod(beside, 0o666)  # noqa: S103  # the load balancer's workers may be another user; the folder decides who gets here
    listener.listen(BACKLOG)
    listener.setblocking(False)
    os.rename(beside, path)
    return listener


def _tcp(address: Address) -> socket.socket:
    host = address.host.strip("[]")
    listener = socket.create_server(
        (host, address.port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=BACKLOG
    )
    listener.setblocking(False)
    return listener
