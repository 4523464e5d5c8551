"""Does a part answer? Asked over the socket that it really serves on."""

import asyncio
import errno
import json
import ssl
import struct
from enum import Enum
from pathlib import Path

_SSL_REQUEST = struct.pack("!II", 8, 80877103)  # PostgreSQL, "Message Formats": the one question that needs no login
_BACKLOG_FULL = errno.ENOTCONN  # a unix socket's connect() says EAGAIN, which asyncio takes for "under way"
_AGAIN_S = 0.1


class Health(Enum):
    """What became of a health question."""

    READY = "ready"
    SPOOLING = "ready, the database is away"
    NOT_READY = "not ready"  # said so, or there was nobody to ask
    SILENT = "silent"  # somebody should have answered, and did not in time

    @property
    def is_healthy(self) -> bool:
        return self in (Health.READY, Health.SPOOLING)


async def ready(path: Path, timeout_s: float) -> Health:
    """What a replica or the viewer says on its unix socket."""
    question = b"GET /_/health/ready HTTP/1.1\r\nHost: health\r\nConnection: close\r\n\r\n"
    answer = await _ask(timeout_s, question, path=path)
    if answer is None:
        return Health.SILENT
    if not answer.startswith(b"HTTP/1.1 200 "):
        return Health.NOT_READY
    return Health.SPOOLING if _state(answer) == Health.SPOOLING.value else Health.READY


async def listening(host: str, port: int, timeout_s: float, tls: ssl.SSLContext | None) -> Health:
    """Whether the load balancer answers at all, by `tls` if given; what it says is up to others."""
    question = b"HEAD /_/health/live HTTP/1.1\r\nHost: health\r\nConnection: close\r\n\r\n"
    return _ready_if((await _ask(timeout_s, question, host=host, port=port, tls=tls) or b"").startswith(b"HTTP/1.1 "))


async def recorded(
    host: str, port: int, agent: str, timeout_s: float, tls: ssl.SSLContext | None
) -> dict[str, str] | None:
    """Make one request of our own; what its answer's headers say (lower-case names) if it was committed, else None."""
    host_header = f"[{host}]" if ":" in host else host
    question = f"HEAD / HTTP/1.1\r\nHost: {host_header}\r\nUser-Agent: {agent}\r\nConnection: close\r\n\r\n"
    answer = await _ask(timeout_s, question.encode(), host=host, port=port, tls=tls) or b""
    status, _, rest = answer.decode("latin-1").partition("\r\n")
    pairs = (line.partition(": ") for line in rest.split("\r\n\r\n")[0].split("\r\n"))
    headers = {name.lower(): value for name, _, value in pairs}
    committed = " 200 " in status and headers.get("gatebook-durability") == "committed"
    return headers if committed else None


async def database(pgdata: Path, socket: Path, timeout_s: float) -> Health:
    """Whether PostgreSQL says it is ready (postmaster.pid, line 8, as pg_ctl reads it) and takes connections."""
    try:
        status = (pgdata / "postmaster.pid").read_text().splitlines()[7:8]
    except OSError:
        return Health.NOT_READY
    if [line.strip() for line in status] != ["ready"]:
        return Health.NOT_READY
    return _ready_if(await _ask(timeout_s, _SSL_REQUEST, path=socket) in (b"N", b"S"))


def _ready_if(it_is: bool) -> Health:
    return Health.READY if it_is else Health.NOT_READY


def _state(answer: bytes) -> object:
    """What the body of a health answer names as the state, if it names one."""
    try:
        return json.loads(answer.partition(b"\r\n\r\n")[2]).get("state")
    except (ValueError, AttributeError):
        return None


async def _ask(
    timeout_s: float,
    question: bytes,
    path: Path | None = None,
    host: str = "",
    port: int = 0,
    tls: ssl.SSLContext | None = None,
) -> bytes | None:
    """What the other side says first: nothing if it hangs up or is not there, None if it does not answer in time."""
    try:
        async with asyncio.timeout(timeout_s):
            while True:
                try:
                    return await _exchange(question, path, host, port, tls)
                except OSError as error:
                    if error.errno != _BACKLOG_FULL:
                        return b""
                await asyncio.sleep(_AGAIN_S)
    except TimeoutError:
        return None


async def _exchange(question: bytes, path: Path | None, host: str, port: int, tls: ssl.SSLContext | None) -> bytes:
    if path:
        reader, writer = await asyncio.open_unix_connection(path)
    else:
        reader, writer = await asyncio.open_connection(host, port, ssl=tls)
    try:
        writer.write(question)
        return await reader.read(4096)
    finally:
        writer.close()
