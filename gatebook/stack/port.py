"""Is the port to be had? Asked before anything is started, so that nothing has to be taken back."""

import errno
import socket
from collections.abc import Iterator

from gatebook.errors import UserError

_TRIES = 200


def check(host: str, port: int, up: str) -> str:
    """The IP address that `host` means and that `port` can be opened on; raises UserError.

    `up` is the command that hints build on, such as `gatebook up --data DIR`.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError) as error:
        raise UserError(f"cannot listen on {host}: no such host is known", f"{up} --listen 127.0.0.1") from error
    address = str(found[0][4][0])
    trouble = _trouble(address, port)
    if trouble is None:
        return address
    match trouble.errno:
        case errno.EADDRINUSE:
            free = next(_free(address, port), None)
            raise UserError(
                f"port {port} is taken by another process",
                f"{up} --port {free or 'N, with a port that is free'}",
            )
        case errno.EADDRNOTAVAIL:
            raise UserError(
                f"cannot listen on {host}: this machine has no such address",
                f"{up} --listen 127.0.0.1, or 0.0.0.0 for all addresses",
            )
        case errno.EACCES:
            raise UserError(f"port {port} cannot be opened by this user", f"{up} --port 8080")
    raise UserError(f"cannot listen on {host}, port {port}: {trouble.strerror}", f"{up} --listen 127.0.0.1 --port N")


def as_written(address: str, port: int) -> str:
    """The address and port as URLs and nginx's `listen` have them."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def to_reach(address: str) -> str:
    """The address to use for a server that listens on `address`, which may mean "all of them"."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)


def _trouble(address: str, port: int) -> OSError | None:
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((address, port))
            trial.listen()
        except OSError as error:
            return error
    return None


def _free(address: str, taken: int) -> Iterator[int]:
    for port in range(taken + 1, min(taken + _TRIES, 65536)):
        if _trouble(address, port) is None:
            yield port
