"""Parts die, the runner dies: nothing acknowledged is lost, all comes back, nothing is left over."""

import os
import re
import signal

import psutil
from load import load
from local_stack import Stack, assert_kept, runs, until

from gatebook import spool


def test_killing_a_replica_under_load_loses_nothing_and_no_client_notices(own_stack: Stack) -> None:
    """Twice: the same replica, then another. ps and logs say so."""
    own_stack.up("--scale", 3)
    with load(own_stack.url) as sent:
        for name in ("webapp-2", "webapp-2", "webapp-3"):
            dead = own_stack.kill(name)
            until(lambda name=name, dead=dead: own_stack.part(name)["pid"] not in (dead, None), f"{name} to come back")
            own_stack.until_healthy(name)
    assert sent.errors == []
    assert_kept(own_stack, sent)
    assert set(sent.replicas) == {"webapp-1", "webapp-2", "webapp-3"}
    assert own_stack.part("webapp-2")["restarts"] == 2
    assert re.search(r"webapp-2  \(?.*healthy \(2 restarts\)", own_stack.gatebook("ps").stdout.replace("webapp  ", ""))
    said = [line for line in own_stack.logs("webapp-2").splitlines() if "gatebook: " in line]
    assert "webapp-2 ended with signal 9 after" in said[0]
    assert said[0].endswith("starting again in 0.1 s")
    assert said[1].endswith(("starting again in 0.2 s", "starting again in 0.1 s"))  # 0.1 after a run of 10 s


def test_killing_the_only_replica_is_answered_503_and_it_comes_back(own_stack: Stack) -> None:
    own_stack.up("--scale", 1)
    with load(own_stack.url, connections=2) as sent:
        own_stack.kill("webapp-1")
        until(lambda: own_stack.part("webapp-1")["restarts"] == 1, "the death to be seen")
        own_stack.until_healthy()
    assert all(" 503 " in failure for failure in sent.errors), sent.errors[:5]
    assert_kept(own_stack, sent)


def test_killing_the_load_balancer_frees_its_port_for_the_next(own_stack: Stack) -> None:
    """Its workers would go on holding the port without their master."""
    own_stack.up("--scale", 1)
    workers = psutil.Process(own_stack.part("lb")["pid"]).children()
    assert workers
    dead = own_stack.kill("lb")
    until(lambda: own_stack.part("lb")["pid"] not in (dead, None), "a new load balancer")
    own_stack.until_healthy()
    assert not [worker for worker in workers if runs(worker)]
    assert own_stack.send("GET", "/after").status == 200
    assert "ended with signal 9" in own_stack.logs("lb")


def test_a_replica_that_hangs_is_killed_and_no_client_notices(own_stack: Stack) -> None:
    own_stack.up("--scale", 2)
    with load(own_stack.url) as sent:
        hung = own_stack.kill("webapp-2", signal.SIGSTOP)
        until(lambda: own_stack.part("webapp-2")["pid"] not in (hung, None), "another in its place", longest_s=60)
        own_stack.until_healthy()
    assert sent.errors == []
    assert_kept(own_stack, sent)
    assert "webapp-2 has left 3 health questions unanswered; killing it" in own_stack.logs("webapp-2")


def test_killing_the_database_under_load_loses_nothing_and_no_client_notices(own_stack: Stack) -> None:
    own_stack.up("--scale", 2)
    with load(own_stack.url) as sent:
        own_stack.kill("db")
        until(lambda: own_stack.part("db")["restarts"] >= 1, "the death to be seen")
        own_stack.until_healthy()
    assert sent.errors == []
    until(lambda: waiting(own_stack) == 0, "the spools to be drained")
    assert_kept(own_stack, sent)


def test_what_was_spooled_when_everything_was_killed_waits_for_the_next_up(own_stack: Stack) -> None:
    """down says that it waits, and up that a request of its own is in the table: one."""
    own_stack.up("--scale", 2)
    processes = own_stack.processes()
    database = psutil.Process(own_stack.part("db")["pid"])
    processes[0].suspend()  # the runner, or it would start the database again
    database.kill()
    until(lambda: own_stack.send("GET", "/").headers["Gatebook-Durability"] == "spooled", "the database to be missed")
    answers = [own_stack.send("POST", f"/spooled/{number}", b"x") for number in range(20)]
    assert {answer.headers["Gatebook-Durability"] for answer in answers} == {"spooled"}
    count = waiting(own_stack)
    assert count > 20
    for process in processes:
        if runs(process):
            process.kill()
    until(lambda: not [each for each in processes if runs(each)], "everything to end")

    assert f"{count} requests wait there for the next up" in own_stack.down()
    own_stack.up("--scale", 1)
    until(lambda: waiting(own_stack) == 0, "the spools to be drained")
    stored = own_stack.sql("SELECT id, target FROM requests WHERE target LIKE '/spooled/%'").splitlines()
    assert sorted(stored) == sorted(f"{each.headers['Gatebook-Id']}|/spooled/{n}" for n, each in enumerate(answers))
    assert own_stack.sql("SELECT count(*) FROM requests WHERE method = 'HEAD'") == "2"  # each up made one
    assert "wait there" not in own_stack.down()


def waiting(stack: Stack) -> int:
    """How many requests are in the spools."""
    return spool.depth(stack.data / "spool").rows


def test_killing_the_viewer_does_not_touch_recording(own_stack: Stack) -> None:
    own_stack.up("--scale", 1)
    with load(own_stack.url, connections=2) as sent:
        own_stack.kill("viewer")
        until(lambda: own_stack.part("viewer")["restarts"] == 1, "the death to be seen")
        own_stack.until_healthy()
    assert sent.errors == []
    assert own_stack.send("GET", "/_/api/requests?limit=1").status == 200


def test_a_killed_runner_leaves_no_orphans_and_the_next_up_recovers(own_stack: Stack) -> None:
    own_stack.up("--scale", 2)
    kept = own_stack.send("POST", "/kept", b"body").headers["Gatebook-Id"]
    processes = own_stack.processes()
    assert len(processes) > 8
    processes[0].kill()
    until(lambda: not [each for each in processes if runs(each)], "everything below the runner to end")
    assert own_stack.ps() == []
    own_stack.up("--scale", 2)
    assert own_stack.sql(f"SELECT target FROM requests WHERE id = '{kept}'") == "/kept"


def test_what_survives_a_killed_runner_is_ended_by_the_next_up(own_stack: Stack) -> None:
    """A frozen replica and the workers of a killed nginx do not hear the signal that the kernel sends them."""
    own_stack.up("--scale", 1)
    replica = psutil.Process(own_stack.part("webapp-1")["pid"])
    balancer = psutil.Process(own_stack.part("lb")["pid"])
    workers = balancer.children()
    runner = own_stack.runner()
    replica.suspend()
    runner.suspend()  # or it would start nginx again
    balancer.kill()
    runner.kill()
    until(lambda: not runs(runner), "the runner to end")
    assert replica.is_running()
    assert all(worker.is_running() for worker in workers)
    said = own_stack.up("--scale", 1)
    assert not [each for each in (replica, *workers) if runs(each)]
    assert "left by a runner that was killed" in said
    assert own_stack.send("GET", "/").status == 200


def test_a_killed_runner_is_recovered_from_by_down_too(own_stack: Stack) -> None:
    own_stack.up("--scale", 1)
    replica = psutil.Process(own_stack.part("webapp-1")["pid"])
    runner = own_stack.runner()
    replica.suspend()
    os.kill(runner.pid, signal.SIGKILL)
    until(lambda: not runs(runner), "the runner to end")
    own_stack.down()
    assert not runs(replica)
