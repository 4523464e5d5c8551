"""Bytes to a server and back, with nothing between that could tidy them up."""

import http.client
import socket
from typing import NamedTuple
from urllib.parse import urlsplit


class Answer(NamedTuple):
    """A response: its status, its headers by lower-case name, its body."""

    status: int
    headers: dict[str, str]
    body: bytes


def exchange(url: str, request: bytes, timeout_s: float = 30) -> bytes:
    """Send `request` as it is to the server of `url`; returns all that comes back until the server closes."""
    place = urlsplit(url)
    with socket.create_connection((place.hostname, place.port), timeout_s) as connection:
        connection.sendall(request)
        answer = b""
        while part := connection.recv(1 << 16):
            answer += part
    return answer


def parse(answer: bytes) -> Answer:
    """The last response in `answer`; an interim 100 before it is passed over."""
    head, _, body = answer.partition(b"\r\n\r\n")
    if head.startswith(b"HTTP/1.1 100"):
        return parse(body)
    status, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    return Answer(int(status.split(" ")[1]), headers, body)


def ask(url: str, request: bytes, timeout_s: float = 30) -> Answer:
    """Send one request and read its answer, not what the connection does afterwards."""
    place = urlsplit(url)
    with socket.create_connection((place.hostname, place.port), timeout_s) as connection:
        connection.sendall(request)
        with http.client.HTTPResponse(connection, method=request.split(b" ", 1)[0].decode("latin-1")) as response:
            response.begin()
            headers = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, headers, response.read())
