"""What a user can get wrong or meet: said in two lines, exit code 1, no traceback, nothing lost."""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from local_stack import Stack, made_stack


def refusal(stack: Stack, *args: object, **environment: str) -> str:
    """What `gatebook up ARGS` says when it will not; it must not have left anything running."""
    done = stack.gatebook("up", "-d", *args, check=False, **environment)
    assert done.returncode == 1, done.stdout
    assert stack.ps() == []
    assert done.stderr.startswith("Error: ") and "\nTry:   " in done.stderr, done.stderr
    return done.stderr


def test_a_taken_port_is_seen_before_anything_starts_and_a_free_one_is_named(own_stack: Stack) -> None:
    with socket.create_server(("127.0.0.1", own_stack.port)):
        said = refusal(own_stack)
        assert f"port {own_stack.port} is taken" in said
        assert not (own_stack.data / "postgres" / "data").exists()
    hint = said.split("Try:   gatebook ")[1].split()
    assert own_stack.up(*hint[1:], "--scale", 1)


@pytest.fixture(scope="module")
def one_stack() -> Iterator[Stack]:
    yield from made_stack()


@pytest.fixture
def absent_stack(one_stack: Stack) -> Stack:
    """One that has never been up, and has no data; to be left down."""
    shutil.rmtree(one_stack.data, ignore_errors=True)
    return one_stack


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--listen", "192.0.2.1"], "cannot listen on 192.0.2.1: this machine has no such address"),
        (["--listen", "no such host"], "cannot listen on no such host"),
        (["--port", "0"], "--port is '0'"),
        (["--port", "http"], "--port is 'http'"),
        (["--scale", "0"], "--scale is '0'"),
        (["--data", "/proc/no/such"], "cannot write in /proc/no"),
    ],
)
def test_what_the_command_line_gets_wrong_is_said(absent_stack: Stack, arguments: list[str], said: str) -> None:
    assert said in refusal(absent_stack, *arguments)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("GATEBOOK_BODY_LIMT", "1", "did you mean GATEBOOK_BODY_LIMIT?"),
        ("GATEBOOK_BODY_LIMIT", "much", "GATEBOOK_BODY_LIMIT is 'much'"),
        ("GATEBOOK_TRUSTED_PROXIES", "10.0.0.0/99", "GATEBOOK_TRUSTED_PROXIES is '10.0.0.0/99'"),
        ("GATEBOOK_PORT", "99999", "GATEBOOK_PORT is '99999'"),
    ],
)
def test_malformed_and_unknown_settings_are_refused(absent_stack: Stack, name: str, value: str, said: str) -> None:
    assert said in refusal(absent_stack, **{name: value})
    assert not absent_stack.data.exists()


@pytest.fixture(scope="module")
def stopped_stack() -> Iterator[Stack]:
    """One that has recorded a request to /kept and is down; to be left as good as it is found."""
    for made in made_stack():
        made.up("--scale", 1)
        made.send("GET", "/kept")
        made.down()
        yield made


def starts_with_its_rows(stack: Stack) -> bool:
    stack.up("--scale", 1)
    kept = stack.sql("SELECT count(*) FROM requests WHERE target = '/kept'")
    stack.down()
    return kept == "1"


def test_data_of_another_postgresql_major_is_left_as_it_is(stopped_stack: Stack) -> None:
    version = stopped_stack.data / "postgres" / "data" / "PG_VERSION"
    right = version.read_text()
    version.write_text("17\n")
    assert "made by PostgreSQL 17; this Gatebook ships PostgreSQL 18" in refusal(stopped_stack)
    version.write_text(right)
    assert starts_with_its_rows(stopped_stack)


def test_a_part_that_cannot_start_says_why_and_everything_is_stopped(stopped_stack: Stack) -> None:
    password = stopped_stack.data / "password"
    right = password.read_text()
    password.write_text("wrong\n")
    said = refusal(stopped_stack)
    assert "refuses the user gatebook" in said
    assert "check POSTGRES_USER and POSTGRES_PASSWORD" in said
    password.write_text(right)
    assert starts_with_its_rows(stopped_stack)


def test_a_lost_password_file_is_said_and_not_made_anew(stopped_stack: Stack) -> None:
    password = stopped_stack.data / "password"
    away = password.rename(password.with_name("password.away"))
    assert "password is missing" in refusal(stopped_stack)
    assert not password.exists()
    away.rename(password)


def test_settings_given_to_up_reach_the_replicas(own_stack: Stack) -> None:
    """And what is meant for another database (libpq's and asyncpg's PG*), or are places of another stack, does not."""
    elsewhere = {"PGTARGETSESSIONATTRS": "standby", "GATEBOOK_SPOOL": "/no", "GATEBOOK_ACCESS_LOG": "/no/access.log"}
    own_stack.gatebook("up", "-d", "--scale", 1, GATEBOOK_BODY_LIMIT="10", **elsewhere)
    answer = own_stack.send("POST", "/", b"x" * 11)
    assert answer.status == 413
    own_stack.gatebook("restart", "--rolling")
    assert own_stack.send("POST", "/", b"x" * 11).status == 413


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a small disk, which only root can mount")
def test_a_full_disk_is_seen_before_the_database_is_made(own_stack: Stack, small_disk: Path) -> None:
    said = refusal(own_stack, "--data", small_disk)
    assert "256 MiB are needed" in said
    assert not (small_disk / "postgres" / "data").exists()
    assert "ended by" not in said


@pytest.fixture
def small_disk(own_stack: Stack) -> Iterator[Path]:
    """A disk of 32 MiB."""
    place = own_stack.folder / "disk"
    place.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32m,mode=755", "none", place], capture_output=True)
    if done.returncode:
        pytest.skip(f"no disk can be mounted here: {done.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", place], check=True)


def test_data_that_is_not_a_folder_is_said(own_stack: Stack) -> None:
    own_stack.data.write_text("a file")
    assert "is not a folder" in refusal(own_stack)


def test_an_empty_data_never_means_the_default_stack(absent_stack: Stack) -> None:
    for words in (("down", "--volumes"), ("up", "--detach"), ("ps",)):
        done = absent_stack.gatebook(*words, "--data", "", check=False)
        assert (done.returncode, "--data is empty" in done.stderr) == (1, True)


def test_hints_name_the_stack_that_was_meant(absent_stack: Stack) -> None:
    with socket.create_server(("127.0.0.1", absent_stack.port)):
        assert f"--data {absent_stack.data} --port" in refusal(absent_stack)
