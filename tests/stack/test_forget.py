"""`gatebook forget` on a real stack: under load, killed in the middle, with copies wherever we keep some."""

import contextlib
import http.client
import os
import pty
import re
import signal
import subprocess
import sys
from typing import Any

import orjson
from load import load
from local_stack import Stack, until
from test_proof import audit, counts

from gatebook import spool

SECRET = "hunter2"


def page(stack: Stack) -> tuple[str, str]:
    """The page at /, and the replica that made it."""
    connection = http.client.HTTPConnection("127.0.0.1", stack.port, timeout=30)
    connection.request("GET", "/")
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.headers["Gatebook-Replica"], text


def pages(stack: Stack) -> dict[str, str]:
    """The page of each of three replicas."""
    found: dict[str, str] = {}

    def all_of_them() -> bool:
        found.update([page(stack)])
        return len(found) == 3

    until(all_of_them, "each replica has answered")
    return found


def numbers(stack: Stack, *queries: str) -> list[int]:
    return [int(stack.sql(f"SELECT {query}")) for query in queries]


def test_what_is_forgotten_is_gone_from_everywhere_we_keep_it(own_stack: Stack) -> None:
    """Table, batches, pages of all replicas, the load balancer's log; the dry run before it deletes nothing."""
    own_stack.up("--scale", 3)
    for number in range(12):
        sent = own_stack.send("POST", f"/sign-up/{number};token={SECRET}?password={SECRET}")
        assert sent.status == 200
    kept = [own_stack.send("POST", f"/kept/{number}").headers["Gatebook-Id"] for number in range(3)]
    assert all(text.count("/sign-up/") >= 8 for text in pages(own_stack).values())

    dry = own_stack.gatebook("forget", "path:/sign-up/*")
    assert dry.stdout.startswith("12 requests, from 20") and SECRET not in dry.stdout
    assert re.search(r"by path\n   1  /sign-up/\d+;token=\[redacted]\n", dry.stdout) and " 7  others" in dry.stdout
    assert dry.stderr.startswith("Nothing was deleted: --yes") and numbers(own_stack, "count(*) FROM forgotten") == [0]

    done = own_stack.gatebook("forget", "path:/sign-up/*", "--yes", "--reason", "a password was sent")
    assert (done.stdout, done.stderr) == ("12 requests are forgotten.\n", "")
    assert all(own_stack.sql(f"SELECT count(*) FROM requests WHERE id = '{id}'") == "1" for id in kept)
    for table in ("requests", "batches", "trail"):
        assert own_stack.sql(f"SELECT count(*) FROM {table} t WHERE t::text ~ 'sign-up|{SECRET}'") == "0"
    assert not any("/sign-up/" in text for text in pages(own_stack).values())
    assert all("/kept/2" in text for text in pages(own_stack).values())
    assert "sign-up" not in own_stack.logs() and SECRET not in own_stack.logs("access")
    assert own_stack.sql("SELECT about, requests, reason FROM trail WHERE act = 'forgotten'") == (
        "path|12|a password was sent"
    )
    found = audit(own_stack)
    assert found["proven"] and counts(found)["forgotten"] == 12
    assert "12 forgotten since, as the trail tells" in found["sentence"]
    assert "forgotten   12" in own_stack.gatebook("audit").stdout

    id = sent.headers["Gatebook-Id"]
    for path in (f"/_/api/requests/{id}", f"/_/api/requests/{id}/body", f"/_/requests/{id}", f"/_/requests/{id}/image"):
        assert own_stack.send("GET", path).status == 410
    assert f"request {id} was forgotten at 20" in own_stack.gatebook("show", id, check=False).stderr


def test_a_copy_in_a_spool_is_not_brought_back(own_stack: Stack) -> None:
    """A replica that did not learn of its commit has the request in its spool as well."""
    own_stack.up("--scale", 1)
    ids = [own_stack.send("POST", f"/{name}", b"x").headers["Gatebook-Id"] for name in ("forgotten", "kept")]
    columns = ", ".join("encode(body, 'hex')" if name == "body" else name for name in spool.COLUMNS)
    told = own_stack.sql(
        f"SELECT json_agg(json_build_array({columns}) ORDER BY id) FROM requests WHERE method = 'POST'"
    )
    own_stack.gatebook("forget", "path:/forgotten", "--yes")
    file = spool.own(own_stack.data / "spool")
    file.append("webapp-9", [_as_spooled(row) for row in orjson.loads(told)])
    assert counts(audit(own_stack))["forgotten"] == 1
    file.release()
    until(lambda: own_stack.spooled() == 0, "the spool is drained", every_s=0.1)
    assert own_stack.sql("SELECT id FROM requests WHERE method = 'POST'") == ids[1]
    assert counts(audit(own_stack))["forgotten"] == 1


def _as_spooled(row: list[Any]) -> list[Any]:
    told = dict(zip(spool.COLUMNS, row, strict=True))
    written = {"headers": orjson.dumps(told["headers"]).decode(), "body": bytes.fromhex(told["body"])}
    return list({**told, **written}.values())


def test_under_load_and_killed_again_and_again_nothing_is_unaccounted_for(own_stack: Stack) -> None:
    """What came is deleted while more comes: what was acknowledged is in the table or noted as forgotten, not both."""
    own_stack.up("--scale", 3)
    with load(own_stack.url) as sent:
        until(lambda: len(sent.acknowledged) > 5000, "there is something to forget")
        killed = [_killed_after(own_stack, seconds) for seconds in (1.5, 2.3, 2.6, 3, 4)]
    assert sent.errors == [] and any(killed)
    noted, in_trail, both = numbers(
        own_stack,
        "count(*) FROM forgotten",
        "sum(requests) FROM trail",
        "count(*) FROM requests JOIN forgotten USING (id)",
    )
    assert noted == in_trail > 0 == both
    left = set(own_stack.sql("SELECT id FROM requests").splitlines())
    own_stack.gatebook("forget", "path:/*", "--yes")
    assert own_stack.sql("SELECT count(*) FROM requests") == "0"
    gone = set(own_stack.sql("SELECT id FROM forgotten").splitlines())
    assert sent.acknowledged <= gone and len(gone) == noted + len(left)
    found = audit(own_stack)
    assert (
        found["proven"] and found["counts"]["forgotten"] == len(gone) == len(sent.acknowledged) + 1
    )  # the stack's own
    assert not any("/load/" in text for text in pages(own_stack).values())
    assert "/load/" not in own_stack.logs("access")


def _killed_after(stack: Stack, seconds: float) -> bool:
    """Whether a command that forgets was killed before its end."""
    with stack.start("forget", "path:/load/*", "--yes") as process:
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
    return process.returncode == -signal.SIGKILL


def test_whoever_does_not_say_what_is_told_so(own_stack: Stack) -> None:
    assert own_stack.gatebook("forget", check=False).returncode == 2
    nothing_runs = own_stack.gatebook("forget", "path:/a", "--yes", check=False)
    assert nothing_runs.returncode == 1 and "no stack runs on" in nothing_runs.stderr
    own_stack.up("--scale", 1)
    for words, what in (
        (["path:"], "the filter: expected a path"),
        ([""], "the filter is empty"),
        (['target:""'], "the filter has an empty text"),
        (["path:/a", "--reason", "two\nlines"], "printable characters"),
    ):
        refused = own_stack.gatebook("forget", *words, "--yes", check=False)
        assert refused.returncode in (1, 2) and what in refused.stderr
    own_stack.sql("ALTER ROLE gatebook_keeper CONNECTION LIMIT 0")
    refused = own_stack.gatebook("forget", "path:/a", "--yes", check=False)
    assert refused.returncode == 1 and "Error: no database answered" in refused.stderr


def test_on_a_terminal_it_asks_and_no_is_no(own_stack: Stack) -> None:
    own_stack.up("--scale", 1)
    for number in range(3):
        own_stack.send("POST", f"/gone/{number}")
    for answer, there in (("\n", 4), ("n\n", 4), ("y\n", 1)):
        said, returned = _on_a_terminal(own_stack, answer, "forget", "path:/gone/*")
        assert "3 requests, from 20" in said and "Delete 3 requests for good? [y/N]" in said
        assert "This cannot be undone. It does not reach backups" in said
        assert (returned, numbers(own_stack, "count(*) FROM requests")) == (0, [there])
    said, returned = _on_a_terminal(own_stack, "", "forget", "path:/gone/*")
    assert "No request is found." in said and "Delete" not in said and returned == 0


def _on_a_terminal(stack: Stack, typed: str, *args: str) -> tuple[str, int]:
    """What `gatebook ARGS` says to somebody who types this, and its exit code."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-P", "-m", "gatebook", *args]
    with subprocess.Popen(command, env=stack.environment, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        os.write(ours, typed.encode())
        said = b""
        with contextlib.suppress(OSError):  # EIO: it has ended
            while piece := os.read(ours, 4096):
                said += piece
        os.close(ours)
        code = process.wait(30)
    return said.decode(), code
