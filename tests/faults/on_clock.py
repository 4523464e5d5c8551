"""A load balancer's clock is an hour off: its stamps are, and so are the ids."""

import http.client
import re
import secrets
import socket
import time
from pathlib import Path

from faults.trial import Trial, fault
from gatebook.identity import request_uuid
from gatebook.stack.folder import Folder

HOUR_S = 3600.0


@fault("stamps an hour in the past and in the future")
def stamp_an_hour_off(trial: Trial) -> None:
    """Stored once, whichever replica is asked again; on the page one's own stands first, the others by id."""
    replicas = [Folder(trial.stack.data).socket(name) for name in trial.stack.replicas()]
    early, late = Stamped(-HOUR_S), Stamped(HOUR_S)
    for stamped in (early, late, early):
        own = [_page(replica, stamped)[0] for replica in replicas]
        assert own == [stamped.id] * len(replicas)  # the same request, thrice
    now = Stamped(0)
    first, *others = _page(replicas[0], now)
    assert first == now.id
    assert others == sorted(others, reverse=True)
    assert late.id in others, "a stamp of the future stays on top of the others until its time has come"
    assert early.id not in others
    for stamped in (early, late, now):
        rows = trial.stack.sql(
            f"SELECT target, extract(epoch FROM received_at) FROM requests WHERE id = '{stamped.id}'"
        )
        assert rows == f"{stamped.target}|{float(stamped.msec):.6f}"
        assert trial.stack.sql(f"SELECT count(*) FROM requests WHERE target = '{stamped.target}'") == "1"


class Stamped:
    """A request of the page with a stamp of our own making."""

    def __init__(self, ahead_s: float) -> None:
        self._request_id = secrets.token_hex(16)
        self.msec = f"{time.time() + ahead_s:.3f}"
        self.id = request_uuid(self._request_id, self.msec)
        self.target = f"/?stamped={self._request_id}"

    @property
    def hop(self) -> bytes:
        """What nginx would send to a replica."""
        return (
            f"GET / HTTP/1.1\r\nGatebook Stamp: {self._request_id} {self.msec} http 192.0.2.1\r\n"
            f"Gatebook Request: GET {self.target} HTTP/1.1\r\nGatebook Header Host: localhost\r\n\r\n"
        ).encode()


def _page(replica: Path, stamped: Stamped) -> list[str]:
    """The ids on the page that a replica answers with: one's own first."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(30)
        connection.connect(str(replica))
        connection.sendall(stamped.hop)
        with http.client.HTTPResponse(connection, method="GET") as answer:
            answer.begin()
            html = answer.read().decode()
    assert (answer.status, answer.headers["Gatebook-Id"]) == (200, stamped.id)
    return re.findall(r"href=_/requests/([0-9a-f-]{36})>", html)
