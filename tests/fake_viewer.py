"""A viewer that says exactly what a test wants, over real sockets: it breaks, has gaps, or is away at the right moment.

    with FakeViewer({"/_/api/requests": [[problem(503, title="away")], [page(request(1))]]}) as viewer:
        ... viewer.url ...
        assert viewer.asked[1].query == {"limit": "25"}

Each path has a list of answers, which are given one after the other, the last of them again and again. An answer is a
list of steps: bytes are sent, functions are called, OPEN waits for the end of the test. Then the connection is closed.
"""

import json
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

Step = bytes | Callable[[], object]
OPEN: Step = b"the connection stays open"
CRLF = b"\r\n"


@dataclass(frozen=True)
class Asked:
    """A request that came: its path, its query, its headers by lower-case name."""

    path: str
    query: dict[str, str]
    headers: dict[str, str]


class FakeViewer:
    """Listens on a port, or on a unix socket at `path`."""

    def __init__(self, answers: Mapping[str, Sequence[Sequence[Step]]], path: Path | None = None) -> None:
        self._answers = {path: list(all_of_it) for path, all_of_it in answers.items()}
        self._listener = _listening(path) if path else socket.create_server(("127.0.0.1", 0))
        self._threads: list[threading.Thread] = []
        self._over = threading.Event()
        self.url = "" if path else f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.asked: list[Asked] = []

    def __enter__(self) -> "FakeViewer":
        self._serving = threading.Thread(target=self._serve)
        self._serving.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in (self._serving, *self._threads):
            thread.join()

    def asked_at(self, path: str) -> list[Asked]:
        return [asked for asked in self.asked if asked.path == path]

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._answer, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def _answer(self, connection: socket.socket) -> None:
        with connection:
            asked = _read(connection)
            self.asked.append(asked)
            answers = self._answers[asked.path]
            steps = answers.pop(0) if len(answers) > 1 else answers[0]
            try:
                for step in steps:
                    self._do(step, connection)
            except OSError:
                pass  # the client has gone

    def _do(self, step: Step, connection: socket.socket) -> None:
        if step is OPEN:
            self._over.wait()
        elif isinstance(step, bytes):
            connection.sendall(step)
        else:
            step()


def _listening(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    return listener


def _read(connection: socket.socket) -> Asked:
    head = b""
    while CRLF * 2 not in head:
        head += connection.recv(1 << 16)
    line, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    target = urlsplit(line.split(" ")[1])
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    return Asked(target.path, {name: values[0] for name, values in parse_qs(target.query).items()}, headers)


def answer(status: int, kind: str, body: bytes) -> bytes:
    """A whole response."""
    head = f"HTTP/1.1 {status} Whatever\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n"
    return head.encode() + CRLF + body


def problem(status: int, **members: Any) -> bytes:
    return answer(status, "application/problem+json", json.dumps({"status": status, **members}).encode())


def ndjson(*words: Any) -> bytes:
    return answer(200, "application/x-ndjson", b"".join(json.dumps(word).encode() + b"\n" for word in words))


def page(*requests: Any, next: str | None = None, complete: bool = True) -> bytes:
    return ndjson({"page": {"requests": list(requests), "next": next, "complete": complete, "reached": None}})


def stream(*pieces: bytes) -> bytes:
    """The beginning of an event stream, chunked: without its end, a connection that closes has broken it."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"".join(map(chunk, pieces))


def chunk(piece: bytes) -> bytes:
    return f"{len(piece):x}".encode() + CRLF + piece + CRLF


def position(id: str, retry_ms: int = 1) -> bytes:
    """What a stream begins with."""
    return f"retry: {retry_ms}\nid: {id}\n\n".encode()


def event(id: str, name: str, data: Any) -> bytes:
    return f"id: {id}\nevent: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n".encode()


def request(number: int, **columns: Any) -> dict[str, Any]:
    """A recorded request as the API has it, always the same for a number but for `columns`."""
    usual = {
        "id": f"019aaf6e-3c5f-7d2a-8b1e-{number:012x}",
        "received_at": "2026-11-22T10:00:00.123Z",
        "replica": "webapp-1",
        "peer": "192.0.2.1",
        "client": "192.0.2.1",
        "scheme": "http",
        "http_version": "1.1",
        "method": "GET",
        "target": f"/{number}",
        "headers": [["Host", "h"]],
        "body_size": 0,
        "body_sha256": None,
        "truncated": False,
        "status": 200,
    }
    return {**usual, **columns}
