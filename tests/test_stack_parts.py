"""What each part is told in its environment: the stack's own places, and the user's limits."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from gatebook.settings import Address, read
from gatebook.stack.folder import Folder
from gatebook.stack.parts import Kit, Part

USERS = {
    "PATH": "/usr/bin",
    "GATEBOOK_SPOOL": "/elsewhere/spool",
    "GATEBOOK_ACCESS_LOG": "/elsewhere/access.log",
    "GATEBOOK_BIND": "0.0.0.0:1",
    "GATEBOOK_SPOOL_LIMIT": "3MiB",
    "GATEBOOK_ACCESS_LOG_LIMIT": "4MiB",
    "GATEBOOK_BODY_LIMIT": "5",
    "POSTGRES_HOST": "elsewhere",
    "PGHOST": "elsewhere",
}


def kit(environment: Mapping[str, str], address: str = "127.0.0.1") -> Kit:
    return Kit(Folder(Path("/srv/gatebook")), read(environment), environment, address, Path("/bin"), None)


@pytest.mark.parametrize("part", [kit(USERS).viewer(), kit(USERS).replica(2)], ids=lambda part: part.name)
def test_a_part_gets_the_stack_s_own_places_and_the_user_s_limits(part: Part) -> None:
    found = read({name: value for name, value in part.environment.items() if name != "POSTGRES_PASSWORD_FILE"})
    assert (found.spool, found.access_log) == (Path("/srv/gatebook/spool"), Path("/srv/gatebook/logs/access.log"))
    assert (found.spool_limit, found.access_log_limit, found.body_limit) == (3 * 2**20, 4 * 2**20, 5)
    assert found.bind == Address(path=f"/srv/gatebook/run/{part.name}.sock")
    assert found.postgres_host == "/srv/gatebook/run/db"
    assert "PGHOST" not in part.environment


@pytest.mark.parametrize(
    ("address", "users", "names"),
    [
        ("127.0.0.1", "", ("localhost",)),
        ("::1", "", ("localhost",)),
        ("127.0.0.1", "gate.example", ("gate.example",)),
        ("0.0.0.0", "", ()),
        ("192.0.2.1", "", ()),
    ],
)
def test_on_a_loopback_address_nobody_else_s_name_is_answered_to(
    address: str, users: str, names: tuple[str, ...]
) -> None:
    made = kit({"GATEBOOK_VIEW_HOSTS": users} if users else {}, address)
    for part in (made.viewer(), made.replica(1)):
        assert read({"GATEBOOK_VIEW_HOSTS": part.environment.get("GATEBOOK_VIEW_HOSTS", "")}).view_hosts == names


def test_no_part_gets_the_users_token(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t\n")
    for users in ({"GATEBOOK_TOKEN": "t"}, {"GATEBOOK_TOKEN_FILE": str(tmp_path / "token")}):
        made = kit(users)
        for part in (made.viewer(), made.replica(1), made.balancer(), made.database()):
            assert not [name for name in part.environment if "TOKEN" in name]


def test_the_viewer_finds_the_replicas_wherever_the_user_s_are() -> None:
    found = kit({"PROXY_UPSTREAM": "elsewhere:8000"}).viewer().environment["PROXY_UPSTREAM"]
    assert found == "unix:/srv/gatebook/run/webapp-*.sock"
    socket = kit({}).replica(64).socket
    assert socket and socket.match(found.removeprefix("unix:"))


def test_only_what_may_be_started_again_without_harm_is_killed_when_it_hangs() -> None:
    made = kit({})
    parts = [made.replica(1), made.viewer(), made.balancer(), made.database()]
    assert [part.most_silences is not None for part in parts] == [True, True, False, False]


def test_the_load_balancer_and_the_database_get_nothing_of_ours() -> None:
    for part in (kit(USERS).balancer(), kit(USERS).database()):
        assert not [name for name in part.environment if name.startswith(("GATEBOOK_", "POSTGRES_", "PGHOST"))]


def test_whoever_runs_the_parts_does_not_load_them() -> None:
    loaded = "[name for name in sys.modules if name.startswith(('gatebook.app', 'gatebook.viewer', 'asyncpg'))]"
    script = f"import sys, gatebook.stack.start\nprint({loaded})"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
