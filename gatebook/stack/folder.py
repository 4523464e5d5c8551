"""The data folder: what lies where in it, whose it is, and that one runner at a time uses it.

Rule: a folder without our marker is not ours; nothing in it is changed or deleted. No folder above it ever is.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from gatebook import __version__
from gatebook.errors import UserError
from gatebook.stack.account import Account

_LONGEST_RUN = (
    64  # bytes; a socket's path may have 103 (macOS) or 107, and a part adds a name such as webapp-64.sock.12345
)
_PLAIN = re.compile(r"[A-Za-z0-9_./@%+-]+")  # what needs no quoting in nginx's and PostgreSQL's configuration
_ROOM_TO_START = 64 * 1024 * 1024
_ROOM_TO_MAKE = 256 * 1024 * 1024


class Folder:
    """The places of one local stack."""

    def __init__(self, root: Path) -> None:
        self.root = root = Path(os.path.realpath(root))
        self.marker = root / ".gatebook"
        self.lock_file = root / "lock"
        self.processes = root / "processes.json"
        self.password = root / "password"
        self.postgres = root / "postgres"
        self.pgdata = self.postgres / "data"
        self.nginx = root / "nginx"
        self.logs = root / "logs"
        self.access_log = self.log("access")
        self.spool = root / "spool"
        self.binaries = root / "binaries"
        self.run = root / "run"
        if len(os.fsencode(self.run)) > _LONGEST_RUN or not _PLAIN.fullmatch(str(self.run)):
            name = hashlib.sha256(os.fsencode(root)).hexdigest()[:12]
            self.run = Path(f"/tmp/gatebook-{os.geteuid()}-{name}")  # noqa: S108  # its owner and mode are checked
        self.database_run = self.run / "db"  # its socket, in a place where its user can make one
        self.control = self.run / "control.sock"
        self._lock: int | None = None

    def __str__(self) -> str:
        return str(self.root)

    def log(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def socket(self, name: str) -> Path:
        return self.run / f"{name}.sock"

    @property
    def ours(self) -> bool:
        return os.path.exists(self.marker)  # no, where we may not even look

    def check(self) -> None:
        """Raise UserError unless the folder is ours, and of this user."""
        try:
            owner = self.marker.stat().st_uid
        except PermissionError:
            raise UserError(f"{self} cannot be read by this user", "ask as the user who runs the stack") from None
        except OSError:
            raise UserError(f"{self} holds no stack of Gatebook", f"gatebook up --data {self}") from None
        if owner != os.geteuid():
            raise UserError(
                f"{self} belongs to user {owner}", "run gatebook as that user, or name another --data folder"
            )

    def has_own_run(self) -> bool:
        """Whether the folder for sockets is there and this user's. In another's, anybody may listen."""
        try:
            found = os.lstat(self.run)
        except OSError:
            return False
        return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()

    def claim(self) -> None:
        """Make the folder ours, if it is new or empty; raises UserError when it is someone's."""
        with _politely(self.root):
            if self.root.exists() and not self.root.is_dir():
                raise UserError(f"{self} is not a folder", "name a folder: gatebook up --data DIR")
            made = not self.root.exists()
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self.ours:
                return self.check()
            if any(path.name != "lost+found" for path in self.root.iterdir()):
                raise UserError(
                    f"{self} holds files and was not made by Gatebook",
                    "name a new or an empty folder: gatebook up --data DIR",
                )
            about = {"made_by": f"gatebook {__version__}", "made_folder": made}
            write_atomically(self.marker, json.dumps(about) + "\n")

    def make(self, account: Account | None) -> None:
        """Make what belongs in the folder; only for who has the lock. Raises UserError where that cannot be."""
        with _politely(self.root):
            os.chmod(self.root, 0o711 if account else 0o700)
            for path, mode in ((self.logs, 0o711), (self.nginx, 0o711), (self.postgres, 0o700), (self.spool, 0o700)):
                path.mkdir(mode=mode, exist_ok=True)
                os.chmod(path, mode)
            self._make_run(account)
            if account:
                account.own(self.postgres)
        if account and not account.reaches(self.root):
            raise UserError(
                f"the user {account.name}, who runs PostgreSQL for root, cannot reach {self}",
                "name a folder that every user can walk to, such as --data /var/lib/gatebook",
            )

    def check_room(self) -> None:
        """Raise UserError when the disk is too full to start on."""
        needed = _ROOM_TO_START if self.pgdata.exists() else _ROOM_TO_MAKE
        free = shutil.disk_usage(self.root).free
        if free < needed:
            raise UserError(
                f"only {free >> 20} MiB are free on the disk of {self}; {needed >> 20} MiB are needed",
                "make room there, or name a folder on another disk: gatebook up --data DIR",
            )

    def lock(self) -> bool:
        """Take the folder for this process until it ends; False when another has it."""
        while True:
            with _politely(self.root):
                descriptor = os.open(self.lock_file, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                return False
            if self._is_current(descriptor):
                self._lock = descriptor
                return True
            os.close(descriptor)  # `down --volumes` has just deleted the file that we waited for

    def unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def forget(self) -> None:
        """Delete what Gatebook made, the marker last, so that a deletion that was cut short can be repeated."""
        made = json.loads(self.marker.read_text() or "{}").get("made_folder", False)
        for path in (self.postgres, self.spool, self.nginx, self.logs, self.binaries, self.run):
            shutil.rmtree(path, ignore_errors=True)
        for path in (self.processes, self.password, self.lock_file, self.marker):
            path.unlink(missing_ok=True)
        if made and not any(self.root.iterdir()):
            self.root.rmdir()

    def _make_run(self, account: Account | None) -> None:
        self.run.mkdir(mode=0o700, exist_ok=True)
        if not self.has_own_run():
            raise UserError(f"{self.run} is needed for sockets and belongs to someone else", f"remove {self.run}")
        if account:
            os.chown(self.run, 0, account.gid)
        os.chmod(self.run, 0o710 if account else 0o700)
        self.database_run.mkdir(mode=0o700, exist_ok=True)
        for path in (*self.run.glob("*.sock*"), *self.database_run.glob(".s.PGSQL.*")):  # nobody listens any more
            path.unlink(missing_ok=True)
        if account:
            account.own(self.database_run)

    def _is_current(self, descriptor: int) -> bool:
        try:
            return os.path.samestat(os.fstat(descriptor), os.stat(self.lock_file))
        except FileNotFoundError:
            return False


@contextlib.contextmanager
def _politely(root: Path) -> Iterator[None]:
    """Trouble with the disk is told as such."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"cannot write in {root}: {error.strerror}",
            "name a folder that you may write in: gatebook up --data DIR",
        ) from None


def default(environ: Mapping[str, str]) -> Path:
    """Where the data lies when nobody says: the system's place for root, else the user's data folder (XDG)."""
    if os.geteuid() == 0:
        return Path("/var/lib/gatebook")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "gatebook"
    base = environ.get("XDG_DATA_HOME", "")
    return (Path(base) if os.path.isabs(base) else Path.home() / ".local" / "share") / "gatebook"


def write_atomically(path: Path, text: str, mode: int = 0o600) -> None:
    """The old content or the new, never half of it, whoever dies when."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w") as file:
            os.fchmod(descriptor, mode)
            file.write(text)
        os.rename(name, path)
    except BaseException:
        os.unlink(name)
        raise
