"""Who may look, on a real stack that asks for a password: recording stays open, all else does not.

Plot: somebody sends what is secret. A stranger, a browser that signs in, a program with a token and whoever runs the
stack each try all ways to what was sent, while nothing that lets anybody in gets into the records, the logs or `ps`.
"""

import contextlib
import http.client
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import psutil
import pytest
from local_stack import Stack, made_stack, until

from gatebook.access import session, token

PASSWORD = "correct-horse-battery"
OTHERS_TOKEN = token.new().text  # of somebody's Gatebook elsewhere, in the environment of whoever runs this one
SECRET = "/paid?card=4242424242424242"
HTML = {"Accept": "text/html"}


class Answer:
    """What was answered: status, headers by lower-case name, text."""

    def __init__(self, answer: http.client.HTTPResponse) -> None:
        self.status = answer.status
        self.headers = {name.lower(): value for name, value in answer.getheaders()}
        self.text = answer.read().decode()

    def json(self) -> Any:
        return json.loads(self.text)


@pytest.fixture(scope="module")
def locked() -> Iterator[Stack]:
    """Three replicas that ask for a password, and one request in them that is nobody's business."""
    for made in made_stack():
        (made.folder / "view_password").write_text(f"{PASSWORD}\n")
        made.environment |= {
            "GATEBOOK_VIEW_PASSWORD_FILE": str(made.folder / "view_password"),
            "GATEBOOK_TOKEN": OTHERS_TOKEN,
        }
        made.up("--scale", 3)
        made.send("POST", SECRET, b"secret body")
        yield made


def ask(
    stack: Stack, target: str, headers: dict[str, str] | None = None, method: str = "GET", body: str = ""
) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", stack.port, timeout=30)
    with contextlib.closing(connection):
        connection.request(method, target, body or None, headers or {})
        return Answer(connection.getresponse())


def sign_in(stack: Stack, password: str = PASSWORD, next: str = "/_/", **headers: str) -> Answer:
    form = {"Content-Type": "application/x-www-form-urlencoded", **HTML, **headers}
    return ask(stack, "/_/sign-in", form, "POST", urlencode({"password": password, "next": next}))


def signed_in(stack: Stack) -> dict[str, str]:
    """The header of a browser that has signed in."""
    answer = sign_in(stack)
    assert answer.status == 303, answer.text
    return {"Cookie": answer.headers["set-cookie"].partition(";")[0]}


def bearer(text: str | None) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


def operators(stack: Stack) -> str:
    found = token.operator((stack.data / "password").read_text().strip())
    assert found
    return found


@contextlib.contextmanager
def ended(process: subprocess.Popen[str]) -> Iterator[None]:
    """It ends with the block, also when the test fails."""
    try:
        yield
    finally:
        process.send_signal(signal.SIGINT)


@pytest.fixture
def ci(locked: Stack) -> Iterator[str]:
    """A token that is known until the test ends."""
    text = locked.gatebook("token", "create", "ci").stdout.strip()
    until(lambda: ask(locked, "/_/api", bearer(text)).status == 200, "the viewer knows it")
    yield text
    locked.gatebook("token", "revoke", "ci", check=False)


# A stranger


def test_whoever_has_not_signed_in_is_recorded_and_sees_nothing(locked: Stack) -> None:
    sent = ask(locked, "/any/path", method="POST", body="mine")
    assert sent.status == 200 and sent.json()["durability"] == "committed"
    secret = locked.sql(f"SELECT id FROM requests WHERE target = '{SECRET}'")
    one = f"/_/api/requests/{secret}"
    api = ("", "/requests", "/events", "/audit", "/counts?by=path", "/gate", "/docs", "/openapi.json", "/filter")
    others = ("/_/", "/_/metrics", f"/_/requests/{secret}", one, f"{one}/body", f"{one}/neighbours", f"{one}/passage")
    for target in (*(f"/_/api{path}" for path in api), *others):
        answer = ask(locked, target)
        assert answer.status == 401 and answer.headers["www-authenticate"] == "Bearer", target
        assert answer.headers["server"] == "nginx" and "4242" not in answer.text
        assert ask(locked, target, method="HEAD").status == ask(locked, target, method="POST").status == 401
    for target in ("/_/health/live", "/_/health/ready"):
        assert ask(locked, target).status == 200


def test_the_page_of_whoever_has_not_signed_in_has_their_own_request_alone(locked: Stack) -> None:
    for headers in ({}, {"Cookie": f"{session.COOKIE}=1.x"}, {"Cookie": f"{session.COOKIE}=9999999999.{'A' * 43}"}):
        page = ask(locked, "/?mine", headers)
        assert page.status == 200 and page.headers["gatebook-durability"] == "committed"
        assert "/?mine" in page.text and page.headers["gatebook-id"] in page.text
        assert "4242" not in page.text and page.text.count("<time>") == 1 and "<svg viewBox" not in page.text
        assert "<a href=/_/sign-in?next=/>" in page.text and "<script" not in page.text
        assert "script-src" not in page.headers["content-security-policy"]
        assert locked.sql(f"SELECT target FROM requests WHERE id = '{page.headers['gatebook-id']}'") == "/?mine"
    assert ask(locked, "/", method="HEAD").status == 200


# A browser


def test_a_browser_that_signs_in_sees_all_on_every_replica_whatever_is_restarted(locked: Stack) -> None:
    cookie = signed_in(locked)

    def sees_all() -> None:
        seen = set()
        while len(seen) < 3:
            page = ask(locked, "/", cookie)
            assert page.status == 200 and "4242" in page.text and "Pause" in page.text
            seen.add(page.headers["gatebook-replica"])
        assert "4242" in ask(locked, "/_/", cookie | HTML).text

    sees_all()
    locked.gatebook("restart", "--rolling")
    locked.gatebook("restart", "viewer")
    locked.until_healthy()
    ask(locked, SECRET, method="POST")  # those of before may have left the last 25
    sees_all()
    assert (
        locked.sql("SELECT act, who, host(client) FROM trail ORDER BY id DESC LIMIT 1") == "signed in|session|127.0.0.1"
    )


def test_a_browser_is_led_back_and_nowhere_else(locked: Stack) -> None:
    led = ask(locked, "/_/?filter=method%3APOST&by=path", HTML)
    assert led.status == 303 and led.headers["location"] == "/_/sign-in?next=/_/%3Ffilter%3Dmethod%253APOST%26by%3Dpath"
    assert "password" in ask(locked, led.headers["location"], HTML).text
    assert sign_in(locked, next="/_/?filter=method%3APOST").headers["location"] == "/_/?filter=method%3APOST"
    for elsewhere in ("//evil.example", "https://evil.example", "/\\evil.example", "/_/\r\nSet-Cookie: x=1", "/any"):
        answer = sign_in(locked, next=elsewhere)
        assert (
            answer.status == 303 and answer.headers["location"] == "/_/" and "x=1" not in answer.headers["set-cookie"]
        )


def test_no_page_of_another_site_signs_anybody_in_or_out(locked: Stack) -> None:
    for said in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}, {"Origin": "null"}):
        answer = sign_in(locked, **said)
        assert answer.status == 403 and "set-cookie" not in answer.headers
        answer = ask(locked, "/_/sign-out", said, "POST")  # without the session, which the browser keeps back
        assert answer.status == 403 and "set-cookie" not in answer.headers
    assert ask(locked, f"/_/sign-in?password={PASSWORD}", HTML).headers.get("set-cookie") is None
    assert "frame-ancestors 'none'" in ask(locked, "/_/sign-in", HTML).headers["content-security-policy"]


def test_a_browser_that_signs_out_is_a_stranger(locked: Stack) -> None:
    out = ask(locked, "/_/sign-out", signed_in(locked) | HTML, "POST")
    assert out.status == 303 and out.headers["location"] == "/_/sign-in"
    assert f"{session.COOKIE}=;" in out.headers["set-cookie"] and "Max-Age=0" in out.headers["set-cookie"]


def test_guessing_is_slowed_whatever_address_one_claims_to_have(locked: Stack) -> None:
    """The wait is gone when the viewer is restarted: this guesser must not keep the other tests out."""
    try:
        statuses = [
            sign_in(locked, f"guess {number}", **{"X-Forwarded-For": f"192.0.2.{number}"}).status for number in range(8)
        ]
        assert statuses[:3] == [403] * 3 and 429 in statuses[3:]
        answer = sign_in(locked)
        assert answer.status == 429 and int(answer.headers["retry-after"]) >= 1, "the right one has to wait as well"
    finally:
        locked.gatebook("restart", "viewer")
        locked.until_healthy()


# Programs


def test_a_token_opens_the_api_and_the_metrics_until_it_is_revoked(locked: Stack, ci: str) -> None:
    assert "gatebook_replicas" in ask(locked, "/_/metrics", bearer(ci)).text
    assert ask(locked, "/_/api/requests?limit=1", bearer(ci)).status == 200
    assert ask(locked, "/_/api/audit?since=1h", bearer(ci)).json()["proven"]

    def last_use() -> Any:
        return json.loads(locked.gatebook("token", "list", "--json").stdout)[0]["last_used_at"]

    until(last_use, "its use is noted")
    locked.gatebook("token", "revoke", "ci")
    until(lambda: ask(locked, "/_/metrics", bearer(ci)).status == 401, "it is revoked")
    assert ask(locked, "/_/metrics", bearer(PASSWORD)).status == ask(locked, "/_/metrics", bearer("x")).status == 401


def test_whoever_runs_the_stack_reads_it_without_more_words(locked: Stack) -> None:
    id = locked.sql(f"SELECT id FROM requests WHERE target = '{SECRET}' LIMIT 1")
    assert SECRET in locked.gatebook("tail", "-n", "500").stdout
    assert "secret body" in locked.gatebook("show", id).stdout
    assert int(locked.gatebook("count").stdout.split()[-1]) > 0
    assert "Proven." in locked.gatebook("audit").stdout
    locked.gatebook("show", id, "--reveal")
    revealed = json.loads(locked.gatebook("trail", "-n", "1", "--json").stdout)
    assert (revealed["act"], revealed["who"], revealed["client"]) == ("revealed", "operator", None)
    with locked.start("tail", "-f", "-n", "0", "--json") as tail:
        assert tail.stdout
        time.sleep(2)
        ask(locked, "/followed", method="POST")
        assert json.loads(tail.stdout.readline())["target"] == "/followed"
        tail.send_signal(signal.SIGINT)


def test_from_elsewhere_a_token_is_needed(locked: Stack, ci: str) -> None:
    assert SECRET in locked.gatebook("tail", "-n", "500", "--url", locked.url, GATEBOOK_TOKEN=ci).stdout
    for said, hint in (("", "token create"), (OTHERS_TOKEN, "make one there")):
        done = locked.gatebook("tail", "--url", locked.url, check=False, GATEBOOK_TOKEN=said)
        assert done.returncode == 1 and "Error: http://127.0.0.1" in done.stderr and hint in done.stderr
        assert OTHERS_TOKEN not in done.stdout + done.stderr


def test_whoever_takes_the_port_while_the_stack_is_down_is_asked_nothing(own_stack: Stack) -> None:
    """`tail -f` asks for its stack again and again, not at the port, and goes on once the stack is back."""
    own_stack.up("--scale", 1)
    with own_stack.start("tail", "-f", "--json") as tail, ended(tail):
        assert tail.stdout
        first = json.loads(tail.stdout.readline())
        own_stack.down()
        with socket.create_server(("127.0.0.1", own_stack.port)) as trap:
            assert tail.stdout.readline().startswith("not live: ")
            trap.settimeout(5)  # it asks twice in that time
            with pytest.raises(TimeoutError):
                trap.accept()
            assert "no stack runs on" in own_stack.gatebook("tail", check=False).stderr
        own_stack.up("--scale", 1)
        assert tail.stdout.readline() == "live again, where it stopped\n"
        assert json.loads(tail.stdout.readline())["id"] > first["id"]


# Names


def test_a_page_that_was_bound_to_our_address_reads_nothing(locked: Stack, stack: Stack, ci: str) -> None:
    """DNS rebinding, with a password and, as a local stack comes, without: it is recorded, and sees itself alone."""
    evil = {"Host": f"evil.example:{stack.port}"}
    for one, proof in ((locked, bearer(ci)), (stack, {})):
        for target in ("/_/api/requests", "/_/", "/_/api/events", "/_/metrics", "/_/sign-in"):
            assert ask(one, target, evil | proof).status == 421, target
        page = ask(one, "/?rebound", evil | proof)
        assert page.status == 200 and page.text.count("<time>") == 1 and "It is not shown under this name" in page.text
        for own in (f"localhost:{one.port}", f"127.0.0.1:{one.port}", "[::1]", "any.localhost"):
            assert ask(one, "/_/api", proof | {"Host": own}).status == 200
    assert ask(stack, "/", {"Host": f"localhost:{stack.port}"}).text.count("<time>") > 1


# What is never written down


def test_a_session_is_in_no_record_however_it_comes(locked: Stack) -> None:
    cookie = signed_in(locked)["Cookie"]
    value = cookie.partition("=")[2]
    mac = value.partition(".")[2]
    ways = (
        cookie,
        f"a=1; {cookie}; b=2",
        f"{cookie};{cookie}",
        f"x={cookie}; {cookie}",
        f" \t{session.COOKIE}  =  {value} ",
    )
    targets = ("/", "/?q=1", "/any/path", "/a/../_/api")
    ids = []
    for number, way in enumerate(ways):
        for target in targets:
            for name in ("Cookie", "cookie", "COOKIE"):
                method = "POST" if number % 2 and target != "/" else "GET"
                ids.append(
                    ask(locked, target, {name: way}, method, "body" if method == "POST" else "").headers["gatebook-id"]
                )
    assert len(ids) == int(locked.sql(f"SELECT count(*) FROM requests WHERE id IN ({quoted(ids)})"))
    x = f"x={cookie}"  # a value of another cookie, which is kept as it is
    assert (
        locked.sql(f"SELECT count(*) FROM requests r WHERE r::text LIKE '%{mac}%' AND r::text NOT LIKE '%{x}%'") == "0"
    )
    assert locked.sql(f"SELECT count(*) FROM batches b WHERE b::text LIKE '%{mac}%'") == "0"
    kept = locked.sql(f"SELECT headers FROM requests WHERE id = '{ids[len(targets) * 3]}'")
    assert ["Cookie", f"a=1; {session.COOKIE}=withheld; b=2"] in json.loads(kept)


def quoted(ids: list[str]) -> str:
    return ", ".join(f"'{id}'" for id in ids)


def test_a_session_is_in_no_spool_either_and_signing_in_waits_for_the_database(locked: Stack) -> None:
    cookie = signed_in(locked)["Cookie"]
    mac = cookie.partition(".")[2].encode()
    database = psutil.Process(locked.part("db")["pid"])
    processes = [database, *database.children(recursive=True)]
    for process in processes:
        process.send_signal(signal.SIGSTOP)
    try:
        until(lambda: ask(locked, "/", {"Cookie": cookie}).headers["gatebook-durability"] == "spooled", "it is spooled")
        ids = [ask(locked, "/spooled", {"Cookie": f"{cookie}; a=1"}).headers["gatebook-id"] for _ in range(10)]
        page = ask(locked, "/", {"Cookie": cookie}).text
        assert "The database is away" in page and page.count("<time>") > 1, "a session is known without the database"
        assert ask(locked, "/").text.count("<time>") == 1
        assert (
            ask(locked, "/_/api", {"Cookie": cookie}).status
            == ask(locked, "/_/api", bearer(operators(locked))).status
            == 200
        )
        assert sign_in(locked).status == 503, "what cannot be noted is not done"
        spooled = b"".join(file.read_bytes() for file in (locked.data / "spool").iterdir() if file.is_file())
        assert b"gatebook_session=withheld; a=1" in spooled and mac not in spooled
    finally:
        for process in reversed(processes):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGCONT)
    until(lambda: locked.spooled() == 0, "the spools are drained")
    assert locked.sql(f"SELECT count(*) FROM requests WHERE id IN ({quoted(ids)})") == "10"
    assert locked.sql(f"SELECT count(*) FROM requests r WHERE r::text LIKE '%{mac.decode()}%'") == "0"


def test_no_secret_is_in_ps_in_logs_or_in_any_file_but_its_own(locked: Stack, ci: str) -> None:
    cookie = signed_in(locked)
    sign_in(locked, "one-bad-guess")
    ask(locked, "/_/api", cookie | bearer(ci))
    ask(locked, "/_/api", bearer(token.new().text[:-1] + "?"))
    said = [locked.gatebook("ps", "--json").stdout, locked.logs(), locked.gatebook("audit", "--json").stdout]
    said += [done.stdout + done.stderr for done in (
        locked.gatebook("up", "-d", check=False), locked.gatebook("tail", "--url", locked.url, check=False),
    )]  # fmt: skip
    secrets = {
        "view password": PASSWORD,
        "database's password": (locked.data / "password").read_text().strip(),
        "session": cookie["Cookie"].partition("=")[2],
        "operator's token": operators(locked),
        "token": ci,
        "user's token": OTHERS_TOKEN,
        "wrong password": "one-bad-guess",
    }
    processes = locked.processes()
    assert len(processes) > 8
    words = [" ".join(process.cmdline()) for process in processes if process.is_running()]
    texts = {str(file): file.read_bytes() for file in (locked.data / "logs").iterdir()}
    texts |= {str(file): file.read_bytes() for file in (locked.data / "nginx").rglob("*") if file.is_file()}
    texts |= {
        file.name: file.read_bytes() for file in locked.data.iterdir() if file.is_file() and file.name != "password"
    }
    for name, secret in secrets.items():
        assert not [one for one in [*said, *words] if secret in one], name
        assert not [file for file, content in texts.items() if secret.encode() in content], name
    assert not [
        one for one in processes if OTHERS_TOKEN in " ".join(_environment(one)) and one.pid != locked.runner().pid
    ]


def _environment(process: psutil.Process) -> list[str]:
    with contextlib.suppress(psutil.Error):
        return list(process.environ().values())
    return []


# Before a stack is up


def test_a_stack_that_others_reach_warns_unless_something_is_asked_of_them(own_stack: Stack) -> None:
    def up(**environment: str) -> str:
        try:
            return own_stack.gatebook("up", "-d", "--scale", 1, "--listen", "0.0.0.0", **environment).stderr
        finally:
            own_stack.down()

    warned = up()
    assert warned.startswith(
        "Warning: whoever reaches 0.0.0.0 can read all that is recorded\nTry:     GATEBOOK_VIEW_PASSWORD"
    )
    assert "Warning" not in up(GATEBOOK_VIEW_PASSWORD=PASSWORD) + own_stack.gatebook("up", "-d", "--scale", 1).stderr


def test_a_password_file_is_found_from_where_the_command_was_given(own_stack: Stack) -> None:
    (own_stack.folder / "word").write_text(f"{PASSWORD}\n")
    environment = {**own_stack.environment, "GATEBOOK_VIEW_PASSWORD_FILE": "word"}
    command = [sys.executable, "-P", "-m", "gatebook", "up", "-d", "--scale", "1"]
    subprocess.run(command, cwd=own_stack.folder, env=environment, check=True, capture_output=True, timeout=120)
    assert sign_in(own_stack).status == 303


def test_only_networks_that_may_look_see_anything(own_stack: Stack) -> None:
    own_stack.environment |= {"GATEBOOK_VIEW_ALLOW": "192.0.2.0/24"}
    own_stack.up("--scale", 1)
    for headers in ({}, {"X-Forwarded-For": "192.0.2.1"}):
        assert ask(own_stack, "/_/api", headers).status == 403
        page = ask(own_stack, "/", headers)
        assert page.status == 200 and "It is not shown to your network" in page.text and "sign-in" not in page.text
    assert all(part["state"] == "healthy" for part in own_stack.ps())
    assert "GET" in own_stack.gatebook("tail").stdout, "who runs the stack looks from everywhere"
