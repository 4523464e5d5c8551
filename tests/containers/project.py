"""A copy of the tree, as a fresh clone would have it, and Compose in it."""

import http.client
import json
import shutil
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

from containers.engine import Engine, run

ROOT = Path(__file__).parents[2]


class Project:
    """What `command`, a version of Compose, runs from a copy of the tree in `folder`, published at `address`.

    `publish` is the host's port or address and port; empty: what compose.yaml says without being told.
    """

    def __init__(self, engine: Engine, command: list[str], folder: Path, publish: str) -> None:
        self.engine, self.command, self.folder, self.publish = engine, command, folder, publish
        host, _, port = publish.rpartition(":")
        self.address = (host or "127.0.0.1", int(port or 80))
        self.url = f"http://{self.address[0]}:{self.address[1]}"
        copy_tree(folder)

    def compose(self, *arguments: str) -> str:
        chosen = {"GATEBOOK_PUBLISH": self.publish} if self.publish else {}
        environment = self.engine.environment | chosen | {"COMPOSE_PROJECT_NAME": "gatebook"}
        return run([*self.command, *arguments], env=environment, cwd=self.folder)

    def containers(self, service: str) -> list[str]:
        """The ids of the running containers of a service."""
        filters = ["label=com.docker.compose.project=gatebook", f"label=com.docker.compose.service={service}"]
        return self.engine.docker("ps", "-q", *[word for each in filters for word in ("--filter", each)]).split()

    def inspect(self, container: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.engine.docker("inspect", container))[0]
        return found

    def execute(self, container: str, *command: str) -> str:
        """Run a command in a container, as the container's own user; its output."""
        return self.engine.docker("exec", container, *command)

    def psql(self, query: str) -> list[str]:
        """The rows that a query gives, as psql in the database's container prints them, values separated by `|`."""
        (db,) = self.containers("db")
        return self.execute(db, "psql", "-XAtq", "-U", "gatebook", "-d", "gatebook", "-c", query).splitlines()

    def stored_ids(self) -> set[str]:
        return set(self.psql("SELECT id FROM requests"))

    def ask(self, method: str, target: str, body: bytes | None = None) -> tuple[http.client.HTTPResponse, bytes]:
        """One request on a connection of its own."""
        return ask(self.address, method, target, body)

    def remove(self) -> None:
        """Take all of it away, images too."""
        self.compose("down", "--volumes", "--remove-orphans")
        self.engine.docker("rmi", "-f", "gatebook-app", "gatebook-lb")


class FirstAnswer:
    """The first answer that a port gives, asked for again and again from before it is open.

    A connection that is refused, or closed with no answer, is not an accepted request: the engine's own proxy opens the
    port some milliseconds before anything in the container can.
    """

    def __init__(self, address: tuple[str, int]) -> None:
        self.status = 0
        self.durability: str | None = None
        self.id: str | None = None
        self.at = 0.0
        self._address = address
        self._given_up = threading.Event()
        self._thread = threading.Thread(target=self._ask, name="first-answer")

    def __enter__(self) -> "FirstAnswer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join(10)
        self._given_up.set()
        self._thread.join()

    def _ask(self) -> None:
        while not self._given_up.is_set():
            try:
                answer, _ = ask(self._address, "GET", "/first")
            except OSError:
                time.sleep(0.002)
            else:
                self.status, self.durability = answer.status, answer.getheader("Gatebook-Durability")
                self.id = answer.getheader("Gatebook-Id")
                self.at = time.monotonic()
                return


def ask(
    address: tuple[str, int], method: str, target: str, body: bytes | None = None
) -> tuple[http.client.HTTPResponse, bytes]:
    """One request on a connection of its own: the answer and its body."""
    connection = http.client.HTTPConnection(*address, timeout=30)
    try:
        connection.request(method, target, body)
        answer = connection.getresponse()
        return answer, answer.read()
    finally:
        connection.close()


def wait_until(condition: Any, seconds: float, what: str) -> float:
    """Wait for a condition; how many seconds it took. Fails the test when it does not come true in time."""
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < seconds, f"not within {seconds} s: {what}"
        time.sleep(0.05)
    return time.monotonic() - start


def copy_tree(folder: Path) -> None:
    """What git would have in a clone, with changes that are not committed yet."""
    listed = ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, check=True, text=True).stdout.split("\0")
    for name in filter(None, names):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
