"""What is secret by its name, on a real stack: masked wherever the stack shows it, and kept as it was sent."""

import json
from collections.abc import Iterator

import pytest
from local_stack import Stack, until
from wire import ask

SECRET = "hunter2zwei"
BODY = json.dumps({"password": SECRET}).encode()
SENT = (
    f"POST /hook?token={SECRET}&a=1 HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {SECRET}\r\n"
    f"Content-Length: {len(BODY)}\r\nConnection: close\r\n\r\n"
).encode() + BODY


@pytest.fixture
def id(own_stack: Stack) -> Iterator[str]:
    own_stack.up("--scale", 1)
    yield ask(own_stack.url, SENT).headers["gatebook-id"]


def test_no_command_and_no_page_shows_it_and_the_table_has_it(own_stack: Stack, id: str) -> None:
    shown = {
        "/": ask(own_stack.url, b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").body.decode(),
        "show": own_stack.gatebook("show", id).stdout,
        "json": own_stack.gatebook("show", id, "--json").stdout,
        "tail": own_stack.gatebook("tail", "-n", 5).stdout,
        "wait": own_stack.gatebook("wait", "path:/hook", "--since", "5m").stdout,
    }
    until(lambda: "/hook" in own_stack.logs("access"), "the load balancer has written its log")
    shown["logs"] = own_stack.logs("access")
    for name, text in shown.items():
        assert "[redacted]" in text and SECRET not in text, name
    table = own_stack.sql(f"SELECT target, headers, convert_from(body, 'UTF8') FROM requests WHERE id = '{id}'")
    assert table.count(SECRET) == 3
    assert own_stack.sql("SELECT count(*) FROM trail") == "0"
    assert own_stack.gatebook("show", id, "--reveal").stdout.count(SECRET) == 3
    assert own_stack.sql("SELECT act, who, about FROM trail").startswith("revealed|")


def test_other_names_can_be_chosen_and_none(own_stack: Stack, id: str) -> None:
    own_stack.down()
    own_stack.environment["GATEBOOK_REDACT"] = "A"
    own_stack.up("--scale", 1)
    shown = own_stack.gatebook("show", id).stdout
    assert f"token={SECRET}&a=[redacted]" in shown and f"Bearer {SECRET}" in shown
    own_stack.down()
    own_stack.environment["GATEBOOK_REDACT"] = ""
    own_stack.up("--scale", 1)
    assert "[redacted]" not in own_stack.gatebook("show", id).stdout
