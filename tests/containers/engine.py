"""A Docker engine of the tests' own, in a network namespace of its own.

Rule: the host's network and any other engine are left alone. The namespace has a loopback and no way out, so no
address, port or firewall rule of the host is touched; it goes when the engine goes. What the engine keeps is in one
folder, which is removed.

Needs root, Linux, dockerd 20.10 or later and util-linux.
"""

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

_CLONE_NEWNET = 0x40000000
PROGRAMS = ["dockerd", "containerd", "docker", "unshare", "setpriv", "ip", "iptables"]


class Engine:
    """A running engine; `environment` makes `docker` and both versions of Compose talk to it, and to nothing else."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="gatebook-engine-"))
        self._dockerd: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("DOCKER_", "COMPOSE_"))}
        config = self.folder / "client"
        return kept | {"DOCKER_HOST": f"unix://{self.folder}/sock", "DOCKER_CONFIG": str(config)}

    def start(self) -> None:
        """Start the engine and wait until it answers."""
        (self.folder / "client").mkdir()
        (self.folder / "daemon.json").write_text("{}")
        options = [
            f"--config-file={self.folder}/daemon.json",
            f"--data-root={self.folder}/data",
            f"--exec-root={self.folder}/exec",
            f"--pidfile={self.folder}/pid",
            f"--host=unix://{self.folder}/sock",
        ]
        # Should the tests be killed, the engine is told to end too, and ends its containers.
        in_namespace = [
            "setpriv",
            "--pdeathsig=TERM",
            "unshare",
            "--net",
            "sh",
            "-c",
            'ip link set lo up && exec "$@"',
            "sh",
        ]
        command = [*in_namespace, "dockerd", *options]
        with open(self.folder / "log", "wb") as log:
            self._dockerd = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        deadline = time.monotonic() + 30
        while subprocess.run(["docker", "info"], env=self.environment, capture_output=True).returncode:
            assert self._dockerd.poll() is None, f"dockerd ended:\n{self.log()}"
            assert time.monotonic() < deadline, f"dockerd does not answer:\n{self.log()}"
            time.sleep(0.1)

    def stop(self) -> None:
        """Remove the containers, end the engine, and leave nothing behind."""
        try:
            if self._dockerd and self._dockerd.poll() is None:
                containers = self.docker("ps", "-aq").split()
                if containers:
                    self.docker("rm", "-f", "-v", *containers)
                self._dockerd.send_signal(signal.SIGTERM)
                self._dockerd.wait(30)
        finally:
            for mount in reversed(self._mounts()):
                subprocess.run(["umount", "-l", mount], check=False)
            shutil.rmtree(self.folder)

    def docker(self, *arguments: str, **options: object) -> str:
        """Run `docker`; its output. Fails the test with what it said when it fails."""
        return run(["docker", *arguments], env=self.environment, **options)

    def logs(self, container: str) -> str:
        """What a container has said so far."""
        both = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        return subprocess.run(["docker", "logs", container], env=self.environment, text=True, **both).stdout

    @contextlib.contextmanager
    def network(self) -> Iterator[None]:
        """In here this thread, and what it starts, is on the engine's network: its 127.0.0.1 is ours."""
        assert self._dockerd
        with open("/proc/thread-self/ns/net") as ours, open(f"/proc/{self._dockerd.pid}/ns/net") as engines:
            _enter(engines.fileno())
            try:
                yield
            finally:
                _enter(ours.fileno())

    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")[-4000:]

    def _mounts(self) -> list[str]:
        points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
        return [point for point in points if point.startswith(f"{self.folder}/")]


def run(command: list[str], **options: object) -> str:
    """Run a command; its output. Fails the test with all it said when it fails, or takes five minutes."""
    result = subprocess.run(command, capture_output=True, text=True, timeout=300, **options)  # type: ignore[call-overload]
    assert result.returncode == 0, (
        f"{' '.join(command)} ended with {result.returncode}:\n{result.stdout}{result.stderr}"
    )
    return result.stdout


def _enter(namespace: int) -> None:
    """setns(2); os.setns is there from Python 3.12 on."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")
