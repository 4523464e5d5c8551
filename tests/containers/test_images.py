"""What the images and compose.yaml promise besides: who runs them, what they may do, and how they meet bad settings."""

import hashlib
import json
import os
import subprocess
from collections.abc import Callable, Iterator

import pytest
from wire import ask as send

from containers.engine import Engine
from containers.project import Project, ask, wait_until

Say = Callable[[str], None]
ELSEWHERE = ("127.0.0.1", 8082)  # where a load balancer beside the project's is published


@pytest.fixture(scope="module")
def project(compose_v2: Project, say: Say) -> Project:
    say("up once more, for the rest")
    compose_v2.compose("build")
    compose_v2.compose("up", "-d")
    wait_until(lambda: _status(compose_v2) == 200, 30, "the first answer")
    return compose_v2


@pytest.fixture
def network(engine: Engine) -> Iterator[str]:
    """A network on which nobody is called webapp yet, and the load balancer `elsewhere`, to be removed."""
    engine.docker("network", "create", "gatebook-test")
    yield "gatebook-test"
    engine.docker("rm", "-f", "elsewhere")
    engine.docker("network", "rm", "gatebook-test")


@pytest.mark.parametrize("service", ["lb", "webapp", "viewer", "db"])
def test_a_container_runs_as_nobody_special_and_cannot_change_itself(project: Project, service: str) -> None:
    (container,) = project.containers(service)
    status = project.engine.docker("exec", container, "cat", "/proc/1/status")
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)

    assert "0" not in fields["Uid"].split()
    for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(fields[kind], 16) == 0
    assert fields["NoNewPrivs"] == "1"
    assert project.inspect(container)["HostConfig"]["ReadonlyRootfs"]
    writing = ["docker", "exec", "--user", "0", container, "touch", "/here"]
    assert (
        b"Read-only file system" in subprocess.run(writing, env=project.engine.environment, capture_output=True).stderr
    )


def test_only_the_load_balancer_publishes_a_port(project: Project) -> None:
    for service in ("webapp", "viewer", "db"):
        (container,) = project.containers(service)
        assert not project.inspect(container)["HostConfig"]["PortBindings"]
    (lb,) = project.containers("lb")
    assert project.inspect(lb)["HostConfig"]["PortBindings"] == {"8080/tcp": [{"HostIp": "", "HostPort": "80"}]}


def test_a_chunked_mebibyte_with_odd_headers_comes_back_identical(project: Project) -> None:
    body = os.urandom(1024 * 1024)
    chunks = [body[start : start + 60_000] for start in range(0, len(body), 60_000)]
    headers = [("x-TwIcE", "1"), ("X-Twice", "2"), ("x_under_score", "yes"), ("X-Latin", "caf\xe9"), ("x-TwIcE", "3")]
    request = b"POST /odd//path?q=%00 HTTP/1.1\r\nHost: somewhere\r\nTransfer-Encoding: chunked\r\n"
    request = (
        request.replace(b"%00", b"%01") + b"".join(f"{n}: {v}\r\n".encode("latin-1") for n, v in headers) + b"\r\n"
    )
    request += b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    receipt = json.loads(send(project.url, request).body)

    seen = json.loads(project.ask("GET", f"/_/api/requests/{receipt['id']}")[1])
    assert (seen["method"], seen["target"], seen["body_size"]) == ("POST", "/odd//path?q=%01", len(body))
    assert seen["headers"][-len(headers) :] == [list(header) for header in headers]
    assert ["Host", "somewhere"] in seen["headers"]
    assert ["Transfer-Encoding", "chunked"] in seen["headers"]
    answer, stored = project.ask("GET", f"/_/api/requests/{receipt['id']}/body")
    assert answer.status == 200
    assert hashlib.sha256(stored).digest() == hashlib.sha256(body).digest()


@pytest.mark.parametrize("upstream", ["webapp", "webapp:99999", "webapp:8000; daemon on", "http://webapp:8000"])
def test_a_malformed_upstream_ends_the_load_balancer_with_advice(project: Project, upstream: str) -> None:
    command = [
        "docker",
        "run",
        "--rm",
        "--read-only",
        "--tmpfs",
        "/tmp",
        "-e",
        f"PROXY_UPSTREAM={upstream}",
        "gatebook-lb",
    ]
    result = subprocess.run(command, env=project.engine.environment, capture_output=True, text=True, timeout=60)

    assert result.returncode != 0
    said = result.stderr.splitlines()
    assert [line[:7] for line in said] == ["Error: ", "Try:   "]
    assert "PROXY_UPSTREAM" in said[0]


def test_an_upstream_that_nobody_knows_yet_is_answered_503_until_somebody_does(project: Project, network: str) -> None:
    engine = project.engine
    options = ["--name", "elsewhere", "--network", network, "-p", f"{ELSEWHERE[0]}:{ELSEWHERE[1]}:8080"]
    engine.docker(
        "run", "-d", *options, "--read-only", "--tmpfs", "/tmp", "-e", "PROXY_UPSTREAM=later:8000", "gatebook-lb"
    )
    wait_until(lambda: _status_of(ELSEWHERE) == 503, 10, "the load balancer answers")
    answer, body = ask(ELSEWHERE, "POST", "/", b"kept?")
    assert answer.status == 503
    assert answer.getheader("Retry-After")
    assert answer.getheader("Content-Type") == "application/json"
    assert "error" in json.loads(body)

    engine.docker("network", "connect", "--alias", "later", network, project.containers("webapp")[0])
    try:
        wait_until(lambda: _status_of(ELSEWHERE) == 200, 10, "the upstream is found")
        assert "later" in engine.logs("elsewhere")
    finally:
        engine.docker("network", "disconnect", network, project.containers("webapp")[0])


def test_a_changed_file_is_tried_by_restarting_webapp(project: Project) -> None:
    page = project.folder / "gatebook" / "app" / "page.html"
    page.write_text(page.read_text().replace("<title>", "<title>Changed: "))
    assert b"<title>Changed: " not in project.ask("GET", "/")[1]

    project.compose("restart", "webapp")
    wait_until(lambda: _status(project) == 200, 30, "the replica is back")
    assert b"<title>Changed: " in project.ask("GET", "/")[1]


def test_without_the_override_the_images_run_alone(project: Project) -> None:
    project.compose("-f", "compose.yaml", "up", "-d")
    wait_until(lambda: _status(project) == 200, 30, "the first answer")

    for service in ("lb", "webapp", "viewer"):
        (container,) = project.containers(service)
        assert not [mount for mount in project.inspect(container)["Mounts"] if mount["Type"] == "bind"]
    assert b"<title>Changed: " not in project.ask("GET", "/")[1]


def _status(project: Project) -> int:
    return _status_of(project.address)


def _status_of(address: tuple[str, int]) -> int:
    """The status of an answer; 0 where there is none."""
    try:
        return ask(address, "GET", "/status")[0].status
    except OSError:
        return 0
