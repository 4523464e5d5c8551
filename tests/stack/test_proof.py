"""`gatebook audit` on a real stack: its own log, its own table, its own spools."""

import json
import signal
from typing import Any

import pytest
from load import load
from local_stack import Stack, until


def audit(stack: Stack, *args: object) -> dict[str, Any]:
    """What it found; its exit code agrees."""
    done = stack.gatebook("audit", "--json", *args, check=False)
    assert done.returncode in (0, 1) and done.stdout, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["proven"] is (done.returncode == 0)
    return found


def counts(found: dict[str, Any]) -> dict[str, int]:
    """Its counts, but for the zeros."""
    return {name: count for name, count in found["counts"].items() if count}


def test_under_load_and_rotation_everything_is_proven_and_one_row_taken_away_is_missing(own_stack: Stack) -> None:
    """The audit runs beside the load; the log is put away several times; then one row is deleted."""
    own_stack.environment["GATEBOOK_ACCESS_LOG_LIMIT"] = "16MiB"  # a piece is a megabyte
    own_stack.up("--scale", 2)
    logs = own_stack.data / "logs"
    with load(own_stack.url) as sent:
        assert audit(own_stack)["proven"]
        until(lambda: len(list(logs.glob("access.log.*"))) >= 2, "the log is rotated", longest_s=300, every_s=0.1)
        assert audit(own_stack, "--url", own_stack.url)["proven"]
    assert sent.errors == []
    all_of_it = len(sent.acknowledged) + 1  # the first request of all is the stack's own
    found = audit(own_stack)
    assert counts(found) == {"acknowledged": all_of_it, "recorded": all_of_it}
    gone = own_stack.sql("DELETE FROM requests WHERE target LIKE '/load/%-42' RETURNING id")
    found = audit(own_stack)
    assert counts(found) == {"acknowledged": all_of_it, "recorded": all_of_it - 1, "missing": 1}
    assert [told["id"] for told in found["missing"]] == [gone]
    assert "-42 HTTP/1.1" in found["missing"][0]["request"]


def test_what_waits_in_a_spool_is_spooled_and_what_is_elsewhere_unknown(own_stack: Stack) -> None:
    """A request that the database will not take stays in its spool; then that spool is another's."""
    own_stack.up("--scale", 1)
    own_stack.sql("ALTER TABLE requests ADD CONSTRAINT no CHECK (target <> '/never')")
    answer = own_stack.send("POST", "/never")
    assert (answer.status, answer.headers["Gatebook-Durability"]) == (200, "spooled")
    assert counts(audit(own_stack)) == {"acknowledged": 2, "recorded": 1, "spooled": 1}
    spool = own_stack.data / "spool"
    kept = (spool / "id").read_text()
    (spool / "id").write_text("0" * 16 + "\n")
    assert counts(audit(own_stack)) == {"acknowledged": 2, "recorded": 1, "spooled": 1}
    for file in spool.glob("*.sqlite*"):
        file.rename(file.with_name(f"away-{file.name}.put-away"))
    found = audit(own_stack)
    assert counts(found) == {"acknowledged": 2, "recorded": 1, "unknown": 1}
    assert "which is not proven" in found["sentence"]
    (spool / "id").write_text(kept)
    assert counts(audit(own_stack)) == {"acknowledged": 2, "recorded": 1, "missing": 1}


def test_when_the_load_balancer_is_killed_the_rows_without_a_line_are_counted(own_stack: Stack) -> None:
    """It dies with what it has not written yet, which proves nothing and is said so."""
    own_stack.up("--scale", 1)
    until((own_stack.data / "logs" / "access.log").read_bytes, "the log begins")
    with load(own_stack.url):
        own_stack.kill("lb", signal.SIGKILL)
        own_stack.until_healthy("lb")
    found = audit(own_stack)
    assert found["proven"], found["sentence"]
    rows = int(own_stack.sql("SELECT count(*) FROM requests"))
    assert found["counts"]["recorded"] + found["counts"]["unlogged"] == rows
    assert found["counts"]["unlogged"] > 0 and "no line in the log" in found["sentence"]


def test_without_a_stack_it_says_so(own_stack: Stack) -> None:
    done = own_stack.gatebook("audit", check=False)
    assert done.returncode == 1 and "gatebook up --data" in done.stderr


@pytest.mark.parametrize("path", ["/_/api/audit", "/_/api/audit?since=1h"])
def test_the_load_balancer_passes_it_on(stack: Stack, path: str) -> None:
    assert stack.send("GET", path).status in (200, 409)  # other tests may ask for one at the same time
