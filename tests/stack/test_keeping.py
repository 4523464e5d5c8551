"""`gatebook token` and `gatebook trail` on a real stack that asks for a password."""

import json
import urllib.error
import urllib.request
from typing import Any

from local_stack import Stack, until

from gatebook.stack.folder import Folder

PASSWORD = "correct horse battery staple"


def status(stack: Stack, token: str = "") -> int:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    asked = urllib.request.Request(f"{stack.url}/_/api/requests", headers=headers)
    try:
        with urllib.request.urlopen(asked, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def tokens(stack: Stack) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(stack.gatebook("token", "list", "--json").stdout)
    return found


def test_a_token_lets_in_until_it_is_revoked_and_the_trail_tells(own_stack: Stack) -> None:
    own_stack.environment["GATEBOOK_VIEW_PASSWORD"] = PASSWORD
    own_stack.up("--scale", 1)
    made = own_stack.gatebook("token", "create", "ci")
    token = made.stdout.removesuffix("\n")
    assert token.startswith("gatebook_") and "\n" not in token and token not in made.stderr
    assert (status(own_stack), status(own_stack, token[:-1] + "~"), status(own_stack, token)) == (401, 401, 200)
    until(lambda: tokens(own_stack)[0]["last_used_at"], "its use is noted", every_s=0.2)
    [known] = tokens(own_stack)
    assert (known["name"], known["id"]) == ("ci", token.split("_")[1]) and known["created_at"].endswith("Z")
    listed = own_stack.gatebook("token", "list").stdout
    assert listed.startswith("NAME  CREATED") and listed.splitlines()[1].startswith("ci ") and "never" not in listed

    elsewhere = ["tail", "--url", own_stack.url, "--json"]
    assert own_stack.gatebook(*elsewhere, GATEBOOK_TOKEN=token).stdout.count("\n") == 1
    again = own_stack.gatebook("token", "create", "ci", check=False)
    assert again.returncode == 1 and not again.stdout and "there is a token ci already" in again.stderr
    own_stack.gatebook("forget", "path:/", "--yes", "--reason", "asked for")

    own_stack.gatebook("token", "revoke", "ci")
    until(lambda: status(own_stack, token) == 401, "nobody is let in by it", every_s=0.1)
    assert tokens(own_stack) == []
    gone = own_stack.gatebook("token", "revoke", "ci", check=False)
    assert gone.returncode == 1 and "there is no token 'ci'" in gone.stderr

    acts = [json.loads(line) for line in own_stack.gatebook("trail", "--json").stdout.splitlines()]
    told = [(act["act"], act["who"], act["about"], act["requests"], act["reason"]) for act in acts]
    assert told == [
        ("token created", "operator", "ci", None, None),
        ("forgotten", "operator", "path", 1, "asked for"),
        ("token revoked", "operator", "ci", None, None),
    ]
    newest, last = own_stack.gatebook("trail", "-n", 2, "--utc").stdout.splitlines()
    assert newest.endswith("  operator  here  forgotten  path  1 request  asked for")
    assert last.endswith("+00:00  operator  here  token revoked  ci")
    assert own_stack.gatebook("trail", "-n", 0).stdout == ""
    for name in ("viewer", "webapp-1", "db", "lb", "runner", "access"):
        assert token not in own_stack.logs(name)


def test_without_a_stack_the_database_of_the_environment_is_meant(own_stack: Stack) -> None:
    """As in a container, where POSTGRES_HOST leads to the database and no stack runs."""
    own_stack.up("--scale", 1)
    there = {
        "POSTGRES_HOST": str(Folder(own_stack.data).database_run),
        "POSTGRES_PASSWORD_FILE": str(own_stack.data / "password"),
        "GATEBOOK_DATA": "",
    }
    token = own_stack.gatebook("token", "create", "inside", **there).stdout
    assert token.startswith("gatebook_") and [each["name"] for each in tokens(own_stack)] == ["inside"]
    done = own_stack.gatebook("forget", "path:/", "--yes", **there)
    assert done.stdout == "1 request is forgotten.\n"
    assert "load balancer's log still tells their request lines and peers" in done.stderr  # there is none there
    wrong = {**there, "POSTGRES_PASSWORD_FILE": "", "POSTGRES_PASSWORD": "hunter2"}
    refused = own_stack.gatebook("token", "list", check=False, **wrong)
    assert refused.returncode == 1 and "refuses the user gatebook" in refused.stderr and "hunter2" not in refused.stderr
