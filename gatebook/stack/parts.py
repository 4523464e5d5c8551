"""What there is to run: each part's command, environment, health and manner of stopping."""

import os
import signal
import ssl
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from ipaddress import ip_address
from pathlib import Path

import gatebook
from gatebook.settings import Settings
from gatebook.stack import health, nginx, port, postgres
from gatebook.stack.account import Account
from gatebook.stack.certificate import Certificate
from gatebook.stack.folder import Folder
from gatebook.stack.health import Health

DATABASE, VIEWER, BALANCER, REPLICA = "db", "viewer", "lb", "webapp"

_PROBE_TIMEOUT_S = 5.0
_MOST_SILENCES = 3  # 15 s: nginx gives up on each request after 6; whoever stops a process for 10 s is left in peace


@dataclass(frozen=True)
class Part:
    """One part of the stack, running or not."""

    name: str
    role: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    address: str
    health: Callable[[], Awaitable[Health]]
    stops: tuple[tuple[signal.Signals, float], ...]  # in turn: a signal, and the seconds to wait for the end
    log: Path
    socket: Path | None = None  # one that a new process takes over from a running one
    account: Account | None = None
    in_batches: bool = False  # see spawn
    most_silences: int | None = None  # so many health questions unanswered in a row, and it is hung, to be killed


@dataclass(frozen=True)
class Kit:
    """All that the parts are made of."""

    folder: Folder
    settings: Settings
    environment: Mapping[str, str]
    address: str
    programs: Path  # PostgreSQL's
    account: Account | None
    certificate: Certificate | None = None  # where the load balancer speaks TLS

    @property
    def listen(self) -> str:
        return port.as_written(self.address, self.settings.port)

    @property
    def url(self) -> str:
        scheme = "https" if self.certificate else "http"
        return f"{scheme}://{port.as_written(port.to_reach(self.address), self.settings.port)}"

    @cached_property
    def tls(self) -> ssl.SSLContext | None:
        """For asking whether our load balancer answers, whatever certificate it shows; None where it speaks no TLS.

        No secret goes that way: the stack's own commands ask the viewer at its socket.
        """
        if not self.certificate:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context

    @property
    def _is_known_as_localhost(self) -> bool:
        """Whether only this machine reaches it, and nobody has said by which other name it may be called."""
        return ip_address(self.address).is_loopback and not self.settings.view_hosts

    def database(self) -> Part:
        socket = postgres.socket(self.folder)
        return Part(
            name=DATABASE,
            role=DATABASE,
            command=postgres.command(self.folder, self.programs),
            environment=postgres.environment(),
            address=f"unix:{socket}",
            health=lambda: health.database(self.folder.pgdata, socket, _PROBE_TIMEOUT_S),
            # "Fast", then "immediate": no worse than a power cut, of which PostgreSQL recovers.
            stops=((signal.SIGINT, 20.0), (signal.SIGQUIT, 5.0)),
            log=self.folder.log(DATABASE),
            account=self.account,
            in_batches=True,
        )

    def replica(self, number: int) -> Part:
        return self._python(f"{REPLICA}-{number}", REPLICA, "gatebook.app", 10.0)

    def viewer(self) -> Part:
        replicas = self.folder.socket(f"{REPLICA}-*")  # it asks all that are there for what they have to tell
        return self._python(VIEWER, VIEWER, "gatebook.viewer", 5.0, PROXY_UPSTREAM=f"unix:{replicas}")

    def balancer(self) -> Part:
        host, number = port.to_reach(self.address), self.settings.port
        return Part(
            name=BALANCER,
            role=BALANCER,
            command=nginx.command(self.folder),
            environment=_without_ours(self.environment),
            address=self.url,
            health=lambda: health.listening(host, number, _PROBE_TIMEOUT_S, self.tls),
            stops=((signal.SIGQUIT, 5.0), (signal.SIGTERM, 2.0)),
            log=self.folder.log(BALANCER),
        )

    def write_balancer_config(self, replicas: list[str]) -> None:
        nginx.write_config(self.folder, self.settings, self.listen, replicas, self.account)

    def _python(self, name: str, role: str, module: str, longest_s: float, **environment: str) -> Part:
        socket = self.folder.socket(name)
        return Part(
            name=name,
            role=role,
            command=(os.path.abspath(sys.executable), "-P", "-m", module),
            environment={**self._python_environment(name, socket), **environment},
            address=f"unix:{socket}",
            health=lambda: health.ready(socket, _PROBE_TIMEOUT_S),
            stops=((signal.SIGTERM, longest_s),),
            log=self.folder.log(name),
            socket=socket,
            most_silences=_MOST_SILENCES,
        )

    def _python_environment(self, name: str, socket: Path) -> dict[str, str]:
        """The user's environment, GATEBOOK_BODY_LIMIT and all, with our database and this part's own place."""
        return {
            **_without_ours(self.environment),
            **_handed_on(self.environment),
            **({"GATEBOOK_VIEW_HOSTS": "localhost"} if self._is_known_as_localhost else {}),
            **_where_we_are(self.environment),
            "PYTHONUNBUFFERED": "1",
            "POSTGRES_HOST": str(self.folder.database_run),
            "POSTGRES_PORT": str(postgres.PORT),
            "POSTGRES_USER": postgres.NAME,
            "POSTGRES_PASSWORD_FILE": str(self.folder.password),
            "POSTGRES_DB": postgres.NAME,
            "GATEBOOK_BIND": f"unix:{socket}",
            "GATEBOOK_REPLICA": name,
            "GATEBOOK_SPOOL": str(self.folder.spool),
            "GATEBOOK_ACCESS_LOG": str(self.folder.access_log),
        }


def _handed_on(environment: Mapping[str, str]) -> dict[str, str]:
    """The user's settings, but for the token, which is for other Gatebooks."""
    own = {key: value for key, value in environment.items() if key.startswith("GATEBOOK_")}
    return {key: value for key, value in own.items() if key not in ("GATEBOOK_TOKEN", "GATEBOOK_TOKEN_FILE")}


def _without_ours(environment: Mapping[str, str]) -> dict[str, str]:
    """`environment` without what would lead a part to another database (libpq and asyncpg read PG*)."""
    return {key: value for key, value in environment.items() if not key.startswith(("GATEBOOK_", "POSTGRES_", "PG"))}


def _where_we_are(environment: Mapping[str, str]) -> dict[str, str]:
    """PYTHONPATH for a checkout that is not installed; -P keeps whatever lies in the current folder out."""
    place = Path(gatebook.__file__).parent.parent
    if place.name in ("site-packages", "dist-packages"):
        return {}
    before = [os.path.abspath(word) for word in environment.get("PYTHONPATH", "").split(os.pathsep) if word]
    return {"PYTHONPATH": os.pathsep.join([str(place), *before])}
