"""The unprivileged system user that PostgreSQL and nginx's workers run as when the stack is started by root."""

import os
import pwd
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gatebook.errors import UserError

NAME = "gatebook"
_USERADD = ("useradd", "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent")


@dataclass(frozen=True)
class Account:
    """A system user other than our own."""

    name: str
    uid: int
    gid: int

    @property
    def popen(self) -> dict[str, Any]:
        """The arguments of subprocess.Popen that make a process this user's."""
        return {"user": self.uid, "group": self.gid, "extra_groups": ()}

    def own(self, path: Path) -> None:
        os.chown(path, self.uid, self.gid)

    def reaches(self, path: Path, need: int = stat.S_IXOTH) -> bool:
        """Whether this user may walk to `path` and there do what `need` says (S_IROTH, S_IXOTH); no ACLs."""
        path = path.resolve()
        return self._may(path, need) and all(self._may(parent, stat.S_IXOTH) for parent in path.parents)

    def _may(self, path: Path, need: int) -> bool:
        try:
            found = path.stat()
        except OSError:
            return False
        shift = 6 if found.st_uid == self.uid else 3 if found.st_gid == self.gid else 0
        return (found.st_mode >> shift) & need == need


def unprivileged() -> Account | None:
    """Who to run PostgreSQL as: None (ourselves) unless we are root; made when missing. Raises UserError."""
    if os.geteuid() != 0:
        return None
    return _known() or _made()


def _known() -> Account | None:
    try:
        entry = pwd.getpwnam(NAME)
    except KeyError:
        return None
    return Account(NAME, entry.pw_uid, entry.pw_gid)


def _made() -> Account:
    hint = f"run gatebook as an ordinary user, or make the system user {NAME} by hand"
    try:
        done = subprocess.run([*_USERADD, "--shell", "/usr/sbin/nologin", NAME], capture_output=True, text=True)
    except FileNotFoundError:
        raise UserError(
            f"PostgreSQL must not run as root, and there is no useradd to make the user {NAME}", hint
        ) from None
    account = _known()  # also when another stack has made it just now
    if not account:
        raise UserError(f"PostgreSQL must not run as root, and useradd failed: {done.stderr.strip()}", hint)
    return account
