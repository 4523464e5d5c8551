"""A dependency with a known advisory is not shipped: the check finds it, and exceptions run out."""

import datetime
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LOCK = "click==8.1.0 \\\n    --hash=sha256:19a4baa64da924c5e0cd889aba8e947f280309f1a2ce0947a3e3a7bcb7cc72d6\n"
ADVISORY = {
    "id": "PYSEC-0-TEST",
    "summary": "made up",
    "aliases": [],
    "modified": "2026-01-01T00:00:00Z",
    "published": "2026-01-01T00:00:00Z",
    "affected": [
        {
            "package": {"name": "click", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "8.2.0"}]}],
            "versions": ["8.1.0"],
        }
    ],
}


class _Osv(BaseHTTPRequestHandler):
    """Knows one advisory, of click 8.1.0."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        is_known = (asked["package"]["name"], asked["version"]) == ("click", "8.1.0")
        answer = json.dumps({"vulns": [ADVISORY]} if is_known else {}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def osv() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Osv) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1/query"
        server.shutdown()


def _check(tmp_path: Path, service: str, lock: str, exceptions: str = "") -> subprocess.CompletedProcess[str]:
    for name, text in (("lock.txt", lock), ("exceptions.txt", exceptions)):
        (tmp_path / name).write_text(text)
    environment = {**os.environ, "OSV_URL": service, "EXCEPTIONS": str(tmp_path / "exceptions.txt")}
    command = [sys.executable, str(ROOT / "locks" / "advisories"), str(tmp_path / "lock.txt")]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)


def test_an_advisory_fails_the_check(tmp_path: Path, osv: str) -> None:
    found = _check(tmp_path, osv, LOCK)
    assert found.returncode == 1 and "PYSEC-0-TEST" in found.stdout
    clean = _check(tmp_path, osv, LOCK.replace("8.1.0", "8.3.0"))
    assert clean.returncode == 0, clean.stderr


def test_an_exception_holds_until_its_day(tmp_path: Path, osv: str) -> None:
    today = datetime.date.today()
    held = _check(tmp_path, osv, LOCK, f"# why\nPYSEC-0-TEST until {today}: not reached from here\n")
    assert held.returncode == 0, held.stderr
    over = _check(tmp_path, osv, LOCK, f"PYSEC-0-TEST until {today - datetime.timedelta(1)}: not reached from here\n")
    assert over.returncode == 1 and "ran out" in over.stderr
    unreadable = _check(tmp_path, osv, LOCK, "PYSEC-0-TEST\n")
    assert unreadable.returncode == 1 and "is not of the form" in unreadable.stderr


def test_nobody_to_ask_is_said_and_is_not_taken_for_a_clean_bill(tmp_path: Path) -> None:
    found = _check(tmp_path, "http://127.0.0.1:1/v1/query", LOCK)
    assert found.returncode == 3 and "NOT CHECKED" in found.stderr
