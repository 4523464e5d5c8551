"""Thirty different things are posted to a real stack, and each is found by each kind of term, at the same address.

Plot: replicas record what is sent over plain sockets through nginx. Then, for each thing and each kind of term, a
filter is written that describes it, and the API has to answer with exactly those of the thirty that this describes.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_address, ip_network
from typing import Any

import httpx
import pytest
from local_stack import made_stack
from wire import ask

from gatebook.filter import FIELDS
from gatebook.identity import unix_ms

KEPT_BYTES = 64 * 1024
METHODS = ("POST", "PUT", "PATCH", "DELETE", "PROPFIND", "FOO", "GET")
LATIN = "gr\xfc\xdfe".encode("latin-1")


@dataclass
class Thing:
    """One request: what is sent, and what the answer says of it."""

    number: int
    url: str
    id: str = ""
    replica: str = ""

    @property
    def method(self) -> str:
        return METHODS[self.number % len(METHODS)]

    @property
    def version(self) -> str:
        return "1.0" if self.number % 5 == 0 else "1.1"

    @property
    def folder(self) -> str:
        return f"/find/{self.number % 4}/"

    @property
    def path(self) -> str:
        return f"{self.folder}größe-{self.number}"

    @property
    def target(self) -> str:
        return f"{self.path}?n={self.number}&colour={('red', 'green', 'blue')[self.number % 3]}"

    @property
    def client(self) -> str:
        return f"2001:db8:{self.number % 4}::{self.number:x}" if self.number % 3 == 0 else f"10.{self.number % 2}.0.7"

    @property
    def headers(self) -> dict[str, str]:
        kind = ("text/plain", "application/json", "application/octet-stream")[self.number % 3]
        only = {f"X-Only-{self.number}": "x"}
        return {"X-Forwarded-For": self.client, "Content-Type": kind, "X-Word": f"walnut{self.number}.", **only}

    @property
    def body(self) -> bytes:
        if self.number % 10 == 9:
            return b"x" * (KEPT_BYTES + self.number)
        if self.number % 3 == 1:
            return json.dumps({"repository": {"full_name": f"octo/{self.number}", "a.b": ["x", self.number]}}).encode()
        return f'said "größe {self.number}"'.encode() if self.number % 3 == 2 else LATIN[: self.number % 4]

    @property
    def json(self) -> Any:
        return json.loads(self.body) if self.number % 3 == 1 and not self.truncated else None

    @property
    def truncated(self) -> bool:
        return len(self.body) > KEPT_BYTES

    @property
    def status(self) -> int:
        return 413 if self.truncated else 200

    def post(self) -> "Thing":
        lines = [f"{self.method} {self.target} HTTP/{self.version}", "Host: h", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        lines += [f"Content-Length: {len(self.body)}", "", ""]
        answer = ask(self.url, "\r\n".join(lines).encode() + self.body)
        assert answer.status == self.status
        self.id, self.replica = answer.headers["gatebook-id"], answer.headers["gatebook-replica"]
        return self


def at(thing: Thing) -> str:
    return datetime.fromtimestamp(unix_ms(thing.id) / 1000, UTC).isoformat(timespec="milliseconds")


def network(thing: Thing) -> str:
    return str(ip_network(f"{thing.client}/{16 if '.' in thing.client else 48}", strict=False))


Write = Callable[[Thing], str | None]  # a term that describes a thing; None: there is none of this kind
Describes = Callable[[Thing, Thing], bool]  # whether what is written for the first describes the second

KINDS: dict[str, tuple[Write, Describes]] = {
    "method": (lambda one: f"method:{one.method.lower()}", lambda one, other: one.method == other.method),
    "method=": (lambda one: f"method={one.method}", lambda one, other: one.method == other.method),
    "path": (lambda one: f"path:{one.path}", lambda one, other: one.path == other.path),
    "path below": (lambda one: f"path:{one.folder}*", lambda one, other: one.folder == other.folder),
    "target": (lambda one: f'target:"?n={one.number}&"', lambda one, other: one.target == other.target),
    "target=": (lambda one: f"target={one.target}", lambda one, other: one.target == other.target),
    "header": (
        lambda one: f"header.content-type:{one.headers['Content-Type'][:6]}",
        lambda one, other: one.headers["Content-Type"][:6] == other.headers["Content-Type"][:6],
    ),
    "header=": (
        lambda one: f"header.Content-Type={one.headers['Content-Type']}",
        lambda one, other: one.headers["Content-Type"] == other.headers["Content-Type"],
    ),
    "header:*": (lambda one: f"header.x-only-{one.number}:*", lambda one, other: one is other),
    "json": (
        lambda one: one.json and f"json.repository.full_name:octo/{one.number}*",
        lambda one, other: bool(other.json) and f"octo/{other.number}".startswith(f"octo/{one.number}"),
    ),
    "json in an array": (
        lambda one: one.json and f'json.repository."a.b".1={one.number}',
        lambda one, other: one is other,
    ),
    "body": (
        lambda one: f'body:"größe {one.number}\\""' if b"said" in one.body else None,
        lambda one, other: one is other,
    ),
    "body=": (
        lambda one: "body=" + json.dumps(one.body.decode(), ensure_ascii=False) if b"said" in one.body else None,
        lambda one, other: one.body == other.body,
    ),
    "client": (lambda one: f"client:{one.client}", lambda one, other: one.client == other.client),
    "client's network": (
        lambda one: f"client:{network(one)}",
        lambda one, other: ip_address(other.client) in ip_network(network(one)),
    ),
    "peer": (lambda one: "peer:127.0.0.0/8", lambda one, other: True),
    "replica": (lambda one: f"replica:{one.replica}", lambda one, other: one.replica == other.replica),
    "scheme": (lambda one: "scheme:http", lambda one, other: True),
    "version": (lambda one: f"version:{one.version}", lambda one, other: one.version == other.version),
    "status": (lambda one: f"status:{one.status}", lambda one, other: one.status == other.status),
    "status:4xx": (lambda one: f"status:{one.status // 100}xx", lambda one, other: one.status == other.status),
    "status>=": (lambda one: f"status>={one.status}", lambda one, other: other.status >= one.status),
    "size": (lambda one: f"size:{len(one.body)}", lambda one, other: len(one.body) == len(other.body)),
    "size>": (
        lambda one: "size>64kB" if one.truncated else None,
        lambda one, other: len(other.body) > 64 * 1024,
    ),
    "size<=": (lambda one: f"size<={len(one.body)}B", lambda one, other: len(other.body) <= len(one.body)),
    "truncated": (
        lambda one: f"truncated:{str(one.truncated).lower()}",
        lambda one, other: one.truncated == other.truncated,
    ),
    "since": (lambda one: f"since:{at(one)}", lambda one, other: unix_ms(other.id) >= unix_ms(one.id)),
    "since a while": (lambda one: "since:1h", lambda one, other: True),
    "until": (lambda one: f"-until:{at(one)}", lambda one, other: unix_ms(other.id) >= unix_ms(one.id)),
    "id": (lambda one: f"id:{one.id}", lambda one, other: one is other),
    "a word": (lambda one: f"walnut{one.number}.", lambda one, other: one is other),
    "quoted text": (lambda one: f'"größe-{one.number}?"', lambda one, other: one is other),
    "either": (
        lambda one: f"id:{one.id} OR method:{one.method}",
        lambda one, other: one.method == other.method,
    ),
    "not": (lambda one: f"NOT -(id:{one.id})", lambda one, other: one is other),
    "both": (
        lambda one: f"(method:{one.method} AND replica:{one.replica}) status:{one.status}",
        lambda one, other: (one.method, one.replica, one.status) == (other.method, other.replica, other.status),
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def things() -> Iterator[list[Thing]]:
    """What was posted to a stack of this module's own."""
    for stack in made_stack():
        stack.environment |= {"GATEBOOK_TRUSTED_PROXIES": "127.0.0.1", "GATEBOOK_BODY_LIMIT": str(KEPT_BYTES)}
        stack.up("--scale", 3)
        yield [Thing(number, stack.url).post() for number in range(30)]


@pytest.fixture
def viewer(things: list[Thing]) -> Iterator[httpx.Client]:
    """At the load balancer's address, which is also theirs."""
    with httpx.Client(base_url=things[0].url, timeout=30) as client:
        yield client


def found(viewer: httpx.Client, filter: str) -> set[str]:
    """The ids of all pages."""
    ids: set[str] = set()
    cursor: dict[str, str] = {}
    while True:
        answer = viewer.get("/_/api/requests", params={"filter": f"path:/find/* ({filter})", "limit": 20, **cursor})
        assert answer.status_code == 200, (filter, answer.text)
        page = answer.json()
        assert page["complete"]
        ids |= {request["id"] for request in page["requests"]}
        if page["next"] is None:
            return ids
        cursor = {"cursor": page["next"]}


def test_each_of_thirty_things_is_found_by_each_kind_of_term(viewer: httpx.Client, things: list[Thing]) -> None:
    assert len({thing.replica for thing in things}) > 1
    fields = {field.name.partition(".")[0] for field in FIELDS}
    assert {name.split(":")[0].rstrip("=<>").split("'")[0].split(" ")[0] for name in KINDS} >= fields
    for name, (write, describes) in KINDS.items():
        written = {thing.number: term for thing in things if (term := write(thing))}
        assert written, name
        for number, term in written.items():
            expected = {other.id for other in things if describes(things[number], other)}
            assert things[number].id in expected
            assert found(viewer, term) == expected, (name, term)


def test_what_is_found_is_counted_and_has_its_neighbours(viewer: httpx.Client, things: list[Thing]) -> None:
    for method in METHODS:
        filter = f"path:/find/* method:{method}"
        ids = sorted(thing.id for thing in things if thing.method == method)
        answer = viewer.get("/_/api/counts", params={"filter": filter, "by": "replica"}).json()
        assert sum(group["count"] for group in answer["groups"]) == len(ids)
        for older, id, newer in zip([None, *ids], ids, [*ids[1:], None], strict=False):
            answer = viewer.get(f"/_/api/requests/{id}/neighbours", params={"filter": filter}).json()
            assert answer == {"newer": newer, "older": older, "complete": True}


def test_what_was_sent_is_shown_whole(viewer: httpx.Client, things: list[Thing]) -> None:
    for thing in things:
        shown = viewer.get(f"/_/api/requests/{thing.id}").json()
        assert shown["target"].encode("latin-1").decode() == thing.target
        assert shown["client"] == str(ip_address(thing.client)) and shown["body_size"] == len(thing.body)
        assert viewer.get(f"/_/api/requests/{thing.id}/body").content == thing.body[:KEPT_BYTES]
