"""Which bytes a Range header means (RFC 9110 section 14), and what becomes of a body that cannot be sent to its end."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatebook.viewer.api.body import Body, NotSatisfiable, wanted
from gatebook.viewer.database import Unavailable

SIZES = st.integers(0, 12)
POSITIONS = st.integers(0, 15)


@given(size=SIZES, first=POSITIONS, last=POSITIONS)
def test_first_to_last_is_a_slice(size, first, last):
    whole = range(size)
    if last < first:
        assert wanted(f"bytes={first}-{last}", size) is None
    elif first >= size:
        with pytest.raises(NotSatisfiable):
            wanted(f"bytes={first}-{last}", size)
    else:
        assert wanted(f"bytes={first}-{last}", size) == whole[first : last + 1]


@given(size=SIZES, first=POSITIONS)
def test_an_open_end_is_the_end(size, first):
    if first >= size:
        with pytest.raises(NotSatisfiable):
            wanted(f"bytes={first}-", size)
    else:
        assert wanted(f"bytes={first}-", size) == range(size)[first:]


@given(size=st.integers(1, 12), count=st.integers(1, 15))
def test_a_suffix_is_the_last_bytes(size, count):
    assert wanted(f"bytes=-{count}", size) == range(size)[-count:]


def test_no_last_byte_is_not_satisfiable_and_the_last_of_nothing_is_all():
    with pytest.raises(NotSatisfiable):
        wanted("bytes=-0", 5)
    assert wanted("bytes=-5", 0) is None


@given(header=st.text() | st.from_regex(r"(bytes|items)=[-0-9, ]{0,9}", fullmatch=True), size=SIZES)
def test_any_header_is_a_range_inside_or_refused_or_ignored(header, size):
    try:
        positions = wanted(header, size)
    except NotSatisfiable:
        return
    assert positions is None or (0 <= positions.start < positions.stop <= size and positions.step == 1)


@pytest.mark.parametrize(
    "header", ["", "bytes", "bytes=", "bytes=-", "bytes=1-2,4-5", "items=0-1", "bytes=a-b", "bytes=-1-2", "bytes=٣-"]
)
def test_what_is_malformed_or_more_than_one_range_is_ignored(header):
    assert wanted(header, 10) is None


def test_thousands_of_digits_are_just_a_number():
    assert wanted("bytes=" + "0" * 9000 + "3-" + "9" * 9000, 10) == range(3, 10)
    with pytest.raises(NotSatisfiable):
        wanted("bytes=" + "9" * 9000 + "-", 10)


def test_a_body_cut_short_is_never_ended():
    """The server then closes the connection, so that the client sees that bytes are missing."""
    sent = []

    async def content():
        yield b"first"
        raise Unavailable("the database is away")

    async def send(message):
        sent.append(message)

    async def main():
        answer = await Body.begin(200, content(), {"Content-Length": "10"})
        await answer({"type": "http"}, None, send)

    asyncio.run(main())
    assert [message.get("more_body") for message in sent] == [None, True]
