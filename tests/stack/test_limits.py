"""What one client may send, where that is limited, on a real stack; behind a proxy of ours clients are told apart."""

import contextlib
import json
import secrets
import socket
import time
from collections.abc import Iterator

import httpx
import pytest
from local_stack import Stack, made_stack, until
from wire import ask, exchange, parse

RATE, BURST, AT_ONCE = 5, 10, 3


@pytest.fixture(scope="module")
def stack_with_limits() -> Iterator[Stack]:
    for made in made_stack():
        made.environment |= {
            "GATEBOOK_RATE_LIMIT": str(RATE),
            "GATEBOOK_CONNECTION_LIMIT": str(AT_ONCE),
            "GATEBOOK_TRUSTED_PROXIES": "127.0.0.1",
        }
        made.up("--scale", 2)
        yield made


@pytest.fixture
def client(stack_with_limits: Stack) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=stack_with_limits.url, timeout=30, trust_env=False) as made:
        yield made


def somebody() -> dict[str, str]:
    """The headers by which a client is known that has sent nothing yet."""
    return {"X-Forwarded-For": f"2001:db8:{secrets.randbelow(1 << 16):x}:{secrets.randbelow(1 << 16):x}::1"}


def test_beyond_the_rate_a_client_is_refused_and_nothing_of_it_is_recorded(
    stack_with_limits: Stack, client: httpx.Client
) -> None:
    who, token, begun = somebody(), secrets.token_hex(4), time.monotonic()
    answers = [client.post(f"/{token}/{number}", headers=who, content=b"body") for number in range(60)]
    most = BURST + 1 + RATE * (time.monotonic() - begun) + 1
    recorded = [answer for answer in answers if answer.status_code == 200]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert BURST < len(recorded) <= most and len(refused) == 60 - len(recorded) > 0
    for answer in refused:
        assert answer.json()["error"] == "not recorded"
        assert (answer.headers["retry-after"], answer.headers["cache-control"]) == ("1", "no-store")
        assert "gatebook-id" not in answer.headers and answer.headers["server"] == "nginx"
    assert stack_with_limits.sql(f"SELECT count(*) FROM requests WHERE target LIKE '/{token}/%'") == str(len(recorded))
    assert client.get(f"/{token}/other", headers=somebody()).status_code == 200, "another client is not held up"
    until(lambda: client.get(f"/{token}/later", headers=who).status_code == 200, "it to be let in again", every_s=0.5)


def test_the_audit_counts_what_was_refused_as_rejected(stack_with_limits: Stack, client: httpx.Client) -> None:
    def rejected() -> int:
        counts = json.loads(stack_with_limits.gatebook("audit", "--json").stdout)["counts"]
        assert counts["missing"] == 0
        return int(counts["rejected"])

    before, who = rejected(), somebody()
    refused = sum(client.get("/audited", headers=who).status_code == 429 for _ in range(40))
    assert refused > 0 and rejected() == before + refused
    assert "limiting" not in stack_with_limits.logs("lb"), "the access log has them, which is bounded"


def test_who_looks_has_limits_of_their_own_and_so_has_who_asks_for_health(
    stack_with_limits: Stack, client: httpx.Client
) -> None:
    """A page asks for much at once; and whoever has used up what they may send can still look at it."""
    who = somebody()
    until(lambda: client.get("/used-up", headers=who).status_code == 429, "it to be refused", every_s=0)
    assert {client.get("/_/api/filter", headers=who).status_code for _ in range(50)} == {200}
    answers = [client.get("/_/api/filter", headers=who) for _ in range(300)]
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert refused.headers["content-type"] == "application/problem+json" and refused.headers["retry-after"] == "1"
    assert refused.json()["status"] == 429
    assert {client.get("/_/health/live", headers=who).status_code for _ in range(40)} == {200}
    one = f"GET /_/health/live HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: {somebody()['X-Forwarded-For']}\r\n"
    told = exchange(stack_with_limits.url, (one + "\r\n").encode() * 1000 + f"{one}Connection: close\r\n\r\n".encode())
    assert told.count(b"HTTP/1.1 200 ") >= 400 and told.count(b"HTTP/1.1 429 ") > 0


def test_one_that_is_larger_than_is_read_is_refused_in_the_same_words(
    stack_with_limits: Stack, client: httpx.Client
) -> None:
    who = somebody()
    until(lambda: client.get("/used-up", headers=who).status_code == 429, "it to be refused", every_s=0)
    head = (
        f"POST / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: {who['X-Forwarded-For']}\r\nContent-Length: {10**12}\r\n\r\n"
    )
    answer = ask(stack_with_limits.url, head.encode())
    assert (answer.status, answer.headers["retry-after"]) == (429, "1")
    assert json.loads(answer.body)["error"] == "not recorded"


def test_addresses_of_one_ipv6_network_are_one_client_and_those_of_ipv4_are_each_one(client: httpx.Client) -> None:
    def refused(addresses: list[str]) -> int:
        return sum(client.get("/", headers={"X-Forwarded-For": each}).status_code == 429 for each in addresses)

    network = f"2001:db9:{secrets.randbelow(1 << 16):x}:7"
    assert refused([f"{network}:{number:x}::1" for number in range(1, 41)]) > 0
    assert refused([f"2001:dba:{number:x}::1" for number in range(40)]) == 0
    assert refused([f"198.51.100.{number}" for number in range(40)]) == 0
    assert refused(["203.0.113.9"] * 40) > 0
    assert refused([f"::ffff:198.51.101.{number}" for number in range(40)]) == 0
    assert refused(["::ffff:203.0.113.10", "203.0.113.10"] * (BURST + 1)) > 0, "either way it is written"


def test_the_peer_is_recorded_as_it_was_beside_the_client(stack_with_limits: Stack, client: httpx.Client) -> None:
    id = client.get("/peer", headers={"X-Forwarded-For": "192.0.2.99"}).headers["gatebook-id"]
    found = client.get(f"/_/api/requests/{id}", headers=somebody()).json()
    assert (found["peer"], found["client"]) == ("127.0.0.1", "192.0.2.99")
    assert ["X-Forwarded-For", "192.0.2.99"] in found["headers"]
    line = until(
        lambda: [each for each in stack_with_limits.logs("access").splitlines() if "/peer" in each], "its line"
    )
    assert '"peer":"127.0.0.1"' in line[0]


def test_so_many_requests_at_once_and_no_more(stack_with_limits: Stack) -> None:
    who = somebody()["X-Forwarded-For"]

    def begin(address: str) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", stack_with_limits.port), 30)
        head = f"POST /slow HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: {address}\r\nContent-Length: 2\r\n\r\n"
        connection.sendall(head.encode() + b"x")
        return connection

    def refused(connection: socket.socket, within_s: float = 1) -> bool:
        """Whether it is answered though its body is not whole."""
        connection.settimeout(within_s)
        try:
            return b" 429 " in connection.recv(1 << 16, socket.MSG_PEEK)
        except TimeoutError:
            return False

    with contextlib.ExitStack() as all:
        slow = [all.enter_context(begin(who)) for _ in range(AT_ONCE)]
        assert not any(map(refused, slow))
        assert refused(all.enter_context(begin(who)), within_s=20)
        assert not refused(all.enter_context(begin(somebody()["X-Forwarded-For"])))
        slow[0].settimeout(30)
        slow[0].sendall(b"x")
        assert parse(slow[0].recv(1 << 16)).status == 200
        assert not refused(all.enter_context(begin(who))), "where one has ended, another has its place"
