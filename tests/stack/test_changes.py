"""Scaling and restarting under load: nothing is dropped."""

from collections.abc import Iterator

import httpx
import psutil
import pytest
from load import load
from local_stack import Stack, assert_kept, made_stack, runs, until

from gatebook import spool


@pytest.fixture(scope="module")
def started() -> Iterator[Stack]:
    for made in made_stack():
        made.up("--scale", 1)
        yield made


@pytest.fixture
def small_stack(started: Stack) -> Stack:
    """One replica; the stack is the same for all tests here."""
    started.gatebook("scale", 1)
    started.until_healthy()
    return started


def test_scaling_up_and_down_under_load_drops_nothing(small_stack: Stack) -> None:
    with load(small_stack.url) as sent:
        small_stack.gatebook("scale", 4)
        names = [part["name"] for part in small_stack.ps()]
        assert names == ["lb", "webapp-1", "webapp-2", "webapp-3", "webapp-4", "viewer", "db"]
        until(lambda: len(sent.replicas) == 4, "all four to be given requests")
        small_stack.gatebook("scale", 2)
        assert small_stack.replicas() == ["webapp-1", "webapp-2"]
    metrics = httpx.get(f"{small_stack.url}/_/metrics").text
    assert 'gatebook_replicas{state="answers"} 2.0' in metrics
    assert 'gatebook_replicas{state="silent"} 0.0' in metrics  # nobody looks for those that are gone
    assert sent.errors == []
    assert_kept(small_stack, sent)


def test_a_rolling_restart_under_load_drops_nothing_even_with_one_replica(small_stack: Stack) -> None:
    before = small_stack.part("webapp-1")["pid"]
    with load(small_stack.url) as sent:
        small_stack.gatebook("restart", "--rolling")
    after = small_stack.part("webapp-1")
    assert after["pid"] != before
    assert not psutil.pid_exists(before)
    assert (after["state"], after["restarts"]) == ("healthy", 0)
    assert sent.errors == []
    assert_kept(small_stack, sent)


def test_restarting_one_part_by_name_drops_nothing(small_stack: Stack) -> None:
    small_stack.gatebook("scale", 2)
    pids = {part["name"]: part["pid"] for part in small_stack.ps()}
    workers = psutil.Process(pids["lb"]).children()
    with load(small_stack.url) as sent:
        for name in ("webapp-2", "lb", "viewer"):
            small_stack.gatebook("restart", name)
    until(lambda: not [worker for worker in workers if runs(worker)], "the old workers to end")
    now = {part["name"]: part["pid"] for part in small_stack.ps()}
    assert {name for name in now if now[name] != pids[name]} == {"webapp-2", "viewer"}
    assert sent.errors == []
    assert_kept(small_stack, sent)


def test_restarting_the_database_loses_nothing_and_no_client_notices(small_stack: Stack) -> None:
    before = small_stack.part("db")["pid"]
    with load(small_stack.url) as sent:
        small_stack.gatebook("restart", "db")
        small_stack.until_healthy()
    assert small_stack.part("db")["pid"] != before
    assert sent.errors == []
    until(lambda: spool.depth(small_stack.data / "spool").rows == 0, "what was spooled to be in the table")
    assert_kept(small_stack, sent)


def test_restarting_the_database_of_an_idle_stack_leaves_every_part_healthy(small_stack: Stack) -> None:
    """Nobody asks the replicas for anything: they find the new server by themselves, and `restart` waits for that."""
    small_stack.gatebook("restart", "db")
    assert small_stack.send("GET", "/after").headers["Gatebook-Durability"] == "committed"
    small_stack.until_healthy()


def test_restarting_everything_gives_every_part_a_new_process(small_stack: Stack) -> None:
    small_stack.gatebook("scale", 2)
    before = {part["pid"] for part in small_stack.ps()}
    small_stack.gatebook("restart")
    assert small_stack.replicas() == ["webapp-1", "webapp-2"]
    assert not before & {part["pid"] for part in small_stack.ps()}
    assert small_stack.send("GET", "/").status == 200


def test_a_name_that_is_not_there_and_a_scale_that_cannot_be_are_refused(small_stack: Stack) -> None:
    done = small_stack.gatebook("restart", "webapp-9", check=False)
    assert (done.returncode, "there is no webapp-9" in done.stderr) == (1, True)
    for wrong in ("0", "65", "many"):
        done = small_stack.gatebook("scale", wrong, check=False)
        assert (done.returncode, "for 'N'" in done.stderr) == (2, True)
    rolling = small_stack.gatebook("restart", "--rolling", "db", check=False)
    assert (rolling.returncode, "--rolling is for replicas" in rolling.stderr) == (1, True)
    assert small_stack.replicas() == ["webapp-1"]
