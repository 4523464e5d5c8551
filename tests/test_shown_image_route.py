"""A picture that was sent is to be had as a picture, with nothing that could run; anything else is not found."""

import gzip
from collections.abc import Iterator
from uuid import uuid4

import pytest
from shown_pages import png
from viewer import Viewer

SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'


@pytest.fixture(scope="module")
def viewer(cluster) -> Iterator[Viewer]:
    viewer = Viewer(cluster.new_database())
    yield viewer
    viewer.close()


BOUNDARY = "multipart/form-data; boundary=B"


def parts(*contents: bytes) -> bytes:
    return b"".join(b"--B\r\nA: b\r\n\r\n" + content + b"\r\n" for content in contents) + b"--B--\r\n"


def test_a_picture_is_sent_with_nothing_that_could_run(viewer):
    id = viewer.record(body=png(), headers='[["Content-Type", "text/html"]]')
    answer = viewer.get(f"/_/requests/{id}/image")
    assert answer.status_code == 200
    assert answer.content == png()
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["content-security-policy"] == "sandbox; default-src 'none'; style-src 'unsafe-inline'"
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_part_that_is_a_picture_is_sent_alone(viewer):
    id = viewer.record(body=parts(b"x", png(3, 3)), headers=f'[["Content-Type", "{BOUNDARY}"]]')
    assert viewer.get(f"/_/requests/{id}/image", part=1).content == png(3, 3)
    for part in (0, 2, 99):
        assert viewer.get(f"/_/requests/{id}/image", part=part).status_code == 404


def test_a_compressed_picture_is_sent_decoded_if_that_is_asked(viewer):
    headers = f'[["Content-Encoding", "gzip"], ["Content-Type", "{BOUNDARY}"]]'
    alone = viewer.record(body=gzip.compress(png()), headers=headers)
    assert viewer.get(f"/_/requests/{alone}/image").status_code == 404
    assert viewer.get(f"/_/requests/{alone}/image", decoded=1).content == png()
    within = viewer.record(body=gzip.compress(parts(png())), headers=headers)
    assert viewer.get(f"/_/requests/{within}/image", decoded=1, part=0).content == png()


@pytest.mark.parametrize("body", [None, b"", SVG, b"GIF", b"text"])
def test_what_is_no_picture_is_not_found(viewer, body):
    id = viewer.record(body=body)
    answer = viewer.get(f"/_/requests/{id}/image")
    assert answer.status_code == 404
    assert viewer.get(f"/_/requests/{id}/image", part=0).status_code == 404
    assert viewer.get(f"/_/requests/{id}/image", decoded=1).status_code == 404


def test_a_request_that_is_not_recorded_has_no_picture(viewer):
    assert viewer.get(f"/_/requests/{uuid4()}/image").status_code == 404


def test_a_large_picture_is_sent_whole(viewer):
    content = png() + bytes(3_000_000)
    id = viewer.record(body=content)
    assert viewer.get(f"/_/requests/{id}/image").content == content
    assert viewer.request("HEAD", f"/_/requests/{id}/image").headers["content-length"] == str(len(content))
