"""How commands talk to the runner: a unix socket in the run folder, JSON lines.

One request a connection, {"do": "scale", ...}. Answers: any number of {"say": [part, text]}, then {"result": ...} or
{"error": [what, hint]}.
"""

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import Awaitable, Callable
from typing import Any

from gatebook.errors import UserError
from gatebook.stack.folder import Folder
from gatebook.stack.steps import Say

Answer = Callable[[dict[str, Any], Say], Awaitable[Any]]


async def serve(folder: Folder, answer: Answer) -> asyncio.Server:
    """Take requests until the server is closed; only the folder's owner can connect."""

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        def send(**what: Any) -> None:
            if not writer.is_closing():  # the command may be gone; what it asked for is done all the same
                writer.write(json.dumps(what).encode() + b"\n")

        with contextlib.suppress(ConnectionError), contextlib.closing(writer):
            request = json.loads(await reader.readline() or b"{}")
            try:
                send(result=await answer(request, lambda part, text: send(say=[part, text])))
            except UserError as error:
                send(error=[error.what, error.hint])
            except asyncio.CancelledError:
                send(error=["the stack is being stopped", "gatebook up starts it again"])
            except Exception as error:
                send(error=[f"{type(error).__name__}: {error}", f"see {folder.logs}"])
                raise
            await writer.drain()

    folder.control.unlink(missing_ok=True)
    server = await asyncio.start_unix_server(one, folder.control)
    os.chmod(folder.control, 0o600)
    return server


def ask(folder: Folder, request: dict[str, Any], say: Say) -> Any:
    """Have the runner do something; returns its result. Raises UserError, also when there is no runner."""
    with connect(folder) as connection, connection.makefile("rwb") as stream:
        stream.write(json.dumps(request).encode() + b"\n")
        stream.flush()
        for line in stream:
            match json.loads(line):
                case {"say": [part, text]}:
                    say(part, text)
                case {"result": result}:
                    return result
                case {"error": [what, hint]}:
                    raise UserError(what, hint)
    raise UserError("the runner has ended before it answered", f"gatebook logs runner --data {folder}")


def connect(folder: Folder) -> socket.socket:
    """A connection to the runner; raises UserError when none of this user's runs."""
    if folder.ours:
        folder.check()
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if not folder.has_own_run():  # what is asked next may hold a secret
            raise FileNotFoundError(folder.run)
        connection.connect(str(folder.control))
    except OSError:
        connection.close()
        hint = f"gatebook up --data {folder}; one that runs elsewhere: --data DIR, or GATEBOOK_DATA"
        raise UserError(f"no stack runs on {folder}", hint) from None
    return connection


def is_up(folder: Folder) -> bool:
    """Whether a runner answers."""
    try:
        connect(folder).close()
    except UserError:
        return False
    return True
