"""A stack whose database and spools lie on small file systems of their own, which can be filled.

They are mounted in a mount namespace of the stack's own (unshare(1)), so that they vanish with its last process,
however that ends. Whoever is not root takes a user namespace too; where the kernel gives none, `up` fails and says so.
"""

import os
import subprocess
import sys
from pathlib import Path

from local_stack import Stack

from gatebook.stack.folder import Folder

DATABASE_MIB = 640
SPOOL_MIB = 192
_MOUNT = """
mount -t tmpfs -o size="$1"m,mode=0700 tmpfs "$2" && mount -t tmpfs -o size="$3"m,mode=0700 tmpfs "$4" || exit 3
shift 4
exec "$@"
"""


_DEPTH = """
import sys
from pathlib import Path
from gatebook import spool
print(spool.depth(Path(sys.argv[1])).rows)
"""


class SmallDisks(Stack):
    """As any other stack, but `postgres` and `spool` in its data folder are file systems."""

    def __init__(self) -> None:
        super().__init__()
        folder = Folder(self.data)
        folder.claim()
        for path in (folder.postgres, folder.spool):
            path.mkdir(mode=0o700)

    @property
    def postgres(self) -> "Disk":
        return Disk(self._seen_from_inside(Folder(self.data).postgres))

    @property
    def spool(self) -> "Disk":
        return Disk(self._seen_from_inside(Folder(self.data).spool))

    def spooled(self) -> int:
        """Asked from inside: SQLite resolves every link of a path, those of /proc too."""
        inside = ["nsenter", "--target", str(self.runner().pid), "--mount"]
        if os.geteuid() != 0:
            inside += ["--user", "--preserve-credentials"]
        command = [*inside, sys.executable, "-c", _DEPTH, str(Folder(self.data).spool)]
        return int(subprocess.run(command, env=self.environment, check=True, capture_output=True, text=True).stdout)

    def _command(self, *args: object) -> list[str]:
        command = super()._command(*args)
        if args[0] != "up":
            return command
        folder = Folder(self.data)
        private = ["unshare", "--mount"]
        if os.geteuid() != 0:
            private += ["--user", "--map-current-user", "--keep-caps"]
        sizes = (DATABASE_MIB, folder.postgres, SPOOL_MIB, folder.spool)
        return [*private, "sh", "-euc", _MOUNT, "sh", *map(str, sizes), *command]

    def _seen_from_inside(self, path: Path) -> Path:
        return Path(f"/proc/{self.runner().pid}/root{path}")


class Disk:
    """A small file system, and the ballast that fills it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._ballast = root / "ballast"

    def fill(self) -> None:
        """Leave no byte."""
        with self._ballast.open("ab", buffering=0) as file:
            piece = bytes(1 << 20)
            while piece:
                try:
                    file.write(piece)
                except OSError:
                    piece = piece[: len(piece) // 2]

    def make_room(self) -> None:
        self._ballast.unlink(missing_ok=True)
