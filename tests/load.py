"""A bounded load of real requests that remembers what it was promised.

    with load("http://127.0.0.1:8080", connections=16) as sent:
        replica.kill()
    assert not sent.errors
    assert sent.acknowledged <= stored_ids()

It runs while the `with` block does: GETs of the page, GETs and POSTs of paths, one after the other, each with a target
of its own; half of the clients keep their connections, the others take a new one each time. Nothing is sent twice: what
fails is an error, as a plain client sees it. The block ends only after requests have got through once more.
"""

import contextlib
import http.client
import itertools
import os
import secrets
import ssl
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

MOST_ERRORS = 1000  # then the load ends: what is there is enough to be wrong


@dataclass
class Sent:
    """What a load has sent and been answered so far; may be read while it runs."""

    token: str = field(default_factory=lambda: secrets.token_hex(4))  # in every target
    attempted: int = 0
    answered: int = 0  # as recorded
    acknowledged: set[str] = field(default_factory=set)  # the ids of those
    replicas: Counter[str] = field(default_factory=Counter)  # how many each replica answered
    last_replicas: dict[str, float] = field(default_factory=dict)  # when each last answered (time.monotonic)
    errors: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.answered} of {self.attempted} requests acknowledged by {len(self.replicas)} replicas"


@contextlib.contextmanager
def load(
    url: str,
    connections: int = 16,
    *,
    requests: int = 10_000_000,
    seconds: float = 600,
    timeout: float = 30,
    tls: ssl.SSLContext | None = None,
) -> Iterator[Sent]:
    """Requests to `url` over so many connections until the block ends, or `requests` or `seconds` are used up.

    Their defaults only end what hangs: a load that is over before its block would test nothing in the rest of it.
    `timeout` is how long one answer may take, in seconds; `tls` is for a `url` with https. The block begins when every
    connection has had an answer.
    """
    running = _Load(url, requests, time.monotonic() + seconds, timeout, tls)
    threads = [
        threading.Thread(target=running.client, args=(n % 2 == 0,), name=f"load-{n}") for n in range(connections)
    ]
    for thread in threads:
        thread.start()
    try:
        running.wait_for(connections)
        yield running.sent
        running.wait_for(running.sent.answered + 4 * connections)
    finally:
        running.stop.set()
        for thread in threads:
            thread.join()


class _Load:
    def __init__(self, url: str, requests: int, deadline: float, timeout: float, tls: ssl.SSLContext | None) -> None:
        address = urlsplit(url)
        self._host, self._port = address.hostname, address.port or 80
        self._requests, self._deadline, self._timeout, self._tls = requests, deadline, timeout, tls
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self.sent = Sent()
        self.stop = threading.Event()

    def client(self, keeps: bool) -> None:
        """One client's requests, one after the other."""
        headers = {} if keeps else {"Connection": "close"}
        connection = self._connection()
        while not self._is_over():
            method, target, body = self._next()
            try:
                connection.request(method, target, body, headers)
                answer = connection.getresponse()
                answer.read()
                self._note(f"{method} {target}", answer)
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                with self._lock:
                    self.sent.errors.append(f"{method} {target}: {type(error).__name__}: {error}")
        connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        if self._tls:
            return http.client.HTTPSConnection(self._host or "", self._port, timeout=self._timeout, context=self._tls)
        return http.client.HTTPConnection(self._host or "", self._port, timeout=self._timeout)

    def wait_for(self, answers: int) -> None:
        while self.sent.answered + len(self.sent.errors) < answers and not self._is_over():
            time.sleep(0.005)

    def _is_over(self) -> bool:
        return (
            self.stop.is_set()
            or self.sent.attempted >= self._requests
            or len(self.sent.errors) >= MOST_ERRORS
            or time.monotonic() > self._deadline
        )

    def _next(self) -> tuple[str, str, bytes | None]:
        number = next(self._numbers)
        with self._lock:
            self.sent.attempted += 1
        name = f"{self.sent.token}-{number}"
        match number % 4:
            case 0:
                return "GET", f"/?load={name}", None
            case 1:
                return "GET", f"/load/{name}", None
            case _:
                return "POST", f"/load/{name}", os.urandom(number % 2048)

    def _note(self, request: str, answer: http.client.HTTPResponse) -> None:
        recorded = answer.status == 200 and answer.getheader("Gatebook-Durability") in ("committed", "spooled")
        identity, replica = answer.getheader("Gatebook-Id"), answer.getheader("Gatebook-Replica") or ""
        with self._lock:
            if not recorded or not identity:
                self.sent.errors.append(f"{request}: {answer.status} {answer.reason}")
            elif identity in self.sent.acknowledged:
                self.sent.errors.append(f"{request}: was given the id of another request, {identity}")
            else:
                self.sent.answered += 1
                self.sent.acknowledged.add(identity)
                self.sent.replicas[replica] += 1
                self.sent.last_replicas[replica] = time.monotonic()
