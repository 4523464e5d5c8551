"""What the images and compose.yaml promise besides: who runs them, what they may do, and how they meet bad settings."""

import hashlib
import json
import os
import subprocess
from collections.abc import Callable, Iterator

import pytest
from wire import ask as send

from containers.engine import Engine
from containers.project import ROOT, Project, ask, wait_until

Say = Callable[[str], None]
LOG, SPOOL = "/var/log/gatebook", "/var/lib/gatebook/spool"
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


@pytest.mark.parametrize("image", ["gatebook-app", "gatebook-lb"])
def test_an_image_of_ours_installs_nothing_and_makes_nobody_another_user(project: Project, image: str) -> None:
    look = "for each in apt apt-get dpkg apk pip pip3 perl; do command -v $each; done; find / -xdev -type f -perm /6000"
    found = project.engine.docker("run", "--rm", "--user", "0", "--entrypoint", "sh", image, "-c", f"{look}; true")
    assert not found


def test_the_web_servers_image_carries_its_bill_of_materials(project: Project) -> None:
    read = ["run", "--rm", "--entrypoint", "cat", "gatebook-app", "/srv/sbom.cdx.json"]
    assert json.loads(project.engine.docker(*read)) == json.loads((ROOT / "locks" / "image.cdx.json").read_text())


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


def test_the_volumes_belong_to_those_who_write_in_them_and_the_viewer_can_read_both(project: Project) -> None:
    project.ask("GET", "/in-the-log")
    (viewer,), (lb,), webapps = (project.containers(service) for service in ("viewer", "lb", "webapp"))
    for container in (viewer, *webapps):
        assert project.execute(container, "stat", "-c", "%u:%g %a", SPOOL) == "10001:10001 700\n"
    for container in (viewer, lb):
        assert project.execute(container, "stat", "-c", "%u:%g %a", LOG) == "101:101 755\n"
    assert len({_volume(project, container, SPOOL) for container in (viewer, *webapps)}) == 1
    assert _volume(project, viewer, LOG) == _volume(project, lb, LOG)
    wait_until(lambda: "GET /in-the-log" in project.execute(viewer, "cat", f"{LOG}/access.log"), 10, "it is written")
    for line in project.execute(viewer, "cat", f"{LOG}/access.log").splitlines():
        json.loads(line)


@pytest.mark.parametrize("first", ["gatebook-lb", "gatebook-app"])
@pytest.mark.parametrize("options", ["", ":ro"])
def test_an_empty_volume_is_the_load_balancer_s_whoever_meets_it_first(
    project: Project, first: str, options: str
) -> None:
    docker = project.engine.docker
    docker("volume", "create", "empty")
    try:
        look = ["--rm", "--read-only", "--entrypoint", "stat"]
        docker("run", *look, "-v", f"empty:{LOG}{options}", first, LOG)
        for image in ("gatebook-lb", "gatebook-app"):
            assert docker("run", *look, "-v", f"empty:{LOG}", image, "-c", "%u:%g %a", LOG) == "101:101 755\n"
    finally:
        docker("volume", "rm", "empty")


def test_the_access_log_is_put_away_while_nginx_serves_and_nothing_of_it_is_lost(project: Project) -> None:
    """Made long by a hole. Who does it is no more than a child of nginx, which is the container's first process."""
    (lb,), (viewer,) = project.containers("lb"), project.containers("viewer")
    log = f"{LOG}/access.log"
    project.execute(lb, "truncate", "-s", "65M", log)
    targets = [f"/rotated/{number}" for number in range(300)]
    for target in targets:
        assert project.ask("GET", target)[0].status == 200
    wait_until(lambda: len(project.execute(viewer, "ls", LOG).split()) == 2, 10, "a piece of the log")
    assert project.ask("GET", "/rotated/last")[0].status == 200

    def logged() -> list[str]:
        lines = project.execute(viewer, "sh", "-c", f"cat {LOG}/* | tr -d '\\0' | grep ' /rotated/'").splitlines()
        return [json.loads(line)["request"].split(" ")[1] for line in lines]

    wait_until(lambda: "/rotated/last" in logged(), 10, "the last line is written")
    assert sorted(logged()) == sorted([*targets, "/rotated/last"])
    assert "nginx" in project.execute(lb, "cat", "/proc/1/cmdline")
    assert "start.sh tidy 1" in project.engine.docker("top", lb)


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


def _volume(project: Project, container: str, place: str) -> str:
    """The name of what is mounted there."""
    (name,) = [mount["Name"] for mount in project.inspect(container)["Mounts"] if mount["Destination"] == place]
    return str(name)


def _status(project: Project) -> int:
    return _status_of(project.address)


def _status_of(address: tuple[str, int]) -> int:
    """The status of an answer; 0 where there is none."""
    try:
        return ask(address, "GET", "/status")[0].status
    except OSError:
        return 0
