"""Pictures that were sent are shown as such, and nothing else is."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shown_pages import drawn, looked_at, png, soon

from gatebook.viewer.shown.image import image, kind

SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
HEADS = {
    "image/png": png(),
    "image/jpeg": b"\xff\xd8\xff\xe0\0\x10JFIF\0" + bytes(9) + b"\xff\xc0\0\x0b\x08\0\x03\0\x04\x01" + bytes(9),
    "image/gif": b"GIF89a\4\0\3\0" + bytes(9),
    "image/webp": b"RIFF\x20\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\3\0\0\2\0\0" + bytes(9),
    "image/bmp": b"BM" + bytes(12) + struct.pack("<Iii", 40, 4, -3) + bytes(30),
}


@pytest.mark.parametrize("type", HEADS)
def test_a_picture_is_known_by_its_first_bytes(type):
    found = image(HEADS[type])
    assert found is not None
    assert found.type == type
    assert (found.width, found.height) in ((4, 3), (2, 1))
    shown = looked_at(HEADS[type], "text/plain")
    assert "image" in shown.views
    assert f"It is said to be text/plain, but it is {type}." in shown.notes


@pytest.mark.parametrize("content", [SVG, b"BMW and others", b"", b"GIF", b"\0\0\1\0", b"RIFF1234WAVE", b"<html>"])
def test_what_only_says_that_it_is_a_picture_is_none(content):
    assert kind(content) is None
    assert "image" not in looked_at(content, "image/png").views


def test_svg_is_shown_as_its_source():
    shown = looked_at(SVG, "image/svg+xml")
    assert shown.view == "xml"
    assert "<script>" not in drawn(shown)


@pytest.mark.parametrize("size", [(5001, 5000), (0, 7), (2**31, 2**31)])
def test_a_picture_that_is_huge_or_of_no_size_is_not_drawn(size):
    page = drawn(looked_at(png(*size), "image/png"))
    assert "<img" not in page
    assert 'href="/image"' in page


@given(st.sampled_from(list(HEADS.values())), st.binary(max_size=60))
def test_a_broken_picture_does_not_break_the_page(head, more):
    for content in (head[:20] + more, head + more):
        drawn(looked_at(content, "image/png"))


def test_hostile_pictures_take_no_time():
    """An AVIF whose items have a billion extents that take no byte, and a JPEG that is all markers."""
    iloc = b"\1\0\0\0\0\0" + struct.pack(">H", 65535) + struct.pack(">HHHH", 1, 0, 0, 65535) * 65535
    boxes = b"".join(struct.pack(">I", len(data) + 8) + name + data for name, data in ((b"iloc", iloc),))
    meta = struct.pack(">I", len(boxes) + 12) + b"meta\0\0\0\0" + boxes
    avif = struct.pack(">I", 24) + b"ftypavif\0\0\0\0avifmif1" + meta
    with soon():
        assert image(avif) is not None
        assert image(b"\xff\xd8\xff" + b"\xff\x01" * 500_000) is not None
        assert image(b"\xff\xd8\xff" + b"\x00" * 1_000_000) is not None
