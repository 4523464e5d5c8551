"""What every answer of the viewer has in common, around the application.

Rules: nothing is guessed at, and nothing cached unless an answer says so itself. HEAD is answered as GET without the
body. A client that goes away cancels the work for it, a query included.
"""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_ON_ALL = {b"cache-control": b"no-store", b"x-content-type-options": b"nosniff"}


class Envelope:
    """Wraps an ASGI application whose handlers read no body: a body that comes with a request is dropped."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_head = scope["method"] == "HEAD"
        if is_head:
            scope = {**scope, "method": "GET", "gatebook.head": True}

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = {name.lower() for name, _ in message["headers"]}
                missing = [(name, value) for name, value in _ON_ALL.items() if name not in own]
                message = {**message, "headers": [*message["headers"], *missing]}
            elif is_head and message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        gone = asyncio.ensure_future(_gone(receive))
        handler = asyncio.ensure_future(self._run(scope, gone, answer))
        try:
            await asyncio.wait({handler, gone}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            pass  # by the server, which ends and cuts what is left: nobody is told, and the log needs no traceback
        finally:
            handler.cancel()
            gone.cancel()
            await asyncio.gather(handler, gone, return_exceptions=True)
        if not handler.cancelled():
            handler.result()

    async def _run(self, scope: Scope, gone: "asyncio.Future[None]", send: Send) -> None:
        messages: list[Message] = [{"type": "http.request", "body": b"", "more_body": False}]

        async def receive() -> Message:
            if messages:
                return messages.pop()
            await asyncio.wait({gone})
            return {"type": "http.disconnect"}

        await self._app(scope, receive, send)


async def _gone(receive: Receive) -> None:
    """Returns when the client has gone away, or has its answer."""
    while (await receive())["type"] != "http.disconnect":
        pass
