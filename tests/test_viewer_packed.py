"""Pages are sent gzipped, and nothing else is touched."""

import asyncio
import gzip
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
from postgres import Cluster
from starlette.responses import HTMLResponse, Response, StreamingResponse
from starlette.types import ASGIApp
from viewer import Viewer

from gatebook.viewer.api.packed import Packed

LONG = "<p>caf\u00e9</p>" * 50_000


@pytest.fixture
def viewer(cluster: Cluster) -> Iterator[Viewer]:
    viewer = Viewer(cluster.new_database())
    yield viewer
    viewer.close()


def answered(app: ASGIApp, **headers: str) -> tuple[dict[str, str], bytes]:
    """The headers, and the bytes as they were sent."""
    given = {"accept-encoding": "gzip, br", **{name.replace("_", "-"): value for name, value in headers.items()}}

    async def asked() -> tuple[dict[str, str], bytes]:
        client = httpx.AsyncClient(transport=httpx.ASGITransport(Packed(app)), base_url="http://gate")
        async with client, client.stream("GET", "/", headers=given) as answer:
            return dict(answer.headers), b"".join([part async for part in answer.aiter_raw()])

    return asyncio.run(asked())


@pytest.mark.parametrize("text", [LONG, LONG[:2000]], ids=["long", "short"])
def test_a_page_is_packed_for_whoever_takes_that(text: str) -> None:
    headers, body = answered(HTMLResponse(text))
    assert headers["content-encoding"] == "gzip" and headers["vary"] == "Accept-Encoding"
    assert int(headers["content-length"]) == len(body) < len(text) / 5
    assert gzip.decompress(body) == text.encode()


@pytest.mark.parametrize("headers", [{"accept_encoding": "identity"}, {"sec_fetch_site": "cross-site"}], ids=str)
def test_a_page_is_sent_as_it_is_to_who_does_not_take_that_and_for_another_site(headers: dict[str, str]) -> None:
    told, body = answered(HTMLResponse(LONG), **headers)
    assert "content-encoding" not in told and body == LONG.encode()


def test_what_is_no_page_comes_in_parts_or_is_packed_is_not_touched() -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield LONG.encode()
        yield b"the end"

    packed = gzip.compress(LONG.encode())
    exact = Response(LONG, media_type="application/octet-stream")
    assert answered(exact)[1] == LONG.encode()
    assert answered(StreamingResponse(parts(), media_type="text/html"))[1] == LONG.encode() + b"the end"
    assert answered(HTMLResponse(packed, headers={"Content-Encoding": "gzip"}))[1] == packed


def test_the_pages_of_the_viewer_come_packed_and_are_the_same_to_head(viewer: Viewer) -> None:
    for _ in range(10):
        viewer.record()
    page = viewer.get("/_/")
    assert page.headers["content-encoding"] == "gzip" and "<!doctype html>" in page.text
    alike = [(name, value) for name, value in page.headers.multi_items() if name != "date"]
    assert set(alike) <= set(viewer.request("HEAD", "/_/").headers.multi_items())
    assert "content-encoding" not in viewer.get("/_/api/requests").headers
