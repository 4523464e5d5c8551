"""What the command line shows of what is secret by its name: masks, until --reveal is given."""

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import pytest
from fake_viewer import FakeViewer, answer, event, page, position, problem, request, stream
from postgres import Cluster
from reading import Viewer, objects, run, running

from gatebook.redact import MASK

SECRET = "hunter2zwei"
HEADERS = json.dumps([["Host", "h"], ["Authorization", f"Bearer {SECRET}"]])
BODY = json.dumps({"token": SECRET, "n": 1}).encode()


@pytest.fixture(scope="module")
def viewer(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Viewer]:
    with contextlib.closing(Viewer(cluster, tmp_path_factory.mktemp("viewer"))) as viewer:
        yield viewer


def has(viewer: Viewer, body: bytes = BODY, **columns: Any) -> str:
    told = {"headers": HEADERS, "target": f"/?token={SECRET}", "method": "POST", "body": body, "body_size": len(body)}
    return viewer.has({**told, **columns})[0]


@pytest.mark.parametrize("how", [[], ["--json"], ["--raw"]])
def test_show_shows_a_secret_only_when_it_is_to_reveal_it(viewer: Viewer, how: list[str]) -> None:
    id = has(viewer)
    masked, revealed = (
        run("show", id, *how, "--url", viewer.url),
        run("show", id, *how, "--reveal", "--url", viewer.url),
    )
    assert masked.returncode == revealed.returncode == 0
    assert SECRET not in masked.stdout + masked.stderr and MASK in masked.stdout
    assert SECRET in revealed.stdout and MASK not in revealed.stdout
    assert ("--reveal" in masked.stderr) == (not how)
    assert "not all of the body" not in masked.stderr, "a mask is shorter than what it stands for"
    assert how != ["--raw"] or revealed.stdout.encode() == BODY


def test_tail_and_wait_show_a_secret_only_when_they_are_to_reveal_it(viewer: Viewer) -> None:
    has(viewer)
    for command in (["tail"], ["tail", "--json"], ["wait", "method:POST", "--since", "1m"]):
        masked, revealed = run(*command, "--url", viewer.url), run(*command, "--reveal", "--url", viewer.url)
        assert masked.returncode == revealed.returncode == 0, masked.stderr + revealed.stderr
        assert SECRET not in masked.stdout + masked.stderr and SECRET in revealed.stdout


@pytest.mark.parametrize("size", [0, 2_000_000])
def test_a_masked_request_is_not_made_a_command_that_would_send_the_masks(viewer: Viewer, size: int) -> None:
    """Also when only a body that is too large to come with the request has any."""
    id = has(viewer, BODY + b" " * size, **({"headers": "[]", "target": "/"} if size else {}))
    refused = run("show", id, "--curl", "--url", viewer.url)
    assert refused.returncode == 1 and not refused.stdout
    assert refused.stderr == (
        f"Error: values of request {id} are masked, so the same cannot be sent again\n"
        f"Try:   gatebook show {id} --curl --reveal: what was sent; that is noted\n"
    )
    again = run("show", id, "--curl", "--reveal", "--url", viewer.url)
    assert again.returncode == 0 and ("--raw --reveal" in again.stdout if size else SECRET in again.stdout)


def test_a_request_with_nothing_to_mask_is_sent_again_as_before(viewer: Viewer) -> None:
    id = has(viewer, b"x" * 2_000_000, headers="[]", target="/")
    again = run("show", id, "--curl", "--url", viewer.url)
    assert again.returncode == 0 and f"show {id} --raw --url" in again.stdout


def test_each_reveal_is_in_the_trail(viewer: Viewer) -> None:
    viewer.gate.run(viewer.gate.owner.execute("TRUNCATE trail CASCADE"))
    id = has(viewer)
    run("show", id, "--url", viewer.url)
    run("show", id, "--reveal", "--url", viewer.url)
    run("tail", "--reveal", "--url", viewer.url)
    rows = viewer.gate.run(viewer.gate.owner.fetch("SELECT act, about, requests FROM trail ORDER BY id"))
    assert [tuple(row) for row in rows] == [
        ("revealed", f"/_/api/requests/{id}", 1),
        ("revealed", "/_/api/requests", 1),
    ]


def test_following_asks_to_reveal_only_what_is_to_be_revealed() -> None:
    """An older Gatebook does not know the word, and would refuse it."""
    for options, asked in (([], None), (["--reveal"], "1")):
        told = stream(position("e-1-"), event("e-2-", "request", request(1)))
        with FakeViewer({"/_/api/events": [[told]], "/_/api/requests": [[page()]]}) as viewer:
            with running("tail", "-f", *options, "--json", "--url", viewer.url) as tail:
                assert tail.stdout and objects(tail.stdout.readline())
            assert viewer.asked_at("/_/api/events")[0].query.get("reveal") == asked
            assert viewer.asked_at("/_/api/requests")[0].query.get("reveal") == asked


def test_of_a_body_too_large_to_be_masked_the_head_is_shown_and_why_no_more() -> None:
    told = {**request(1, target="/large", body_size=20_000_000, redacted=False), "body": None, "body_encoding": None}
    refused = problem(403, detail="too many bytes to mask", hint="reveal=1")
    paths = {f"/_/api/requests/{told['id']}": [[answer(200, "application/json", json.dumps(told).encode())]]}
    with FakeViewer({**paths, f"/_/api/requests/{told['id']}/body": [[refused]]}) as viewer:
        done = run("show", told["id"], "--url", viewer.url)
    assert done.returncode == 0 and done.stdout == "GET /large HTTP/1.1\nHost: h\n\n"
    assert done.stderr.endswith("too many bytes to mask; --reveal shows it, which is noted\n")
