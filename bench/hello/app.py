"""Hello: the smallest ASGI application, answering as many bytes as Gatebook does and recording nothing."""

import os

BODIES = {size: b"h" * size for size in map(int, os.environ["HELLO_SIZES"].split(","))}
PAGE, RECEIPT = BODIES
HEADERS = {
    size: [(b"content-type", b"text/html"), (b"content-length", str(size).encode())] for size in BODIES
}  # what a framework would send at the least


async def app(scope, receive, send):
    """Answer a GET with as many bytes as the page has, anything else, once its body is read, with a receipt's."""
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    size = PAGE if scope["method"] == "GET" else RECEIPT
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS[size]})
    await send({"type": "http.response.body", "body": BODIES[size]})
