"""Fill in the load balancer's configuration: settings in, nginx's words out.

Pure: nothing here reads a file or starts a process. start.sh does the same in the container, where there is no Python;
a test holds the two against each other.
"""

import re
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path

from gatebook.settings import Address, Network, Settings

_PLACEHOLDER = re.compile(r"\$\{([A-Z_]+)\}")
_MOST_OPEN_FILES = 65536
_STRIKES = "max_fails=3 fail_timeout=1s"  # an idle connection that a replica has just closed counts as one
_NEVER_ASIDE = "max_fails=0 backup"
_LOOKING_RATE, _LOOKING_AT_ONCE = 20, 100  # no less for who looks, whatever the limits for recording are
_PROBING_RATE, _PROBING_AT_ONCE = 200, 100  # nor for who asks for health, or for what pages load
PAIR = "tls.pem"  # the certificate with its chain, then its key, beside nginx's configuration

# With TLS: a request that came without is recorded all the same, by way of the beginning (a named location would take a
# body of any size), and who looks is sent on. What a client sent stands in the private lines, so nothing of it is lost.
_TLS = (
    f"http2 on; ssl_certificate {PAIR}; ssl_certificate_key {PAIR}; error_page 497 = /; "
    "if ($gatebook_unsafe) { return 308 https://$gatebook_called$request_uri; }"
)


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
        "LISTEN": f"{listen} ssl" if settings.tls_cert else listen,
        "OPEN_FILES": str(open_files),
        "CONNECTIONS": str(open_files // 2),
        "BODY_MAX": str(settings.body_max),
        "TLS": _TLS if settings.tls_cert else "",
        "TLS_FACTS": "$gatebook_tls" if settings.tls_cert else "",
        "TRUSTED": _trusted(settings.trusted_proxies),
        "PEER": "$realip_remote_addr" if settings.trusted_proxies else "$remote_addr",
        "LIMIT_ZONES": _limit_zones(settings.rate_limit, settings.connection_limit),
        "LIMITS": _limits(settings.rate_limit, settings.connection_limit),
        "RESOLVER": _resolver(settings.resolvers) if any(map(_needs_resolving, upstreams)) else "",
        "REPLICAS": "".join(_server(each, _STRIKES) for each in settings.proxy_upstream),
        "BACKUPS": "".join(_server(each, _NEVER_ASIDE) for each in settings.proxy_upstream),
        "VIEWER": _server(settings.viewer_upstream, _STRIKES),
    }


def _trusted(networks: tuple[Network, ...]) -> str:
    """Who says whom they speak for, as gatebook.app.capture believes it: for the limits, and for who looks."""
    if not networks:
        return ""
    each = "".join(f"set_real_ip_from {network}; " for network in networks)
    return f"{each}real_ip_header X-Forwarded-For; real_ip_recursive on;"


def _limit_zones(rate: int, connections: int) -> str:
    """10 MiB know 80,000 clients, or 160,000 of those with a connection; the oldest is forgotten first."""
    zones = ""
    if rate:
        zones += f"limit_req_zone $gatebook_client zone=rate:10m rate={rate}r/s; "
        zones += f"limit_req_zone $gatebook_looker zone=looking:10m rate={max(rate, _LOOKING_RATE)}r/s; "
        zones += f"limit_req_zone $gatebook_prober zone=probing:10m rate={max(rate, _PROBING_RATE)}r/s; "
    if connections:
        zones += "limit_conn_zone $gatebook_client zone=connections:10m; "
        zones += "limit_conn_zone $gatebook_looker zone=looking_connections:10m; "
        zones += "limit_conn_zone $gatebook_prober zone=probing_connections:10m; "
    return zones


def _limits(rate: int, connections: int) -> str:
    limits = ""
    if rate:
        looking, probing = max(2 * rate, _LOOKING_AT_ONCE), max(2 * rate, 2 * _PROBING_RATE)
        limits += f"limit_req zone=rate burst={2 * rate} nodelay; limit_req zone=looking burst={looking} nodelay; "
        limits += f"limit_req zone=probing burst={probing} nodelay; "
    if connections:
        looking, probing = max(connections, _LOOKING_AT_ONCE), max(connections, _PROBING_AT_ONCE)
        limits += f"limit_conn connections {connections}; limit_conn looking_connections {looking}; "
        limits += f"limit_conn probing_connections {probing}; "
    return limits


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
