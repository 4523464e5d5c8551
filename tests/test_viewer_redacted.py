"""What is secret by its name is masked in all that the viewer answers, until it is revealed, which is noted first."""

import base64
import gzip
import hashlib
import json
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from postgres import Cluster
from shown_pages import png
from viewer import Viewer, is_problem

from gatebook.redact import MASK
from gatebook.viewer import database as reads
from gatebook.viewer.api import masking
from gatebook.viewer.pages import compare, one

SECRET = "hunter2zwei"
LIST = "/_/api/requests"
AS_PAGE = {"Accept": "text/html"}


@pytest.fixture(scope="module")
def viewer(cluster: Cluster) -> Iterator[Viewer]:
    viewer = Viewer(cluster.new_database())
    yield viewer
    viewer.close()


@pytest.fixture(autouse=True)
def empty(viewer: Viewer) -> None:
    viewer.sql("TRUNCATE requests, trail CASCADE")


def jwt(claims: dict[str, Any]) -> str:
    parts = (
        base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in ({"alg": "x"}, claims)
    )
    return ".".join([*parts, "c2ln"])


BODIES = {
    "json": json.dumps({"user": {"password": SECRET}, "n": 1}).encode(),
    "form": f"a=1&client_secret={SECRET}&b=2".encode(),
    "json in a form": b"payload=%7B%22token%22%3A%22" + SECRET.encode() + b"%22%7D",
    "multipart": f'--B\r\nContent-Disposition: form-data; name="pwd"\r\n\r\n{SECRET}\r\n--B--\r\n'.encode(),
    "text": f"see https://h/?access_token={SECRET} for it".encode(),
    "utf-16": json.dumps({"password": SECRET}).encode("utf-16"),
    "ebcdic": json.dumps({"password": SECRET}).encode("cp037"),
    "utf-16 at odd bytes, too": f"?token={SECRET}&".encode("utf-16-le")
    + b"-"
    + f"?token={SECRET}&".encode("utf-16-le"),
    "gzip": gzip.compress(json.dumps({"password": SECRET}).encode()),
    "jwt": json.dumps({"id": jwt({"password": SECRET, "sub": "me"})}).encode(),
}
TYPES = {
    "form": "application/x-www-form-urlencoded",
    "json in a form": "application/x-www-form-urlencoded",
    "multipart": "multipart/form-data; boundary=B",
    "ebcdic": "text/plain; charset=cp037",
}


def sent(viewer: Viewer, what: str = "json", **columns: Any) -> UUID:
    """A request with secrets everywhere, and the body of that kind."""
    headers = [
        ["Authorization", f"Bearer {SECRET}"],
        ["Cookie", f"a={SECRET}"],
        ["Referer", f"https://h/?token={SECRET}&page=2"],
        ["Content-Type", TYPES.get(what, "text/plain")],
        *([["Content-Encoding", "gzip"]] if what == "gzip" else []),
    ]
    body = BODIES[what]
    known = {
        "headers": json.dumps(headers),
        "target": f"/hook?token={SECRET}&a=1",
        "body": body,
        "body_size": len(body),
    }
    return viewer.record(**{**known, **columns})


def trail(viewer: Viewer) -> list[tuple[str, str, int | None]]:
    rows = viewer._runner.run(viewer._owner.fetch("SELECT act, about, requests FROM trail ORDER BY id"))
    return [tuple(row) for row in rows]


def is_hidden(text: str | bytes) -> bool:
    """Also as hexadecimal with blanks, and in two bytes a character."""
    text = text.encode() if isinstance(text, str) else text
    pieces = [SECRET[at : at + 6].encode() for at in range(len(SECRET) - 5)]
    ways = [
        *pieces,
        *(piece.hex(" ").encode() for piece in pieces),
        *(piece.decode().encode("utf-16-le") for piece in pieces),
    ]
    return not any(way in text for way in ways)


def places(id: UUID) -> Iterator[tuple[str, dict[str, Any]]]:
    """Everything that shows something of a request."""
    yield LIST, {}
    yield f"{LIST}/{id}", {}
    yield f"{LIST}/{id}/body", {}
    yield "/_/", {}
    for view in ("json", "form", "multipart", "text", "hex", "xml"):
        for decoded in ("", "1"):
            yield f"/_/requests/{id}", {"view": view, **({"decoded": decoded} if decoded else {})}
    yield f"/_/compare/{id}/{id}", {}


@pytest.mark.parametrize("what", BODIES)
def test_no_view_shows_a_secret(viewer: Viewer, what: str) -> None:
    id = sent(viewer, what)
    for path, query in places(id):
        accept = AS_PAGE if path.startswith(("/_/requests", "/_/compare")) or path == "/_/" else None
        answer = viewer.get(path, accept, **query)
        assert answer.status_code == 200, (path, answer.text)
        assert is_hidden(answer.content), (path, query, answer.text)
    assert trail(viewer) == []


@pytest.mark.parametrize("what", BODIES)
def test_what_is_revealed_is_as_it_was_sent_and_noted(viewer: Viewer, what: str) -> None:
    id = sent(viewer, what)
    told = viewer.get(f"{LIST}/{id}", reveal=1).json()
    assert SECRET in told["target"] and SECRET in told["headers"][0][1] and told["redacted"] is False
    body = viewer.get(f"{LIST}/{id}/body", reveal=1)
    assert (
        body.content == BODIES[what] and body.headers["etag"] == f'"{id}"' and "gatebook-redacted" not in body.headers
    )
    assert SECRET in viewer.get(LIST, reveal=1).text
    assert SECRET in viewer.get(f"/_/requests/{id}", AS_PAGE, reveal=1).text
    assert trail(viewer) == [
        ("revealed", f"{LIST}/{id}", 1),
        ("revealed", f"{LIST}/{id}/body", 1),
        ("revealed", LIST, 1),
        ("revealed", f"/_/requests/{id}", 1),
    ]


def test_what_is_masked_is_told_so(viewer: Viewer) -> None:
    id, plain = sent(viewer), viewer.record(headers='[["Host", "h"]]', body=b'{"a": 1}', body_size=8)
    told = viewer.get(f"{LIST}/{id}").json()
    assert told["redacted"] and json.loads(told["body"]) == {"user": {"password": MASK}, "n": 1}
    assert told["target"] == f"/hook?token={MASK}&a=1"
    assert told["headers"][:3] == [
        ["Authorization", MASK],
        ["Cookie", MASK],
        ["Referer", f"https://h/?token={MASK}&page=2"],
    ]
    assert [one["redacted"] for one in viewer.get(LIST).json()["requests"]] == (
        [True, False] if id > plain else [False, True]
    )
    assert viewer.get(f"{LIST}/{plain}").json()["redacted"] is False
    only_body = viewer.record(body=BODIES["json"], body_size=len(BODIES["json"]))
    assert viewer.get(f"{LIST}/{only_body}").json()["redacted"] is True


def test_ranges_are_those_of_the_masked_body(viewer: Viewer) -> None:
    id = sent(viewer)
    whole = viewer.get(f"{LIST}/{id}/body")
    assert whole.headers["gatebook-redacted"] == "true" and whole.headers["etag"] != f'"{id}"'
    assert int(whole.headers["content-length"]) == len(whole.content)
    part = viewer.get(f"{LIST}/{id}/body", {"Range": "bytes=5-30"})
    assert part.status_code == 206 and part.content == whole.content[5:31]
    assert part.headers["content-range"] == f"bytes 5-30/{len(whole.content)}"
    revealed = {"Range": "bytes=5-30", "If-Range": f'"{id}"'}
    assert viewer.get(f"{LIST}/{id}/body", revealed).content == whole.content, (
        "it is another body than the revealed one"
    )
    head = viewer.request("HEAD", f"{LIST}/{id}/body")
    assert head.headers["content-length"] == str(len(whole.content)) and not head.content


def test_a_body_in_which_nothing_is_masked_is_exact(viewer: Viewer) -> None:
    content = bytes(range(256)) * 5000
    id = viewer.record(body=content, body_size=len(content))
    answer = viewer.get(f"{LIST}/{id}/body")
    assert (
        answer.content == content and answer.headers["etag"] == f'"{id}"' and "gatebook-redacted" not in answer.headers
    )


def test_a_body_too_large_to_be_masked_is_not_shown_unless_it_is_revealed(
    viewer: Viewer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(masking, "MOST_BYTES", 10)
    id = sent(viewer)
    answer = viewer.get(f"{LIST}/{id}/body")
    assert is_problem(answer, 403) and "reveal=1" in answer.json()["hint"]
    assert viewer.get(f"{LIST}/{id}/body", reveal=1).content == BODIES["json"]


def test_what_is_compressed_is_masked_as_a_whole_where_something_in_it_would_be(viewer: Viewer) -> None:
    def kept(body: bytes, coding: str = "gzip") -> bytes:
        id = viewer.record(body=body, body_size=len(body), headers=json.dumps([["Content-Encoding", coding]]))
        return viewer.get(f"{LIST}/{id}/body").content

    harmless = gzip.compress(b'{"a": 1}')
    assert kept(harmless) == harmless
    assert kept(BODIES["gzip"]) == MASK.encode()
    assert kept(gzip.compress(BODIES["gzip"]), "gzip, gzip") == MASK.encode()
    assert kept(b"\x0b\x02\x80whatever", "br") == MASK.encode(), "nobody can look into it"
    assert kept(gzip.compress(bytes(20 * 1024 * 1024))) == MASK.encode(), "nobody has looked to its end"


def test_a_part_that_is_masked_is_no_picture_unless_it_is_revealed(viewer: Viewer) -> None:
    def part(name: str) -> bytes:
        return f'--B\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'.encode() + png() + b"\r\n"

    body = part("photo") + part("secret") + b"--B--\r\n"
    id = sent(viewer, "multipart", body=body, body_size=len(body))
    image = f"/_/requests/{id}/image"
    assert viewer.get(image, part=0).content == png()
    assert is_problem(viewer.get(image, part=1), 404)
    assert viewer.get(image, part=1, reveal=1).content == png()
    assert trail(viewer) == [("revealed", image, 1)]


def test_another_site_reveals_nothing(viewer: Viewer) -> None:
    id = sent(viewer)
    for site, allowed in (("cross-site", False), ("same-site", False), ("same-origin", True), ("none", True)):
        for path in (LIST, f"{LIST}/{id}", f"{LIST}/{id}/body", f"/_/requests/{id}", "/_/api/events"):
            if path == "/_/api/events" and allowed:
                continue  # it would not end
            answer = viewer.get(path, {"Sec-Fetch-Site": site}, reveal=1)
            assert answer.status_code == (200 if allowed else 403), (site, path)
            assert allowed or is_hidden(answer.content)
    assert len(trail(viewer)) == 8


def test_what_cannot_be_noted_is_not_revealed(viewer: Viewer, monkeypatch: pytest.MonkeyPatch) -> None:
    id = sent(viewer)
    monkeypatch.setitem(reads.QUERIES, "note", "INSERT INTO trail (act) VALUES ($1::text || $2 || $3 || $4 || $5)")
    for path in (LIST, f"{LIST}/{id}", f"{LIST}/{id}/body", f"/_/requests/{id}"):
        answer = viewer.get(path, reveal=1)
        assert answer.status_code >= 500 and is_hidden(answer.content), path


def test_comparing_tells_whether_masked_values_differ(viewer: Viewer) -> None:
    a, b = sent(viewer), sent(viewer, body=json.dumps({"user": {"password": "another"}, "n": 1}).encode())
    page = viewer.get(f"/_/compare/{a}/{b}", AS_PAGE).text
    assert "They differ in body" in page and "[redacted 1]" in page and is_hidden(page)
    assert "They were sent alike" in viewer.get(f"/_/compare/{a}/{sent(viewer)}", AS_PAGE).text
    assert SECRET in viewer.get(f"/_/compare/{a}/{b}", AS_PAGE, reveal=1).text


def test_a_masked_request_is_not_offered_to_be_sent_again_until_it_is_revealed(viewer: Viewer) -> None:
    id = sent(viewer)
    page = viewer.get(f"/_/requests/{id}", AS_PAGE).text
    assert "snippet" not in page and "Some of it is masked" in page and ">Reveal<" in page
    revealed = viewer.get(f"/_/requests/{id}", AS_PAGE, reveal=1).text
    assert "snippet-3" in revealed and f"Bearer {SECRET}" in revealed and "Mask it again" in revealed
    assert "reveal=1" not in page.replace('name="reveal" value="1"', "")


def test_no_link_leads_to_what_has_a_mask_for_a_value(viewer: Viewer) -> None:
    page = viewer.get(f"/_/requests/{sent(viewer)}", AS_PAGE).text
    assert "redacted" in page
    assert not [link for link in page.split('href="')[1:] if "redacted" in link.partition('"')[0]]


def test_the_sum_of_a_masked_body_is_not_told(viewer: Viewer) -> None:
    """Whoever knows all but a short value could find it by trying."""
    id = sent(viewer)
    assert "SHA-256" not in viewer.get(f"/_/requests/{id}", AS_PAGE).text
    assert "SHA-256" in viewer.get(f"/_/requests/{id}", AS_PAGE, reveal=1).text


def test_the_sum_of_a_body_that_is_not_looked_into_is_not_told_either(
    viewer: Viewer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(one, "SHOWN_BYTES", 10)
    monkeypatch.setattr(compare, "COMPARED_BYTES", 10)
    a, b, c = sent(viewer), sent(viewer), sent(viewer, "text")
    assert "SHA-256" not in viewer.get(f"/_/requests/{a}", AS_PAGE).text
    assert "SHA-256" in viewer.get(f"/_/requests/{a}", AS_PAGE, reveal=1).text
    sums = [hashlib.sha256(BODIES[what]).hexdigest() for what in ("json", "text")]
    masked = viewer.get(f"/_/compare/{a}/{c}", AS_PAGE).text
    assert "[redacted 1]" in masked and "[redacted 2]" in masked and not any(sum in masked for sum in sums)
    assert "They differ in body" in masked
    assert "They were sent alike" in viewer.get(f"/_/compare/{a}/{b}", AS_PAGE).text
    assert all(sum in viewer.get(f"/_/compare/{a}/{c}", AS_PAGE, reveal=1).text for sum in sums)


def test_counts_by_path_show_no_parameter_of_a_path(viewer: Viewer) -> None:
    viewer.record(target=f"/hook;token={SECRET}")
    answer = viewer.get("/_/api/counts", by="path")
    assert answer.json()["groups"][0]["value"] == f"/hook;token={MASK}"


def test_with_nothing_to_mask_everything_is_as_it_was_and_nothing_is_noted(cluster: Cluster) -> None:
    settings = cluster.new_database()
    viewer = Viewer(type(settings)(**{**vars(settings), "redact": ()}))
    try:
        id = sent(viewer)
        assert SECRET in viewer.get(f"{LIST}/{id}").text
        assert viewer.get(f"{LIST}/{id}", reveal=1).json()["redacted"] is False
        assert viewer.get(f"{LIST}/{id}/body").content == BODIES["json"]
        assert "snippet-3" in viewer.get(f"/_/requests/{id}", AS_PAGE).text
        assert trail(viewer) == []
    finally:
        viewer.close()
