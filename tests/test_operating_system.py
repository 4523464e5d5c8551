"""What the parts ask of the operating system for themselves."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from parts import until

SOFT = 256  # less than a part needs; engines of containers give 1024


@pytest.mark.parametrize("module", ["gatebook.app", "gatebook.viewer"])
def test_a_part_may_have_as_many_files_open_as_the_hard_limit_says(module: str, tmp_path: Path) -> None:
    """Started by whoever did not raise the soft one, as in a container; it has no need of a database for that."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "HOME") if name in os.environ}
    own = {
        "GATEBOOK_BIND": f"unix:{tmp_path}/part.sock",
        "GATEBOOK_SPOOL": str(tmp_path / "spool"),
        "POSTGRES_HOST": "/nowhere",
    }
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", module],
            env={**kept, **own},
            stderr=log,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (SOFT, hard)),
        )
    try:
        seen = psutil.Process(process.pid)
        until(
            lambda: process.poll() is not None or seen.rlimit(psutil.RLIMIT_NOFILE)[0] != SOFT, "its limit to be raised"
        )
        assert process.poll() is None, (tmp_path / "log").read_text()
        assert seen.rlimit(psutil.RLIMIT_NOFILE) == (min(hard, 65536) if hard > 0 else 65536, hard)
    finally:
        process.kill()
        process.wait()
