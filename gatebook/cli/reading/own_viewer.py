"""The way to the local stack's viewer: its own socket, past the load balancer.

What lets the operator in cannot be taken back, so it never goes to a port: while the stack is down anybody on this
machine may listen there, and who follows asks again and again. In the folder for sockets nobody else can listen.
"""

import httpx

from gatebook.stack.folder import Folder


class OwnViewer(httpx.HTTPTransport):
    """Asks whoever listens on `socket`, which is in the folder for sockets of `folder`."""

    def __init__(self, folder: Folder, socket: str) -> None:
        super().__init__(uds=socket)
        self._folder = folder

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if not self._folder.has_own_run():  # it went, and another user has made it anew: /tmp is for all
            raise httpx.ConnectError(f"{self._folder.run} is not this user's", request=request)
        return super().handle_request(request)
