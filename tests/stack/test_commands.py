"""The commands do what they say, on a stack that is well."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator

from local_stack import Stack, runs, until

from gatebook import __version__
from gatebook.cli import COMMANDS


def test_requests_through_the_gate_land_on_three_replicas_and_in_the_table(stack: Stack) -> None:
    targets = ["/", "/?a=1", "/odd//path/", "/%41", "/x;y,z", "//"]
    answers = [stack.send("GET", targets[number % len(targets)]) for number in range(30)]
    assert all(answer.status == 200 for answer in answers)
    assert all(answer.headers["Gatebook-Durability"] == "committed" for answer in answers)
    assert set(Counter(answer.headers["Gatebook-Replica"] for answer in answers)) == {
        "webapp-1",
        "webapp-2",
        "webapp-3",
    }
    ids = {answer.headers["Gatebook-Id"] for answer in answers}
    quoted = ",".join(f"'{each}'" for each in ids)
    assert set(stack.sql(f"SELECT id FROM requests WHERE id IN ({quoted})").splitlines()) == ids


def test_up_recorded_a_request_of_its_own(stack: Stack) -> None:
    agent = f"gatebook-up/{__version__}"
    rows = stack.sql("SELECT headers FROM requests WHERE method = 'HEAD' AND target = '/'").splitlines()
    assert any(["User-Agent", agent] in json.loads(row) for row in rows)


def test_ps_shows_every_part_with_its_process(stack: Stack) -> None:
    parts = stack.ps()
    assert [part["name"] for part in parts] == ["lb", "webapp-1", "webapp-2", "webapp-3", "viewer", "db"]
    assert [part["role"] for part in parts] == ["lb", "webapp", "webapp", "webapp", "viewer", "db"]
    assert {part["state"] for part in parts} == {"healthy"}
    for part in parts:
        os.kill(part["pid"], 0)
    assert parts[0]["address"] == stack.url
    table = stack.gatebook("ps").stdout
    assert all(f"{part['name']} " in table and str(part["pid"]) in table for part in parts)


def test_psql_runs_what_it_is_given_and_passes_on_how_it_ended(stack: Stack) -> None:
    assert stack.sql("SELECT current_user, current_database()") == "gatebook|gatebook"
    assert stack.gatebook("psql", "--", "-c", "SELEC", check=False).returncode == 1


def test_the_database_is_durable_and_asks_for_a_password(stack: Stack) -> None:
    names = "'fsync', 'synchronous_commit', 'full_page_writes', 'listen_addresses'"
    found = stack.sql(f"SELECT name || '=' || setting FROM pg_settings WHERE name IN ({names}) ORDER BY name")
    assert found.splitlines() == ["fsync=on", "full_page_writes=on", "listen_addresses=", "synchronous_commit=on"]
    assert set(stack.sql("SELECT DISTINCT auth_method FROM pg_hba_file_rules").splitlines()) == {"scram-sha-256"}
    assert (stack.data / "password").stat().st_mode & 0o777 == 0o600


def test_nobody_else_can_read_the_data(stack: Stack) -> None:
    """As root the folder may be walked through, by PostgreSQL's user; neither listed nor read in."""
    assert stack.data.stat().st_mode & 0o066 == 0
    for path in (*(stack.data / "logs").iterdir(), stack.data / "processes.json", stack.data / "run" / "control.sock"):
        assert path.stat().st_mode & 0o077 == 0, path
    assert (stack.data / "run").stat().st_mode & 0o007 == 0
    assert (stack.data / "postgres" / "data").stat().st_mode & 0o077 == 0


def test_logs_show_the_parts_with_their_names(stack: Stack) -> None:
    all_logs = stack.logs()
    for name in ("webapp-1", "webapp-2", "webapp-3", "viewer", "db", "runner"):
        assert f"{name:<9} | " in all_logs
    replicas = stack.logs("webapp")
    assert {line.split()[0] for line in replicas.splitlines()} == {"webapp-1", "webapp-2", "webapp-3"}
    assert len(stack.logs("--tail", 1, "db").splitlines()) == 1
    answer = stack.send("GET", "/in-the-access-log")
    until(lambda: "/in-the-access-log" in stack.logs("access"), "the access log to be flushed")
    line = next(line for line in stack.logs("access", "--no-log-prefix").splitlines() if "/in-the-access-log" in line)
    assert json.loads(line)["replica"] == answer.headers["Gatebook-Replica"]
    assert "there is no log of nothing" in stack.gatebook("logs", "nothing", check=False).stderr


def test_a_second_up_on_the_same_data_is_refused(stack: Stack) -> None:
    before = stack.ps()
    done = stack.gatebook("up", "-d", "--port", stack.port + 1, check=False)
    assert done.returncode == 1
    assert f"a stack runs on {stack.data} already" in done.stderr
    assert [part["pid"] for part in stack.ps()] == [part["pid"] for part in before]


def test_two_stacks_run_side_by_side(stack: Stack, own_stack: Stack) -> None:
    own_stack.up("--scale", 1)
    assert own_stack.send("GET", "/only-here").status == 200
    count = "SELECT count(*) FROM requests WHERE target = '/only-here'"
    assert (own_stack.sql(count), stack.sql(count)) == ("1", "0")
    own_stack.down()
    stack.until_healthy()


def test_in_the_foreground_it_shows_the_logs_until_ctrl_c(own_stack: Stack) -> None:
    with own_stack.start("up", "--scale", 1) as running:
        assert running.stdout
        seen = list(_lines_until(running.stdout, f"{own_stack.url}/  (Ctrl-C ends it)"))
        assert any("recorded by webapp-1" in line for line in seen)
        assert own_stack.send("GET", "/").status == 200
        own_stack.kill("webapp-1")
        assert "webapp-1  | " in list(_lines_until(running.stdout, "ended with signal 9"))[-1]
        own_stack.until_healthy()
        processes = own_stack.processes()
        running.send_signal(signal.SIGINT)
        rest = running.stdout.read()
        assert running.wait(30) == 0
    assert "db        stopped" in rest
    assert "Traceback" not in rest
    assert not [process for process in processes if runs(process)]
    assert own_stack.ps() == []


def _lines_until(output: Iterable[str], words: str) -> Iterator[str]:
    """The lines up to the one that holds `words`; ends early when the output does."""
    for line in output:
        yield line
        if words in line:
            return


def test_logs_can_be_followed_until_the_stack_ends(own_stack: Stack) -> None:
    own_stack.up("--scale", 1)
    with own_stack.start("logs", "-f", "webapp") as following:
        assert following.stdout
        assert "webapp-1 records" in list(_lines_until(following.stdout, "records"))[-1]
        own_stack.kill("webapp-1")
        assert "webapp-1 ended" in list(_lines_until(following.stdout, "with signal 9"))[-1]
        own_stack.down()
        assert following.wait(30) == 0


def test_without_a_stack_ps_is_empty_and_the_others_say_so(own_stack: Stack) -> None:
    assert own_stack.ps() == []
    for command in (["scale", "2"], ["restart"], ["psql"], ["logs"], ["audit"], ["tail"], ["count"], ["wait", "a"]):
        done = own_stack.gatebook(*command, check=False)
        assert done.returncode == (2 if command[0] == "wait" else 1)
        assert "gatebook up --data" in done.stderr, done.stderr
    assert own_stack.down() == f"no stack runs on {own_stack.data}\n"


def test_help_comes_at_once_and_shows_an_example_for_every_command(own_stack: Stack) -> None:
    """At once: without reading what only a stack needs. Seconds are not asserted, on a machine shared with others."""
    began = time.monotonic()
    page = own_stack.gatebook("--help").stdout
    print(f"gatebook --help: {time.monotonic() - began:.3f} s")
    for command in COMMANDS:
        assert f"\n  {command} " in page
        assert f"\n  gatebook {command}" in own_stack.gatebook(command, "--help").stdout
    loaded = "import sys; sys.argv = ['gatebook', '--help']\nfrom gatebook.cli import main\n"
    heavy = "{'asyncio', 'psutil', 'asyncpg', 'fastapi', 'httpx', 'lark', 'gatebook.settings'} & set(sys.modules)"
    script = f"{loaded}try: main()\nexcept SystemExit: print('heavy:', {heavy})"
    done = subprocess.run([sys.executable, "-c", script], env=own_stack.environment, capture_output=True, text=True)
    assert "heavy: set()" in done.stdout, done.stdout + done.stderr
    assert own_stack.gatebook("--version").stdout == f"gatebook, version {__version__}\n"
