"""Every setting, in one table, read once at start and passed on as values.

Rule: nothing else in the package looks at the environment. What the command line says wins over the environment,
and that over the default here. A variable named GATEBOOK_* that is not in the table is a mistake and is refused.
"""

import difflib
import re
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any

from gatebook.errors import UserError

Network = IPv4Network | IPv6Network

MIB = 1024 * 1024
# What is masked unless somebody says otherwise.
REDACTED = (
    "Authorization, Proxy-Authorization, Cookie, Set-Cookie, X-Api-Key, *authorization, *password*, passwd, pwd, "
    "passphrase, *secret*, *token, *api_key, *auth_key, *private_key"
)
_UNITS = {"": 1, "k": 1024, "m": MIB, "g": 1024 * MIB}
_SIZE = re.compile(r"(\d+)\s*([kmg]?)(?:i?b)?", re.IGNORECASE)
# compose.yaml alone reads these; whoever exports them may still run the local stack.
_COMPOSES_OWN = (
    *("GATEBOOK_PUBLISH", "GATEBOOK_TLS_FOLDER"),
    *("GATEBOOK_BASE_PYTHON", "GATEBOOK_BASE_NGINX", "GATEBOOK_BASE_POSTGRES"),
)
_HOST_NAME = re.compile(r"(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*\.?")
_FROM_FILES = ("POSTGRES_PASSWORD", "GATEBOOK_VIEW_PASSWORD", "GATEBOOK_TOKEN")  # NAME_FILE may name a file instead
_HOST_PORT = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9_.-]+):(\d{1,5})")


@dataclass(frozen=True)
class Address:
    """Where something listens: a unix socket `path` or a `host` and `port`."""

    host: str = ""
    port: int = 0
    path: str = ""

    def __str__(self) -> str:
        return f"unix:{self.path}" if self.path else f"{self.host}:{self.port}"


def text(raw: str) -> str:
    if not raw:
        raise ValueError("it is empty")
    return raw


def optional_text(raw: str) -> str:
    return raw


def replica_name(raw: str) -> str:
    """A name that can stand in a header as it is."""
    if not re.fullmatch(r"[!-~]{1,100}", raw):
        raise ValueError("expected 1 to 100 printable ASCII characters without blanks")
    return raw


def path(raw: str) -> Path:
    try:
        return Path(text(raw)).expanduser().absolute()
    except RuntimeError:  # ~ or ~name of nobody
        raise ValueError("nobody knows that home folder") from None


def optional_path(raw: str) -> Path | None:
    return path(raw) if raw else None


def whole(low: int, high: int) -> Callable[[str], int]:
    """A parser of whole numbers from `low` to `high`."""

    def parse(raw: str) -> int:
        if not raw.isascii() or not raw.isdigit() or not low <= int(raw) <= high:
            raise ValueError(f"expected a whole number from {low} to {high}")
        return int(raw)

    return parse


def size(raw: str) -> int:
    """Bytes, from '10485760', '10MiB', '10 MB' or '10m' (units are powers of 1024)."""
    match = _SIZE.fullmatch(raw.strip())
    if not match or not int(match[1]):
        raise ValueError("expected a size such as 10MiB, 512k or 1048576")
    return int(match[1]) * _UNITS[match[2].lower()]


def size_to_keep(raw: str) -> int:
    """Bytes that fit a row and PostgreSQL's messages with room to spare."""
    if (found := size(raw)) > 256 * MIB:
        raise ValueError("expected at most 256MiB")
    return found


def networks(raw: str) -> tuple[Network, ...]:
    """Networks in CIDR notation or single addresses, separated by commas or blanks."""
    try:
        return tuple(ip_network(word) for word in raw.replace(",", " ").split())
    except ValueError as error:
        raise ValueError(f"expected networks such as 10.0.0.0/8 or 192.0.2.7: {error}") from None


def address(raw: str) -> Address:
    """`HOST:PORT`, `[v6]:PORT` or `unix:/PATH`."""
    if raw.startswith("unix:/") and not re.search(r"[\s;{}'\"$]", raw):
        return Address(path=raw.removeprefix("unix:"))
    match = _HOST_PORT.fullmatch(raw)
    if not match or not 0 < int(match[2]) < 65536:
        raise ValueError("expected HOST:PORT, such as webapp:8000, or unix:/PATH")
    return Address(host=match[1], port=int(match[2]))


def addresses(raw: str) -> tuple[Address, ...]:
    """One or more addresses, separated by commas or blanks."""
    found = tuple(address(word) for word in raw.replace(",", " ").split())
    if not found:
        raise ValueError("expected at least one HOST:PORT or unix:/PATH")
    return found


def resolvers(raw: str) -> tuple[str, ...]:
    """Name servers, `IP` or `IP:PORT`, separated by commas or blanks; none means the system's."""
    words = raw.replace(",", " ").split()
    if not all(re.fullmatch(r"[0-9a-fA-F.:\[\]]+", word) for word in words):
        raise ValueError("expected name servers by address, such as 127.0.0.11")
    return tuple(words)


def host_names(raw: str) -> tuple[str, ...]:
    """Host names without ports, in lower case, separated by commas or blanks; `*.` before one: all below it."""
    names = tuple(raw.lower().replace(",", " ").split())
    if not all(_HOST_NAME.fullmatch(name) for name in names):
        raise ValueError("expected host names such as gate.example or *.example, without ports")
    return names


def patterns(raw: str) -> tuple[str, ...]:
    """Names in lower case, separated by commas or blanks; a * stands for anything, `default` for all of REDACTED."""
    words = raw.lower().replace(",", " ").split()
    return tuple(name for word in words for name in (patterns(REDACTED) if word == "default" else (word,)))


def setting(variable: str, default: str, parse: Callable[[str], Any], help: str, *, secret: bool = False) -> Any:
    """A row of the table; `default` is written as the environment would write it."""
    meta = {"variable": variable, "default": default, "parse": parse, "help": help, "secret": secret}
    return field(metadata=meta, repr=not secret)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that can be set. Sizes are in bytes, times in seconds."""

    postgres_host: str = setting(
        "POSTGRES_HOST", "localhost", text, "where PostgreSQL is: a host name, an address, or a unix socket folder"
    )
    postgres_port: int = setting("POSTGRES_PORT", "5432", whole(1, 65535), "its port")
    postgres_user: str = setting("POSTGRES_USER", "gatebook", text, "the role that owns the tables and migrates them")
    postgres_password: str = setting(
        "POSTGRES_PASSWORD",
        "",
        optional_text,
        "its password; POSTGRES_PASSWORD_FILE names a file that holds it instead",
        secret=True,
    )
    postgres_db: str = setting("POSTGRES_DB", "gatebook", text, "the database")
    proxy_upstream: tuple[Address, ...] = setting(
        "PROXY_UPSTREAM",
        "webapp:8000",
        addresses,
        "the replicas, for the load balancer and the viewer: HOST:PORT or unix:/PATH, or a list",
    )
    viewer_upstream: Address = setting(
        "GATEBOOK_VIEWER_UPSTREAM", "viewer:8000", address, "the viewer, for the load balancer"
    )
    resolvers: tuple[str, ...] = setting(
        "GATEBOOK_RESOLVER", "", resolvers, "name servers of the load balancer; empty means those of /etc/resolv.conf"
    )
    replica: str = setting(
        "GATEBOOK_REPLICA", socket.gethostname(), replica_name, "the name a replica records; else the host name"
    )
    bind: Address = setting("GATEBOOK_BIND", "0.0.0.0:8000", address, "where a replica or the viewer listens")
    body_limit: int = setting(
        "GATEBOOK_BODY_LIMIT", "10MiB", size_to_keep, "the most of a body that is kept; the rest is counted and hashed"
    )
    body_max: int = setting(
        "GATEBOOK_BODY_MAX", "1GiB", size, "the most of a body that is read; a larger one is recorded without its body"
    )
    trusted_proxies: tuple[Network, ...] = setting(
        "GATEBOOK_TRUSTED_PROXIES", "", networks, "networks whose X-Forwarded-For is believed, walked right to left"
    )
    spool: Path = setting(
        "GATEBOOK_SPOOL",
        "/var/lib/gatebook/spool",
        path,
        "the folder where replicas record while the database is away; one for all on a host",
    )
    spool_limit: int = setting("GATEBOOK_SPOOL_LIMIT", "1GiB", size, "the most that lies in that folder, in bytes")
    access_log: Path = setting(
        "GATEBOOK_ACCESS_LOG",
        "/var/log/gatebook/access.log",
        path,
        "the load balancer's log of requests, which the audit reads",
    )
    access_log_limit: int = setting(
        "GATEBOOK_ACCESS_LOG_LIMIT", "1GiB", size, "the most that is kept of that log, in bytes; the oldest goes first"
    )
    start_timeout_s: int = setting(
        "GATEBOOK_START_TIMEOUT",
        "30",
        whole(1, 3600),
        "how long the viewer waits at start for the database, in seconds; a replica records into its spool meanwhile",
    )
    view_password: str = setting(
        "GATEBOOK_VIEW_PASSWORD",
        "",
        optional_text,
        "who looks has to say it; GATEBOOK_VIEW_PASSWORD_FILE names a file that holds it instead; empty: anybody looks",
        secret=True,
    )
    view_allow: tuple[Network, ...] = setting(
        "GATEBOOK_VIEW_ALLOW", "", networks, "networks from which one may look; empty: from all"
    )
    view_deny: tuple[Network, ...] = setting(
        "GATEBOOK_VIEW_DENY", "", networks, "networks from which one may not look, whatever GATEBOOK_VIEW_ALLOW says"
    )
    view_hosts: tuple[str, ...] = setting(
        "GATEBOOK_VIEW_HOSTS",
        "",
        host_names,
        "names by which the viewer may be called, beside localhost and addresses; empty: any, but on a local stack's "
        "loopback none",
    )
    token: str = setting(
        "GATEBOOK_TOKEN",
        "",
        optional_text,
        "what commands with --url show to a Gatebook that asks for a password, made by `gatebook token create`; "
        "GATEBOOK_TOKEN_FILE names a file that holds it instead",
        secret=True,
    )
    redact: tuple[str, ...] = setting(
        "GATEBOOK_REDACT",
        REDACTED,
        patterns,
        "names of headers and of query, form and JSON keys whose values are masked until they are revealed; * stands "
        "for anything, case does not count, _ is also - or nothing, `default` stands for those that are masked anyway; "
        "empty: nothing is masked",
    )
    tls_cert: Path | None = setting(
        "GATEBOOK_TLS_CERT", "", optional_path, "the load balancer's certificate with its chain, PEM; empty: no TLS"
    )
    tls_key: Path | None = setting("GATEBOOK_TLS_KEY", "", optional_path, "its private key, PEM")
    rate_limit: int = setting(
        "GATEBOOK_RATE_LIMIT",
        "0",
        whole(0, 1_000_000),
        "requests a second that a client (an IPv4 address, an IPv6 /64) may send, twice as many at once; 0: any number",
    )
    connection_limit: int = setting(
        "GATEBOOK_CONNECTION_LIMIT",
        "0",
        whole(0, 65535),
        "connections, and over HTTP/2 requests, that a client may have under way at once; 0: any number",
    )
    data: Path | None = setting(
        "GATEBOOK_DATA", "", optional_path, "the local stack's folder; else `gatebook` in the user's data folder"
    )
    scale: int = setting("GATEBOOK_SCALE", "3", whole(1, 64), "how many replicas the local stack runs")
    port: int = setting("GATEBOOK_PORT", "8080", whole(1, 65535), "the local stack's port")
    listen: str = setting("GATEBOOK_LISTEN", "127.0.0.1", text, "the address that the local stack's port is opened on")


def read(environ: Mapping[str, str], **given: str | None) -> Settings:
    """Settings from the command line (`given`, by field name; None: it said nothing), then `environ`, then defaults.

    Raises UserError for a value that does not parse and for a GATEBOOK_* variable nobody knows.
    """
    environ = _with_secrets_from_files(environ)
    _refuse_unknown(environ)
    values = {}
    for row in fields(Settings):
        raw = given.get(row.name)
        where = f"--{row.name}" if raw is not None else row.metadata["variable"]
        if raw is None:
            raw = environ.get(row.metadata["variable"], row.metadata["default"])
        values[row.name] = _parse(row.metadata, where, raw)
    return Settings(**values)


def _parse(meta: Mapping[str, Any], where: str, raw: str) -> Any:
    try:
        return meta["parse"](raw)
    except ValueError as error:
        shown = "(not shown)" if meta["secret"] else repr(raw)
        raise UserError(f"{where} is {shown}: {error}", f"{where}: {meta['help']}") from None


def _refuse_unknown(environ: Mapping[str, str]) -> None:
    known = [*(row.metadata["variable"] for row in fields(Settings)), *_COMPOSES_OWN]
    for name in environ:
        if name.startswith("GATEBOOK_") and name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else "known settings: " + ", ".join(sorted(known))
            raise UserError(f"{name} is not a setting of Gatebook", hint)


def _with_secrets_from_files(environ: Mapping[str, str]) -> Mapping[str, str]:
    """`environ` with what the files hold that NAME_FILE names, and without these."""
    found = dict(environ)
    for name in _FROM_FILES:
        path = found.pop(f"{name}_FILE", "")
        if not path:
            continue
        if found.get(name):
            raise UserError(f"both {name} and {name}_FILE are set", "set one of the two")
        try:
            found[name] = Path(path).read_text().rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            raise UserError(
                f"{name}_FILE {path} cannot be read: {why}", f"name a file that this user can read, or set {name}"
            ) from None
        if not found[name]:
            raise UserError(f"{name}_FILE {path} is empty", "write the secret into it, or leave the variable out")
    return found
