"""The images that ours are built from can be pinned by digest, asked of a real registry."""

import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from containers.engine import Engine, run
from containers.project import ROOT, wait_until

REGISTRY = "127.0.0.1:5000"
BASES = {
    "GATEBOOK_BASE_PYTHON": "python:3.13-slim",
    "GATEBOOK_BASE_NGINX": "nginx:1.31-alpine",
    "GATEBOOK_BASE_POSTGRES": "postgres:18",
}
CONFIG = """
version: 0.1
log: {{level: error}}
storage: {{filesystem: {{rootdirectory: {folder}}}}}
http: {{addr: "{address}"}}
"""


@pytest.fixture
def registry(engine: Engine, tmp_path: Path) -> Iterator[str]:
    """A registry on the engine's network that has the base images."""
    config = tmp_path / "registry.yml"
    config.write_text(CONFIG.format(folder=tmp_path / "registry", address=REGISTRY))
    command = ["docker-registry", "serve", str(config)]
    with (
        open(tmp_path / "registry.log", "wb") as log,
        subprocess.Popen(command, stdout=log, stderr=log) as process,
    ):
        try:
            wait_until(lambda: _answers(), 30, "the registry answers")
            for image in BASES.values():
                engine.docker("tag", image, f"{REGISTRY}/{image}")
                engine.docker("push", "-q", f"{REGISTRY}/{image}")
                engine.docker("rmi", f"{REGISTRY}/{image}")
            yield REGISTRY
        finally:
            process.terminate()
            process.wait(30)


def _answers() -> bool:
    time.sleep(0.05)
    return (
        subprocess.run(["curl", "-fsS", "-o", "/dev/null", f"http://{REGISTRY}/v2/"], capture_output=True).returncode
        == 0
    )


def test_base_images_are_pinned_by_the_digest_that_the_registry_tells(
    engine: Engine, registry: str, tmp_path: Path
) -> None:
    settings = tmp_path / ".env"
    shutil.copy(ROOT / ".env", settings)
    text = settings.read_text()
    for name, image in BASES.items():
        assert f"#{name}={image}\n" in text
        text = text.replace(f"#{name}={image}\n", f"{name}={registry}/{image}\n")
    settings.write_text(text)

    pin = [str(ROOT / "locks" / "pin"), str(settings)]
    run(pin, env=engine.environment)
    run(pin, env=engine.environment)  # again: what is pinned is not pinned twice

    lines = settings.read_text().splitlines()
    for name, image in BASES.items():
        [line] = [line for line in lines if line.startswith(name)]
        assert re.fullmatch(rf"{name}={registry}/{re.escape(image)}@sha256:[0-9a-f]{{64}}", line)
        engine.docker("pull", "-q", line.partition("=")[2])
    [base] = [line.partition("=")[2] for line in lines if line.startswith("GATEBOOK_BASE_NGINX")]
    run(
        ["docker", "build", "-q", "--build-arg", f"BASE={base}", str(ROOT / "gatebook" / "lb")],
        env=engine.environment | {"DOCKER_BUILDKIT": "0"},
    )
    assert [line for line in lines if not line.startswith("GATEBOOK_BASE")] == [
        line for line in text.splitlines() if not line.startswith("GATEBOOK_BASE")
    ]
