"""A stack in containers as it may stand on the internet: TLS, a password, tokens, redaction, forgetting, a renewal.

The plot. A fresh clone gets a certificate and a password before its first start. Who has neither session nor token sees
nothing of what others sent; who has one does, what is secret being masked until it is revealed, and noted. A request is
forgotten for good, and the audit still proves. In the end the certificate is renewed under load, and nobody notices.
"""

import http.client
import json
import os
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import certificates
import pytest
from cryptography import x509

from containers.engine import Engine
from containers.project import Project, wait_until

PASSWORD = "correct horse 42"
ADDRESS = ("127.0.0.1", 8443)
SETTINGS = """
GATEBOOK_PUBLISH=127.0.0.1:8443
GATEBOOK_TLS_FOLDER=./certificates
GATEBOOK_TLS_CERT=/etc/gatebook/tls/fullchain.pem
GATEBOOK_TLS_KEY=/etc/gatebook/tls/privkey.pem
GATEBOOK_VIEW_PASSWORD='{password}'
"""
NGINX = 101  # who reads the key in the container

Headers = dict[str, str]


class Gate(Project):
    """A project whose load balancer speaks TLS."""

    def renew(self) -> certificates.Pair:
        """A new certificate, put in the place of the one before as certbot does: by renaming."""
        made = certificates.make(self.folder / "made")
        os.chown(made.key, NGINX, NGINX)
        target = self.folder / "certificates"
        target.mkdir(exist_ok=True)
        for path in made:
            path.replace(target / path.name)
        return certificates.Pair(target / made.certificate.name, target / made.key.name)

    def send(
        self, method: str, target: str, body: bytes | None = None, headers: Headers | None = None
    ) -> tuple[http.client.HTTPResponse, bytes]:
        """One request over TLS, on a connection of its own."""
        connection = http.client.HTTPSConnection(*ADDRESS, timeout=30, context=certificates.trusting_anybody())
        try:
            connection.request(method, target, body, headers or {})
            answer = connection.getresponse()
            return answer, answer.read()
        finally:
            connection.close()

    def api(self, path: str, token: str) -> Any:
        answer, body = self.send("GET", f"/_/api{path}", headers={"Authorization": f"Bearer {token}"})
        assert answer.status == 200, body
        return json.loads(body)

    def gatebook(self, *words: str) -> str:
        """A command of an operator."""
        return self.compose("run", "--rm", "-T", "keeper", *words)


@pytest.fixture(scope="module")
def gate(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    made = Gate(engine, ["docker", "compose"], tmp_path_factory.mktemp("clone"), "")
    try:
        made.renew()
        with open(made.folder / ".env", "a") as settings:
            settings.write(SETTINGS.format(password=PASSWORD))
        made.compose("build")
        made.compose("up", "-d", "--scale", "webapp=2")
        wait_until(lambda: _status(made, "/up") == 200, 60, "the first answer")
        yield made
    finally:
        made.remove()


def _status(gate: Gate, target: str, headers: Headers | None = None) -> int:
    try:
        return gate.send("GET", target, headers=headers)[0].status
    except OSError:
        time.sleep(0.05)
        return 0


@pytest.fixture
def token(gate: Gate) -> Iterator[str]:
    """A token, made for this test."""
    yield gate.gatebook("token", "create", "test").strip()
    gate.gatebook("token", "revoke", "test")


def test_nothing_is_shown_before_one_has_signed_in(gate: Gate) -> None:
    gate.send("POST", "/theirs", b"theirs")
    answer, page = gate.send("GET", "/")
    assert answer.status == 200 and answer.getheader("Gatebook-Id").encode() in page
    assert b"/theirs" not in page and b"sign-in" in page

    assert _status(gate, "/_/api/requests") == 401
    assert _status(gate, "/_/metrics") == 401
    assert _status(gate, "/_/health/ready") == 200
    asked, _ = gate.send("GET", "/_/", headers={"Accept": "text/html"})
    assert (asked.status, asked.getheader("Location")) == (303, "/_/sign-in")


def test_a_session_is_for_the_viewer_and_every_replica_and_is_recorded_nowhere(gate: Gate) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded", "Sec-Fetch-Site": "same-origin"}
    wrong, _ = gate.send("POST", "/_/sign-in", urlencode({"password": "wrong"}).encode(), form)
    assert wrong.status == 403
    right, _ = gate.send("POST", "/_/sign-in", urlencode({"password": PASSWORD}).encode(), form)
    cookie, *about = right.getheader("Set-Cookie").split("; ")
    assert {"HttpOnly", "SameSite=Strict", "Path=/", "Secure"} <= set(about)

    signed_in = {"Cookie": f"mine=1; {cookie}; other=2", "Accept": "text/html"}
    assert _status(gate, "/_/", signed_in) == 200
    pages = [gate.send("GET", "/", headers=signed_in) for _ in range(8)]
    assert {answer.getheader("Gatebook-Replica") for answer, _ in pages} == _replicas(gate)
    assert all(b"All others" in page for _, page in pages)

    rows = gate.psql("SELECT requests::text FROM requests")
    assert any("mine=1" in row for row in rows)
    assert not any(cookie.partition("=")[2] in row for row in rows)


def _replicas(gate: Gate) -> set[str]:
    return {gate.inspect(container)["Config"]["Hostname"] for container in gate.containers("webapp")}


def test_a_token_lets_in_until_it_is_revoked(gate: Gate) -> None:
    made = gate.gatebook("token", "create", "ci").strip()
    assert gate.api("/requests?limit=1", made)["requests"]
    assert "ci" in gate.gatebook("token", "list")
    gate.gatebook("token", "revoke", "ci")
    wait_until(lambda: _status(gate, "/_/api/requests", {"Authorization": f"Bearer {made}"}) == 401, 15, "refused")


def test_what_is_secret_is_masked_until_it_is_revealed_and_that_is_noted(gate: Gate, token: str) -> None:
    secrets = {"Authorization": "Basic header-secret", "Cookie": "a=cookie-secret", "Content-Type": "application/json"}
    sent, _ = gate.send("POST", "/login?token=query-secret", b'{"password": "body-secret", "user": "ann"}', secrets)
    id = sent.getheader("Gatebook-Id")
    stored = gate.psql(f"SELECT target, headers, convert_from(body, 'UTF8') FROM requests WHERE id = '{id}'")
    assert all(f"{place}-secret" in stored[0] for place in ("header", "cookie", "query", "body"))

    masked = gate.api(f"/requests/{id}", token)
    assert masked["redacted"] and "-secret" not in json.dumps(masked) and "ann" in masked["body"]
    revealed = gate.api(f"/requests/{id}?reveal=1", token)
    assert not revealed["redacted"] and json.dumps(revealed).count("-secret") == 4
    noted = gate.api("/trail", token)["acts"][0]
    assert (noted["act"], noted["who"]) == ("revealed", "token test") and id in noted["about"]


def test_what_is_forgotten_is_gone_for_good_and_the_audit_still_proves(gate: Gate, token: str) -> None:
    sent, _ = gate.send("POST", "/forget-me/x", b"a body to forget")
    id = sent.getheader("Gatebook-Id")
    gate.send("POST", "/keep-me", b"a body to keep")

    def logged() -> str:
        return gate.execute(gate.containers("lb")[0], "sh", "-c", "cat /var/log/gatebook/*")

    wait_until(lambda: "/keep-me" in logged(), 15, "it is logged")
    assert "/forget-me/x" in logged()
    assert "1 request," in gate.gatebook("forget", "path:/forget-me/*")  # a dry run
    assert gate.psql(f"SELECT count(*) FROM requests WHERE id = '{id}'") == ["1"]
    assert "/forget-me/x" in logged()
    gate.gatebook("forget", "path:/forget-me/*", "--yes", "--reason", "asked for")
    assert "/forget-me/x" not in logged() and "/keep-me" in logged()
    assert not gate.psql(f"SELECT id FROM requests WHERE id = '{id}'")
    assert gate.psql("SELECT count(*) FROM requests WHERE target = '/keep-me'") == ["1"]
    assert _status(gate, f"/_/api/requests/{id}", {"Authorization": f"Bearer {token}"}) == 410

    audit = gate.api("/audit", token)
    assert audit["proven"] and audit["counts"]["forgotten"] == 1
    assert gate.api("/trail", token)["acts"][0]["act"] == "forgotten"


def test_a_certificate_is_renewed_under_load_and_no_request_fails(gate: Gate) -> None:
    before = _serial()
    failed: list[str] = []
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            try:
                answer, _ = gate.send("GET", "/renewed")
                if answer.status != 200:
                    failed.append(str(answer.status))
            except OSError as error:
                failed.append(repr(error))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        pair = gate.renew()
        wait_until(lambda: _serial() == pair.serial, 60, "the new certificate is used")
        time.sleep(1)
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert before != pair.serial and not failed


def _serial() -> int:
    return x509.load_pem_x509_certificate(ssl.get_server_certificate(ADDRESS, timeout=10).encode()).serial_number


def test_no_secret_is_in_logs_or_in_the_list_of_processes(gate: Gate, token: str) -> None:
    (viewer,) = gate.containers("viewer")
    told = gate.compose("logs", "--no-color")
    for container in (*gate.containers("webapp"), *gate.containers("lb"), viewer):
        told += gate.engine.docker("top", container, "-eo", "pid,args")
    assert len(told) > 1000
    for secret in (PASSWORD, token, "header-secret", "cookie-secret", "body-secret"):
        assert secret not in told
    key = Path(gate.folder, "certificates", "privkey.pem").read_text().splitlines()[1]
    assert key not in told
