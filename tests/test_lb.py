"""The load balancer's configuration: the same from both who fill it in, and nginx takes it."""

import os
import shutil
import socketserver
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from importlib import resources
from ipaddress import ip_address
from pathlib import Path

import pytest
import wire
from hypothesis import example, given, settings
from hypothesis import strategies as st
from parts import LoadBalancer, running, short_folder

from gatebook.access.access import is_own_name
from gatebook.app.capture import client_address
from gatebook.lb import config
from gatebook.settings import networks, read

LB = Path(str(resources.files("gatebook.lb")))
TEMPLATE = (LB / "nginx.conf.template").read_text()

needs_envsubst = pytest.mark.skipif(
    not shutil.which("envsubst") and not os.environ.get("CI"), reason="envsubst (Debian: gettext-base) is not installed"
)


def filled(environment: Mapping[str, str]) -> str:
    """What the local stack would write, for the container's places."""
    values = config.values(
        read(environment),
        listen="8080",
        state=Path("/tmp"),
        access_log=environment.get("GATEBOOK_ACCESS_LOG", "/var/log/gatebook/access.log"),
        user=None,
        open_files=hard_limit(),
    )
    return config.fill(TEMPLATE, values)


def hard_limit() -> int:
    found = subprocess.run(["sh", "-c", "ulimit -Hn"], capture_output=True, text=True, check=True).stdout.strip()
    return 2**20 if found == "unlimited" else int(found)


def start(environment: Mapping[str, str], word: str = "print") -> subprocess.CompletedProcess[str]:
    """Run the container's start script with nothing else in its environment."""
    return subprocess.run(
        ["sh", str(LB / "start.sh"), word],
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
    )


@needs_envsubst
@pytest.mark.parametrize(
    "environment",
    [
        {"GATEBOOK_RESOLVER": "127.0.0.11"},
        {"PROXY_UPSTREAM": "web-1:81, web_2:82 10.0.0.1:83", "GATEBOOK_RESOLVER": "127.0.0.11 10.0.0.53"},
        {"PROXY_UPSTREAM": "unix:/run/a.sock,[::1]:80", "GATEBOOK_VIEWER_UPSTREAM": "10.0.0.9:1"},
        {"GATEBOOK_BODY_MAX": "5 MB", "GATEBOOK_RESOLVER": "127.0.0.11"},
        {"GATEBOOK_BODY_MAX": "2GiB", "GATEBOOK_RESOLVER": "127.0.0.11"},
        {"GATEBOOK_BODY_MAX": "4096", "GATEBOOK_RESOLVER": "127.0.0.11"},
        {"GATEBOOK_ACCESS_LOG": "/dev/stdout", "GATEBOOK_RESOLVER": "127.0.0.11"},
        {"GATEBOOK_TLS_CERT": "/c.pem", "GATEBOOK_TLS_KEY": "/k.pem", "GATEBOOK_RESOLVER": "127.0.0.11"},
        {"GATEBOOK_TRUSTED_PROXIES": "10.0.0.0/8, 192.0.2.7,2001:db8::1 fd00::/8", "GATEBOOK_RESOLVER": "127.0.0.11"},
        {"GATEBOOK_RATE_LIMIT": "100", "GATEBOOK_RESOLVER": "127.0.0.11"},
        {"GATEBOOK_CONNECTION_LIMIT": "007", "GATEBOOK_RESOLVER": "127.0.0.11"},
        {"GATEBOOK_RATE_LIMIT": "1", "GATEBOOK_CONNECTION_LIMIT": "65535", "GATEBOOK_RESOLVER": "127.0.0.11"},
    ],
)
def test_the_container_fills_in_the_same_as_the_local_stack(environment: dict[str, str]) -> None:
    printed = start(environment)
    assert (printed.returncode, printed.stderr) == (0, "")
    assert printed.stdout == filled(environment)
    assert "${" not in printed.stdout


@needs_envsubst
@pytest.mark.parametrize(
    ("variable", "raw"),
    [
        ("PROXY_UPSTREAM", "webapp"),
        ("PROXY_UPSTREAM", "webapp:99999"),
        ("PROXY_UPSTREAM", " , "),
        ("GATEBOOK_BODY_MAX", "0"),
        ("PROXY_UPSTREAM", "webapp:8000; return 200"),
        ("GATEBOOK_VIEWER_UPSTREAM", "http://viewer"),
        ("GATEBOOK_BODY_MAX", "much"),
        ("GATEBOOK_ACCESS_LOG_LIMIT", "-1"),
        ("GATEBOOK_ACCESS_LOG", "/tmp/a;b"),
        ("GATEBOOK_ACCESS_LOG", "access.log"),
        ("GATEBOOK_TRUSTED_PROXIES", "10.0.0.0/8; return 200"),
        ("GATEBOOK_TRUSTED_PROXIES", "proxy"),
        ("GATEBOOK_TRUSTED_PROXIES", "*"),
        ("GATEBOOK_RATE_LIMIT", "many"),
        ("GATEBOOK_RATE_LIMIT", "1000001"),
        ("GATEBOOK_CONNECTION_LIMIT", "-1"),
    ],
)
def test_a_malformed_setting_ends_the_container_with_a_word_that_helps(variable: str, raw: str) -> None:
    ended = start({variable: raw, "GATEBOOK_RESOLVER": "127.0.0.11"}, "run")
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"Error: {variable} is '{raw}': expected")
    assert "\nTry:   " in ended.stderr


def test_without_tls_limits_and_trusted_proxies_nothing_of_them_is_in_the_way() -> None:
    plain = filled({})
    assert '"$gatebook_stamp $scheme $remote_addr";' in plain
    words = ("ssl_certificate", "http2 ", " ssl ", "set_real_ip_from", "limit_req ", "limit_conn ", "_zone ")
    assert [word for word in words if word in plain] == []


def test_a_placeholder_without_a_value_is_a_mistake_of_ours() -> None:
    with pytest.raises(KeyError):
        config.fill("listen ${PORT};", {})


TRUSTED = "127.0.0.0/8, 10.0.0.0/8, 192.0.2.7 2001:db8::/32"
ADDRESSES = """
10.0.0.1 10.255.255.255 127.0.0.1 192.0.2.7 192.0.2.8 203.0.113.9 2001:db8::7 2001:db9::7 ::1
::ffff:10.0.0.1 ::ffff:203.0.113.9
"""
NONSENSE = """
unknown _hidden 10.0.0 10.0.0.256 0x0a000001 fe80::1%eth0 2001:db8:::1 [::1 - 10.0.0.1: 10.0.0.1:0 10.0.0.1:65536
10.0.0.1:x [2001:db8::1]x unix:/x ,,
"""
addresses = st.sampled_from(ADDRESSES.split())
with_port = st.builds(
    lambda address, port: f"[{address}]:{port}" if ":" in address else f"{address}:{port}",
    addresses,
    st.integers(1, 65535),
)
nonsense = st.sampled_from(["", "10.0.0.1\t", *NONSENSE.split()])
forwarded = st.lists(  # header lines, each of words
    st.lists(st.one_of(addresses, addresses, with_port, nonsense), max_size=4).map(", ".join), max_size=3
)


class Echo(socketserver.StreamRequestHandler):
    """In the viewer's place: answers with the header lines that it was sent."""

    def handle(self) -> None:
        _, *lines = iter(lambda: self.rfile.readline().rstrip(b"\r\n"), b"")
        told = b"\n".join(lines)
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b" % (len(told), told))


@pytest.fixture(scope="module")
def told_the_viewer() -> Iterator[Callable[[str], dict[str, str]]]:
    """What nginx sends the viewer for a request from 127.0.0.1: the headers by lower-case name."""
    with (
        short_folder() as folder,
        socketserver.ThreadingUnixStreamServer(str(folder / "viewer.sock"), Echo) as viewer,
        running([balancer := LoadBalancer(folder, [folder / "none.sock"], GATEBOOK_TRUSTED_PROXIES=TRUSTED)]),
    ):
        (folder / "viewer.sock").chmod(0o666)
        threading.Thread(target=viewer.serve_forever, daemon=True).start()

        def ask(request: str) -> dict[str, str]:
            answer = wire.ask(balancer.url, request.encode())
            assert answer.status == 200
            lines = (line.partition(": ") for line in answer.body.decode().splitlines())
            return {name.lower(): value for name, _, value in lines}

        yield ask
        viewer.shutdown()


def test_the_viewer_is_told_a_host_by_which_one_may_look_where_http_1_0_says_none(
    told_the_viewer: Callable[[str], dict[str, str]],
) -> None:
    assert is_own_name(told_the_viewer("GET /_/ HTTP/1.0\r\n\r\n")["host"], [])
    for version in ("1.0", "1.1"):
        assert told_the_viewer(f"GET /_/ HTTP/{version}\r\nHost: evil.example\r\n\r\n")["host"] == "evil.example"


@settings(max_examples=int(os.environ.get("GATEBOOK_TEST_EXAMPLES", 300)), deadline=None)
@given(forwarded)
@example(["203.0.113.9, 10.0.0.1, "])
@example(["203.0.113.9", "", "10.0.0.1"])
def test_nginx_and_a_replica_take_the_same_for_the_client(
    told_the_viewer: Callable[[str], dict[str, str]], lines: list[str]
) -> None:
    """nginx for the limits and for who looks, the replica for the record: what one believes, the other does."""
    recorded = client_address("127.0.0.1", [["X-Forwarded-For", line] for line in lines], networks(TRUSTED))
    head = "".join(f"X-Forwarded-For: {line}\r\n" for line in lines)
    seen_by_nginx = told_the_viewer(f"GET /_/ HTTP/1.1\r\nHost: h\r\n{head}\r\n")["x-forwarded-for"]
    assert ip_address(seen_by_nginx) == ip_address(recorded)
