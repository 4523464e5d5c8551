"""The viewer and its API against what OWASP's lists hold, over every route that the application has.

Rule: the routes are asked of the application, so none is left out when another is added. Injection (SQL, headers),
open redirects, changes by GET, other sites' pages, framing, guessing at types, and bombs of every kind.
"""

import contextlib
import gzip
import json
import re
import struct
import time
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote, urljoin, urlsplit
from uuid import UUID

import httpx
import pytest
from fastapi.routing import APIRoute
from postgres import Cluster
from viewer import Viewer

from gatebook.filter.fields import FIELDS
from gatebook.viewer.pages.sign_in import PATHS

MIB = 1024 * 1024
ANSWERED_WITHIN_S = 10.0  # half a second, at most, on a machine that does nothing else
MOST_MORE_MIB = 256  # that one answer may take of memory, beside what was taken before
LARGEST_ANSWER = 8 * MIB
HTML = {"Accept": "text/html,application/xhtml+xml"}
CANARY = "canary4f1c"
PLAIN = """/plain/0 GET http 1.1 webapp-1 192.0.2.7 198.51.100.9 {"a": 1} [] 200"""
STREAMS, AUDITS = "/_/api/events", "/_/api/audit"  # without an end, and with seconds to it: asked by HEAD


@dataclass(frozen=True)
class Route:
    """What the application answers: `path` with {names} in it."""

    path: str
    methods: frozenset[str]
    query: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()

    @property
    def method(self) -> str:
        return "HEAD" if self.path in (STREAMS, AUDITS) else "GET"

    def at(self, *ids: object) -> str:
        """With these in the place of the names, the last one for all that are left."""
        path = self.path.replace("{release}", "x").replace("{name}", "style.css")
        for id in ids:
            path = re.sub(r"\{\w+\}", str(id), path, count=1)
        return re.sub(r"\{\w+\}", str(ids[-1]), path)


@pytest.fixture(scope="module")
def viewer(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Viewer]:
    folder: Path = tmp_path_factory.mktemp("gate")
    (folder / "access.log").touch()
    (folder / "spool").mkdir()
    settings = replace(cluster.new_database(), access_log=folder / "access.log", spool=folder / "spool")
    with contextlib.closing(Viewer(settings)) as made:
        yield made


@pytest.fixture(scope="module")
def ids(viewer: Viewer) -> list[UUID]:
    """What is recorded beforehand: three, one of them as hostile as a row can be."""
    plain = [viewer.record(target=f"/plain/{number}", body=b'{"a": 1}', body_size=8) for number in range(2)]
    return [*plain, viewer.record(None, **hostile_row())]


@pytest.fixture(scope="module")
def routes(viewer: Viewer) -> list[Route]:
    return routes_of(viewer)


def routes_of(viewer: Viewer) -> list[Route]:
    """All that can be asked, those of the guard too."""
    app = viewer.app
    while not hasattr(app, "routes"):
        app = app._app  # type: ignore[attr-defined]
    found = [*map(_route, _flat(app.routes)), *(Route(path, frozenset({"POST"}), ("next",)) for path in PATHS)]
    assert len(found) > 20 and {STREAMS, "/_/", "/_/metrics"} < {route.path for route in found}
    return found


def _flat(routes: Sequence[Any]) -> Iterator[Any]:
    for route in routes:
        within = getattr(route, "original_router", None)
        yield from _flat(within.routes) if within else [route]


def _route(route: Any) -> Route:
    if not isinstance(route, APIRoute):
        return Route(route.path, frozenset(route.methods))
    names = [[one.alias for one in kind] for kind in (route.dependant.query_params, route.dependant.header_params)]
    return Route(route.path, frozenset(route.methods), *map(tuple, names))  # type: ignore[arg-type]


def hostile_row() -> dict[str, object]:
    line = f"\r\nX-Injected: {CANARY}\r\n\r\n<script>{CANARY}</script>\";filename*=UTF-8''{CANARY}\x0b\x85\xff"
    headers = [["Content-Type", f"image/png{line}"], ["Content-Disposition", f'attachment; filename="{line}']]
    headers += [["Host", f"{CANARY}.example"], [f"X{line}", line], ["Location", line], ["ETag", line]]
    text = json.dumps(headers)
    return {
        "method": f"GET{line}",
        "target": f"//{CANARY}.example/{line}",
        "headers": text,
        "replica": f"r{line}",
        "scheme": "http",
        "http_version": "1.1",
        "body": b"\x89PNG\r\n\x1a\n" + line.encode("latin-1"),
        "body_size": 80,
    }


def asked(viewer: Viewer, route: Route, path: str, **options: Any) -> httpx.Response:
    """One answer of this route, in good time."""
    begun = time.monotonic()
    answer = viewer.request(route.method, path, **options)
    assert time.monotonic() - begun < ANSWERED_WITHIN_S, path
    return answer


def state(viewer: Viewer, but: str = "") -> dict[str, object]:
    """What the tables hold, which tables, roles and settings there are."""
    rows = viewer._runner.run(
        viewer._owner.fetch(
            "SELECT oid::regclass::text AS name, relname, relacl::text FROM pg_class"
            " WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')"
        )
    )
    found: dict[str, object] = {"roles": viewer._runner.run(viewer._owner.fetch("SELECT rolname FROM pg_roles"))}
    for row in rows:
        sql = f"SELECT count(*), md5(string_agg(t::text, ',' ORDER BY t::text)) FROM {row['name']} t"
        if row["relname"] != but:
            found[row["name"]] = (row["relacl"], *viewer._runner.run(viewer._owner.fetchrow(sql)))
    return found


# SQL

SQL = [
    *("'", '"', "\\", "\\'", "--", "/*", "||", ";", "$1", "%s", "%(a)s", "{}", "NULL", "-1", "1e999", "9" * 400, "\0"),
    *("' OR '1'='1", '" OR ""="', "1 OR 1=1", "') OR ('a'='a", "') OR 1=1--", "x' OR true --", "1) OR (1=1"),
    *("'; DROP TABLE requests; --", "1; DELETE FROM requests", "'); TRUNCATE requests; --", "'||(SELECT version())||'"),
    *("' UNION SELECT NULL, version() --", "1 UNION ALL SELECT 1,2,3", "' AND 1=CAST((SELECT version()) AS int) --"),
    *("'; SELECT pg_sleep(30); --", "1 AND 1=(SELECT 1 FROM pg_sleep(30))", "'||pg_sleep(30)||'"),
    *("'; COPY requests TO PROGRAM 'true'; --", "\u02bc OR 1=1", "\uff07 OR 1=1", "E'\\047'", "$$ OR 1=1 $$", "\u2028"),
]
NOT_TEXT = "%ed%a0%80%ff%27"


def test_no_parameter_of_any_route_is_sql(viewer: Viewer, ids: list[UUID], routes: list[Route]) -> None:
    before = state(viewer)
    for route in routes:
        for name in (*route.query, "unknown"):
            for payload in (*map(quote, SQL), NOT_TEXT):
                answer = asked(viewer, route, f"{route.at(ids[0])}?{name}={payload}")
                assert answer.status_code < 500, (route.path, name, payload, answer.text)
        for payload in (*SQL, *(f"{ids[0]}{payload}" for payload in SQL)):
            path = route.at(quote(payload, safe=""))
            assert path == route.at("") or asked(viewer, route, path).status_code in (200, 303, 304, 400, 404, 405, 503)
    assert state(viewer) == before


def test_no_value_of_a_filter_is_sql(viewer: Viewer, ids: list[UUID]) -> None:
    """What is asked for in quotes finds what holds it alone; without them it is that or a mistake."""
    before = state(viewer)
    names = [field.name.replace("NAME", "x").replace("PATH", "a") for field in FIELDS]
    for name in names:
        for payload in SQL:
            quoted = '"' + payload.replace("\\", "\\\\").replace('"', '\\"') + '"'
            for value in (payload, quoted):
                for filter in (f"{name}:{value}", f"{name}={value}*", f"-{name}>{value}"):
                    answer = viewer.get("/_/api/filter/check", filter=filter)
                    assert answer.status_code in (200, 400), (filter, answer.text)
            found = viewer.get("/_/api/requests", filter=f"{name}:{quoted}")
            if found.status_code != 400 and payload not in PLAIN:
                wrong = {str(id) for id in ids[:2]} & {row["id"] for row in found.json()["requests"]}
                assert not wrong, (name, payload)
    assert state(viewer) == before


def test_no_header_of_a_request_is_sql_or_breaks_an_answer(
    viewer: Viewer, ids: list[UUID], routes: list[Route]
) -> None:
    names = ["Range", "If-Range", "If-None-Match", "Accept", "Accept-Encoding", "Cookie", "Authorization", "Host"]
    names += ["X-Forwarded-For", "X-Forwarded-Proto", "Sec-Fetch-Site", "Origin", "Content-Type", "Content-Length"]
    before = state(viewer)
    for route in routes:
        for name in (*names, *route.headers):
            for payload in SQL[::9] if name in names else SQL:
                answer = asked(viewer, route, route.at(ids[0]), headers={name.encode(): payload.encode()})
                assert answer.status_code < 500, (route.path, name, payload, answer.text)
    assert state(viewer) == before


# Headers, redirects


def test_no_recorded_value_gets_into_a_header(viewer: Viewer, ids: list[UUID], routes: list[Route]) -> None:
    for route in routes:
        for query in ("", "?reveal=1", "?decoded=1", "?reveal=1&decoded=1&bare=1"):
            for accept in (HTML, {}):
                answer = asked(viewer, route, route.at(ids[2]) + query, headers=accept)
                assert answer.status_code < 500
                assert are_plain(answer), (route.path, answer.headers)


def are_plain(answer: httpx.Response) -> bool:
    """Whether the headers are such as an application writes, and nothing of the canary's in them."""
    names = {name.lower() for name, _ in answer.headers.raw}
    values = b"\n".join(value for _, value in answer.headers.raw)
    return (
        all(re.fullmatch(rb"[a-z0-9-]+", name) for name in names)
        and all(re.fullmatch(rb"[ -~]*", value) for _, value in answer.headers.raw)
        and b"x-injected" not in names
        and CANARY.encode() not in values
    )


def test_what_is_asked_breaks_no_header(viewer: Viewer, ids: list[UUID], routes: list[Route]) -> None:
    lines = ("\r\nX-Injected: y", "%0d%0aX-Injected: y", "\nSet-Cookie: a=b", "\u560d\u560aX-Injected: y", "\x85\u2028")
    for route in routes:
        for name in (*route.query, "unknown"):
            for line in lines:
                answer = asked(viewer, route, f"{route.at(ids[0])}?{name}={quote(line)}", headers=HTML)
                assert "x-injected" not in answer.headers and "set-cookie" not in answer.headers
                assert all(re.fullmatch(rb"[ -~]*", value) for _, value in answer.headers.raw), (route, name)


ELSEWHERE = [
    *("//evil.example", "https://evil.example", "http:evil.example", "javascript:alert(1)", "\\\\evil.example"),
    *("/\\evil.example", "/_/\\..\\..//evil.example", "/\t/evil.example", "/_//\n//evil.example", "///evil.example"),
    *("/_/../..//evil.example", "/_/..//evil.example", "@evil.example", ".evil.example", "%2f%2fevil.example", "\0//x"),
    *("data:text/html,x", "/_/@evil.example", "//evil.example/_/", "/_/?next=//evil.example", "?//evil.example"),
]


def test_no_redirect_leads_elsewhere(viewer: Viewer, ids: list[UUID], routes: list[Route]) -> None:
    followed = 0
    for route in routes:
        for name in ("next", *route.query, "url", "redirect"):
            for place in ELSEWHERE:
                headers = {"Host": "gate", "Referer": f"https://{CANARY}.example/", "X-Forwarded-Host": "evil.example"}
                path = f"{route.at(ids[0])}?{name}={quote(place, safe='')}"
                answers = [asked(viewer, route, path, headers=headers)]
                if "POST" in route.methods:
                    answers.append(viewer.request("POST", route.path, data={"next": place, "password": ""}))
                for answer in answers:
                    if "location" in answer.headers:
                        followed += 1
                        assert stays(answer.headers["location"]), (path, answer.headers["location"])
    assert followed > 20


def stays(location: str) -> bool:
    """As browsers read it: tabs and line ends dropped, a backslash for a slash."""
    read = re.sub(r"[\t\r\n]", "", location).replace("\\", "/")
    place = urlsplit(urljoin("http://gate/_/x", read))
    return (place.scheme, place.netloc) == ("http", "gate") and (place.path == "/" or place.path.startswith("/_/"))


# What GET may do, and who may do what from where


def test_no_get_writes_anything_but_the_trail(viewer: Viewer, ids: list[UUID], routes: list[Route]) -> None:
    viewer.sql("TRUNCATE trail CASCADE")
    before, without_trail = state(viewer), state(viewer, but="trail")
    for route in routes:
        asked(viewer, route, route.at(ids[0], ids[1]))
        asked(viewer, route, route.at(ids[0], ids[1]), headers=HTML)
    assert viewer.get(AUDITS).status_code == 200
    assert state(viewer) == before
    for route in routes:
        asked(viewer, route, route.at(ids[0], ids[1]) + "?reveal=1")
    assert state(viewer, but="trail") == without_trail and state(viewer) != before


def test_nothing_is_done_by_other_methods_but_signing_in_and_out(
    viewer: Viewer, ids: list[UUID], routes: list[Route]
) -> None:
    before = state(viewer)
    for route in routes:
        assert route.methods <= {"GET", "HEAD"} or route.path in PATHS, "a route that changes something: look at CSRF"
        for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "FOO"):
            if method not in route.methods:
                answer = viewer.request(method, route.at(ids[0]), content=b"a=b")
                assert answer.status_code == 405 and "set-cookie" not in answer.headers, (method, route.path)
    for path in PATHS:
        answer = viewer.request("POST", path, data={"password": ""}, headers={"Origin": "https://evil.example"})
        assert answer.status_code == 403 and "set-cookie" not in answer.headers
    assert state(viewer) == before


def test_no_answer_is_for_scripts_of_other_sites(viewer: Viewer, ids: list[UUID], routes: list[Route]) -> None:
    preflight = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization"}
    for route in routes:
        for origin in ("https://evil.example", "null", "http://gate", "http://gate.evil.example"):
            for method, headers in ((route.method, {}), ("OPTIONS", preflight)):
                answer = viewer.request(method, route.at(ids[0]), headers={"Origin": origin, **headers})
                names = " ".join(answer.headers)
                assert "access-control" not in names and "timing-allow-origin" not in names, route.path


def test_every_answer_says_what_it_is_and_no_page_can_be_framed(
    viewer: Viewer, ids: list[UUID], routes: list[Route]
) -> None:
    pages = 0
    for route in routes:
        for path in (route.at(ids[0]), route.at("no-id"), f"{route.at(ids[0])}?unknown=1"):
            for headers in (HTML, {}):
                answer = asked(viewer, route, path, headers=headers)
                assert answer.headers["x-content-type-options"] == "nosniff", path
                assert answer.headers.get("content-type") or answer.status_code in (303, 304), path
                if answer.headers.get("content-type", "").startswith("text/html"):
                    pages += 1
                    policy = answer.headers["content-security-policy"]
                    assert "frame-ancestors 'none'" in policy and "default-src 'none'" in policy, path
                    assert not re.search(r"script-src[^;]*unsafe|\*", policy), path
                    assert "no-sto" in answer.headers["cache-control"] or "private" in answer.headers["cache-control"]
    assert pages > 10


# Bombs


def _zeros(mib: int, layers: int = 1, bits: int = 31) -> bytes:
    """So many MiB of nothing, packed again and again."""
    packer = zlib.compressobj(9, wbits=bits)
    found = b"".join(packer.compress(bytes(MIB)) for _ in range(mib)) + packer.flush()
    for _ in range(layers - 1):
        found = gzip.compress(found, 9)
    return found


def _laughs() -> bytes:
    entities = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    return f'<?xml version="1.0"?><!DOCTYPE l [<!ENTITY l0 "lol">{entities}]><l>&l9;</l>'.encode()


def _blown_up() -> bytes:
    """One long entity, very often (quadratic blowup)."""
    return b'<!DOCTYPE a [<!ENTITY a "%b">]><a>%b</a>' % (b"x" * 500_000, b"&a;" * 150_000)


_HUGE = 2**31 - 1
_PART = b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n\r\n'

BOMBS: dict[str, tuple[str, str, bytes]] = {
    "gzip": ("text/plain", "gzip", _zeros(200)),
    "gzip in gzip": ("application/json", "gzip, gzip, gzip", _zeros(200, 3)),
    "deflate": ("text/html", "deflate", _zeros(200, bits=15)),
    "raw deflate": ("application/xml", "deflate", _zeros(200, bits=-15)),
    "many codings": ("text/plain", ", ".join(["gzip"] * 5000), _zeros(1)),
    "many members": ("text/plain", "gzip", gzip.compress(b"", 9) * 50_000),
    "members that are full": ("text/plain", "gzip", gzip.compress(bytes(30_000), 9) * 20_000),
    "gzip of deep JSON": ("application/json", "gzip", gzip.compress(b"[" * 50 * MIB, 6)),
    "gzip of laughs": ("application/xml", "gzip", gzip.compress(_blown_up(), 6)),
    "PNG": ("image/png", "", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", _HUGE, _HUGE) + bytes(5)),
    "PNG in gzip": (
        "image/png",
        "gzip",
        gzip.compress(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + b"\xff" * 8 + bytes(99 * MIB)),
    ),
    "ICO": ("image/x-icon", "", b"\0\0\1\0\x40\0" + b"\0\0\0\0\1\0\x20\0" + b"\xff" * 8 * 65_535),
    "BMP": ("image/bmp", "", b"BM" + b"\xff" * 12 + struct.pack("<III", 40, _HUGE, _HUGE) + bytes(30)),
    "GIF": ("image/gif", "", b"GIF89a\xff\xff\xff\xff\xf7\0\0" + b"!\xfe" * 100_000),
    "WebP": ("image/webp", "", b"RIFF\xff\xff\xff\xffWEBPVP8X\xff\xff\xff\xff" + b"\xff" * 100),
    "JPEG": ("image/jpeg", "", b"\xff\xd8" + b"\xff\xe1\x00\x08Exif\0\0" * 100_000),
    "JPEG without an end": ("image/jpeg", "", b"\xff\xd8\xff" + b"\xff" * MIB),
    "AVIF": ("image/avif", "", b"\0\0\0\x18ftypavif" + b"\0\0\0\1meta\0\0\0\0\0\0\0\0" * 10_000),
    "laughs": ("application/xml", "", _laughs()),
    "blown up": ("application/xml", "", _blown_up()),
    "parameters of XML": ("text/xml", "", b'<!DOCTYPE a [<!ENTITY % b SYSTEM "file:///etc/passwd">%b;]><a/>'),
    "deep XML": ("application/xml", "", b'<?xml version="1.0"?>' + b"<a>" * 300_000),
    "attributes": ("application/xml", "", b"<a %b/>" % b" ".join(b'a%d=""' % n for n in range(100_000))),
    "deep JSON": ("application/json", "", b"[" * 500_000 + b"]" * 500_000),
    "deep objects": ("application/json", "", b'{"":' * 200_000 + b"0" + b"}" * 200_000),
    "a long number": ("application/json", "", b"9" * MIB),
    "a large exponent": ("application/json", "", b"[1e999999999, -1e-999999999, 1E+99999999999999999999]"),
    "one key": ("application/json", "", b'{"a":0' + b',"a":0' * 150_000 + b"}"),
    "escapes": ("application/json", "", b'"' + b"\\ud800" * 170_000 + b'"'),
    "parts": ("multipart/form-data; boundary=b", "", _PART * 20_000 + b"--b--"),
    "parts that may be": ("multipart/form-data; boundary=b", "", b"\r\n--" * 250_000),
    "a part's headers": ("multipart/form-data; boundary=b", "", b"--b\r\n" + b"a: b\r\n" * 150_000),
    "a boundary": (f"multipart/form-data; boundary={'-' * 60_000}", "", b"-" * MIB),
    "a form": ("application/x-www-form-urlencoded", "", b"a=&" * 350_000),
    "percents": ("application/x-www-form-urlencoded", "", b"%25" * 350_000),
    "tokens": ("text/plain", "", b"eyJ" * 350_000),
    "almost tokens": ("text/plain", "", b"eyJhbGciOiJub25lIn0." * 50_000),
    "line ends": ("text/plain", "", b"\n" * MIB),
    "UTF-7": ("text/plain; charset=utf-7", "", b"+AAA" * 250_000),
    "UTF-32": ("application/json; charset=utf-32", "", '{"password":"x"}'.encode("utf-32") * 10_000),
    "names of secrets": ("application/json", "", b'{"password":' * 80_000),
    "pairs": ("text/plain", "", b"password=" * 110_000),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_takes_neither_long_nor_much_memory(viewer: Viewer, routes: list[Route], name: str) -> None:
    """In every view of it, by every route that takes a request's id."""
    content_type, coding, content = BOMBS[name]
    headers = [["Content-Type", content_type], *([["Content-Encoding", coding]] if coding else [])]
    id = viewer.record(headers=json.dumps(headers), body=content, body_size=len(content), target=f"/{name}")
    views = [
        f"?view={view}&decoded={decoded}" for view in ("json", "xml", "multipart", "image", "hex") for decoded in "01"
    ]
    try:
        for route in routes:
            if "{" in route.path and "release" not in route.path and "static" not in route.path:
                queries = (
                    views
                    if "view" in route.query
                    else ["?decoded=1", "?decoded=0"]
                    if "decoded" in route.query
                    else [""]
                )
                for query in queries:
                    answer, more_mib = weighed(viewer, route, route.at(id) + query)
                    assert answer.status_code < 500, (route.path, query, answer.text[:200])
                    assert len(answer.content) < LARGEST_ANSWER, (route.path, query)
                    assert more_mib < MOST_MORE_MIB, (route.path, query)
    finally:
        viewer.sql("DELETE FROM requests WHERE id = $1", id)


def weighed(viewer: Viewer, route: Route, path: str) -> tuple[httpx.Response, int]:
    """The answer, and how many MiB more than before were taken while it was made; 0 where nobody can say."""
    status, clear = Path("/proc/self/status"), Path("/proc/self/clear_refs")

    def told(name: str) -> int:
        return int(re.findall(rf"{name}:\s+(\d+) kB", status.read_text())[0]) // 1024

    if not clear.exists():
        return asked(viewer, route, path), 0
    clear.write_text("5")  # VmHWM begins anew, proc(5)
    before = told("VmRSS")
    return asked(viewer, route, path), told("VmHWM") - before
