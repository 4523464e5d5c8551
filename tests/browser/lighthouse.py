"""Has Lighthouse judge the viewer's pages: `python -m tests.browser.lighthouse [--runs 3]`.

Starts a stack of its own, sends it some thousand varied requests and has the list and one request judged as on a phone
and on a desk. Prints every score, and each audit that is not perfect; the exit code is 1 when the median of a category
is below LEAST. `machine` is Lighthouse's own measure of what it got of the machine: where it is low or varies, so does
the performance. It comes from npm by `npx`, which needs Node 22 or newer, unless `--lighthouse` says where it is.
"""

import argparse
import json
import os
import random
import shlex
import statistics
import subprocess
import sys
import tempfile
import uuid
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

sys.path.extend(map(str, Path(__file__).parents[:2]))  # what pytest does for the tests

from chromium import ARGUMENTS
from local_stack import Stack

LEAST = 95
CATEGORIES = ("performance", "accessibility", "best-practices")
PRESETS: dict[str, list[str]] = {"mobile": [], "desktop": ["--preset=desktop"]}
REQUESTS = 3000
_NPX = "npx --yes lighthouse@13"
_TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMDQyIiwiZXhwIjoxODAwMDAwMDAwfQ.c2lnbmF0dXJl"


def send(stack: Stack) -> str:
    """Varied requests; the id of one with headers of all sorts, a token and a JSON body."""
    share = REQUESTS // 4
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda seed: _send_some(stack, random.Random(seed), share), range(4)))
    connection = HTTPConnection("127.0.0.1", stack.port)
    body = json.dumps(
        {"action": "opened", "number": 17, "labels": ["bug", "ü"], "repository": {"id": 10**17, "stars": 1.50}}
    )
    headers = {"Content-Type": "application/json", "X-GitHub-Event": "issues", "Authorization": f"Bearer {_TOKEN}"}
    connection.request("POST", "/webhooks/github?delivery=1", body.encode(), headers)
    connection.getresponse().read()
    connection.request("GET", "/_/api/requests?filter=header.x-github-event:issues&limit=1")
    return str(json.loads(connection.getresponse().read())["requests"][0]["id"])


def _send_some(stack: Stack, chance: random.Random, count: int) -> None:
    connection = HTTPConnection("127.0.0.1", stack.port)
    for n in range(count):
        method = chance.choice(["GET", "GET", "GET", "POST", "PUT", "DELETE", "PROPFIND"])
        path = chance.choice(["/", "/items", "/caf%C3%A9/menu", f"/orders/{n}", "/webhooks/stripe", "/" + "deep/" * 40])
        query = chance.choice(["", f"?page={n}", f"?q={uuid.UUID(int=chance.getrandbits(128))}", "?a=1&b=%00%1b[31m"])
        body = chance.randbytes(chance.choice([1, 400, 9000])) if method in ("POST", "PUT") else None
        client = f"{chance.choice(['192.0.2', '198.51.100', '203.0.113'])}.{chance.randrange(20)}"
        connection.request(method, path + query, body, {"X-Forwarded-For": client, "User-Agent": "shop/1.0"})
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200, f"{method} {path}{query}: {answer.status}"


def judge(lighthouse: str, url: str, options: list[str]) -> dict[str, Any]:
    """One report."""
    flags = " ".join(["--headless=new", *ARGUMENTS])
    asked = [f"--only-categories={','.join(CATEGORIES)}", f"--chrome-flags={flags}", *options]
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        written = ["--quiet", "--output=json", f"--output-path={report}"]
        environment = {"CHROME_PATH": "/usr/bin/chromium", **os.environ}
        for is_last in (False, True):  # a busy machine makes it lose its trace; it then says itself to run it again
            command = [*shlex.split(lighthouse), url, *written, *asked]
            if subprocess.run(command, env=environment, check=is_last).returncode == 0:
                break
        told: dict[str, Any] = json.loads(report.read_text())
    assert not told.get("runtimeError"), told["runtimeError"]
    return told


def scores(told: dict[str, Any]) -> dict[str, int]:
    return {name: round(100 * told["categories"][name]["score"]) for name in CATEGORIES}


def imperfect(told: dict[str, Any]) -> dict[str, str]:
    """What each audit says that could be better, by its name."""
    found = {}
    for name in CATEGORIES:
        for part in told["categories"][name]["auditRefs"]:
            audit = told["audits"][part["id"]]
            if audit["score"] is not None and audit["score"] < 1:
                weight = f", weighs {part['weight']}" if part["weight"] else ""
                found[part["id"]] = f"{audit['title']} ({audit['score']:.2f}{weight}) {audit.get('displayValue', '')}"
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.browser.lighthouse", description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=3, help="of each page; the median of their scores counts")
    parser.add_argument("--lighthouse", default=_NPX, help=f"how it is called; by default {_NPX}")
    parser.add_argument("--reports", type=Path, help="a folder for all that it says")
    chosen = parser.parse_args()
    stack = Stack()
    try:
        stack.environment["GATEBOOK_TRUSTED_PROXIES"] = "127.0.0.1"
        stack.up("--scale", 3)
        pages = {"list": "/_/", "one request": f"/_/requests/{send(stack)}"}
        low = False
        for page, path in pages.items():
            for preset, options in PRESETS.items():
                told = [judge(chosen.lighthouse, stack.url + path, options) for _ in range(chosen.runs)]
                low |= _print(f"{page}, {preset}", told)
                _keep(chosen.reports, f"{page} {preset}", told)
    finally:
        stack.remove()
    sys.exit(1 if low else 0)


def _print(name: str, told: list[dict[str, Any]]) -> bool:
    """Whether a category is too low."""
    each = [scores(one) for one in told]
    medians = {category: statistics.median(one[category] for one in each) for category in CATEGORIES}
    print(f"{name}: " + ", ".join(f"{category} {score:g}" for category, score in medians.items()))
    power = [round(one["environment"]["benchmarkIndex"]) for one in told]
    runs = zip(each, power, strict=True)
    print("    each run: " + "; ".join(f"{' '.join(map(str, one.values()))} (machine {power})" for one, power in runs))
    for id, words in imperfect(told[-1]).items():
        print(f"    {id}: {words}", flush=True)
    return min(medians.values()) < LEAST


def _keep(folder: Path | None, name: str, told: list[dict[str, Any]]) -> None:
    if folder:
        folder.mkdir(parents=True, exist_ok=True)
        for n, one in enumerate(told, 1):
            (folder / f"{name} {n}.json").write_text(json.dumps(one))


if __name__ == "__main__":
    main()
