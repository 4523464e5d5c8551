"""Does a part answer? Asked over the socket that it really serves on."""

import asyncio
import struct
from pathlib import Path

_SSL_REQUEST = struct.pack("!II", 8, 80877103)  # PostgreSQL, "Message Formats": the one question that needs no login


async def ready(path: Path, timeout_s: float) -> bool:
    """Whether a replica or the viewer says on its unix socket that it is ready."""
    answer = await _ask(
        timeout_s, b"GET /_/health/ready HTTP/1.1\r\nHost: health\r\nConnection: close\r\n\r\n", path=path
    )
    return answer.startswith(b"HTTP/1.1 200 ")


async def listening(host: str, port: int, timeout_s: float) -> bool:
    """Whether the load balancer answers at all; what it says is up to those behind it."""
    answer = await _ask(
        timeout_s, b"HEAD /_/health/live HTTP/1.1\r\nHost: health\r\nConnection: close\r\n\r\n", host=host, port=port
    )
    return answer.startswith(b"HTTP/1.1 ")


async def recorded(host: str, port: int, agent: str, timeout_s: float) -> dict[str, str] | None:
    """Make one request of our own; what its answer's headers say (lower-case names) if it was recorded, else None."""
    host_header = f"[{host}]" if ":" in host else host
    question = f"HEAD / HTTP/1.1\r\nHost: {host_header}\r\nUser-Agent: {agent}\r\nConnection: close\r\n\r\n"
    answer = await _ask(timeout_s, question.encode(), host=host, port=port)
    status, _, rest = answer.decode("latin-1").partition("\r\n")
    pairs = (line.partition(": ") for line in rest.split("\r\n\r\n")[0].split("\r\n"))
    headers = {name.lower(): value for name, _, value in pairs}
    committed = " 200 " in status and headers.get("gatebook-durability") == "committed"
    return headers if committed else None


async def database(pgdata: Path, socket: Path, timeout_s: float) -> bool:
    """Whether PostgreSQL says it is ready (postmaster.pid, line 8, as pg_ctl reads it) and takes connections."""
    try:
        status = (pgdata / "postmaster.pid").read_text().splitlines()[7:8]
    except OSError:
        return False
    return [line.strip() for line in status] == ["ready"] and await _ask(timeout_s, _SSL_REQUEST, path=socket) in (
        b"N",
        b"S",
    )


async def _ask(timeout_s: float, question: bytes, path: Path | None = None, host: str = "", port: int = 0) -> bytes:
    """What the other side says first, or nothing if it says nothing in time."""
    try:
        async with asyncio.timeout(timeout_s):
            if path:
                reader, writer = await asyncio.open_unix_connection(path)
            else:
                reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(question)
                return await reader.read(4096)
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return b""
