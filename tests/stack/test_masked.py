"""What is secret by its name, on a real stack: masked wherever the stack shows it, and kept as it was sent."""

import json
from collections.abc import Iterator

import pytest
from local_stack import Stack, made_stack, until
from wire import ask

SECRET = "hunter2zwei"
BODY = json.dumps({"password": SECRET}).encode()
SENT = (
    f"POST /hook?token={SECRET}&a=1 HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {SECRET}\r\n"
    f"Content-Length: {len(BODY)}\r\nConnection: close\r\n\r\n"
).encode() + BODY


@pytest.fixture(scope="module")
def masking_stack() -> Iterator[Stack]:
    """It has recorded SENT, and may be down."""
    for made in made_stack():
        made.up("--scale", 1)
        ask(made.url, SENT)
        yield made


@pytest.fixture
def id(masking_stack: Stack) -> str:
    """That of SENT, on a stack that is up."""
    if not masking_stack.ps():
        masking_stack.up("--scale", 1)
    return masking_stack.sql("SELECT id FROM requests WHERE method = 'POST'")


def test_no_command_and_no_page_shows_it_and_the_table_has_it(masking_stack: Stack, id: str) -> None:
    shown = {
        "/": ask(masking_stack.url, b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").body.decode(),
        "show": masking_stack.gatebook("show", id).stdout,
        "json": masking_stack.gatebook("show", id, "--json").stdout,
        "tail": masking_stack.gatebook("tail", "-n", 5).stdout,
        "wait": masking_stack.gatebook("wait", "path:/hook", "--since", "5m").stdout,
    }
    until(lambda: "/hook" in masking_stack.logs("access"), "the load balancer has written its log")
    shown["logs"] = masking_stack.logs("access")
    for name, text in shown.items():
        assert "[redacted]" in text and SECRET not in text, name
    table = masking_stack.sql(f"SELECT target, headers, convert_from(body, 'UTF8') FROM requests WHERE id = '{id}'")
    assert table.count(SECRET) == 3
    assert masking_stack.sql("SELECT count(*) FROM trail") == "0"
    assert masking_stack.gatebook("show", id, "--reveal").stdout.count(SECRET) == 3
    assert masking_stack.sql("SELECT act, who, about FROM trail").startswith("revealed|")


def test_other_names_can_be_chosen_and_none(masking_stack: Stack, id: str) -> None:
    masking_stack.down()
    masking_stack.environment["GATEBOOK_REDACT"] = "A"
    masking_stack.up("--scale", 1)
    shown = masking_stack.gatebook("show", id).stdout
    assert f"token={SECRET}&a=[redacted]" in shown and f"Bearer {SECRET}" in shown
    masking_stack.down()
    masking_stack.environment["GATEBOOK_REDACT"] = ""
    masking_stack.up("--scale", 1)
    assert "[redacted]" not in masking_stack.gatebook("show", id).stdout
    masking_stack.down()
    del masking_stack.environment["GATEBOOK_REDACT"]
