"""Fill in the load balancer's configuration: settings in, nginx's words out.

Pure: nothing here reads a file or starts a process. start.sh does the same in the container, where there is no Python;
a test holds the two against each other.
"""

import re
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path

from gatebook.settings import Address, Settings

_PLACEHOLDER = re.compile(r"\$\{([A-Z_]+)\}")
_MOST_OPEN_FILES = 65536
_STRIKES = "max_fails=3 fail_timeout=1s"  # an idle connection that a replica has just closed counts as one
_NEVER_ASIDE = "max_fails=0 backup"


def fill(template: str, values: Mapping[str, str]) -> str:
    """The template with every ${NAME} replaced; raises KeyError for one that has no value."""
    return _PLACEHOLDER.sub(lambda match: values[match[1]], template)


def values(
    settings: Settings, *, listen: str, state: Path, access_log: str, user: str | None, open_files: int
) -> dict[str, str]:
    """The placeholders' values.

    `listen` is what nginx's directive takes, `state` a folder that nginx may write in, `user` whom its workers run as
    (None: as its master), `open_files` the hard limit of open files.
    """
    upstreams = [*settings.proxy_upstream, settings.viewer_upstream]
    open_files = min(open_files, _MOST_OPEN_FILES)
    return {
        "USER": f"user {user};" if user else "",
        "STATE": str(state),
        "ACCESS_LOG": access_log,
        "LISTEN": listen,
        "OPEN_FILES": str(open_files),
        "CONNECTIONS": str(open_files // 2),
        "BODY_MAX": str(settings.body_max),
        "RESOLVER": _resolver(settings.resolvers) if any(map(_needs_resolving, upstreams)) else "",
        "REPLICAS": "".join(_server(each, _STRIKES) for each in settings.proxy_upstream),
        "BACKUPS": "".join(_server(each, _NEVER_ASIDE) for each in settings.proxy_upstream),
        "VIEWER": _server(settings.viewer_upstream, _STRIKES),
    }


def _server(address: Address, options: str) -> str:
    resolve = " resolve" if _needs_resolving(address) else ""
    return f"server {address}{resolve} {options}; "


def _resolver(servers: tuple[str, ...]) -> str:
    return f"resolver {' '.join(servers)} valid=1s ipv6=off; resolver_timeout 2s;"


def _needs_resolving(address: Address) -> bool:
    """Whether `address` is a host name, which nginx asks a name server for."""
    if address.path:
        return False
    try:
        ip_address(address.host.strip("[]"))
    except ValueError:
        return True
    return False
