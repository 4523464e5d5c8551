"""How the viewer finds the replicas and asks them, whatever they do."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_replica import Fake, ok, play
from parts import short_folder

from gatebook.settings import Address, read
from gatebook.viewer import replicas as replicas_module
from gatebook.viewer.replicas import MOST_BYTES, Replicas


@pytest.fixture
def folder() -> Iterator[Path]:
    with short_folder() as path:
        yield path


def upstream(words: str) -> Replicas:
    return Replicas(read({"PROXY_UPSTREAM": words}).proxy_upstream)


def test_a_pattern_finds_every_socket_and_what_nobody_listens_on_is_silent(folder: Path) -> None:
    async def story() -> None:
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(f"{folder}/webapp-3.sock")
        one, ten, other = Fake(ok(b"one")), Fake(ok(b"ten")), Fake(ok(b"other"))
        async with (
            one.at(folder / "webapp-1.sock"),
            ten.at(folder / "webapp-10.sock"),
            other.at(folder / "viewer.sock"),
            other.at(folder / "webapp-2.sock.123"),
        ):
            pattern = upstream(f"unix:{folder}/webapp-*.sock")
            assert await pattern.ask("/_/metrics") == ["one", "ten", None]
            assert await pattern.ask("/_/metrics") == ["one", "ten", None]
        assert not other.asked
        assert one.asked[0].startswith(b"GET /_/metrics HTTP/1.1\r\nHost: ")

    play(story)


def test_a_replica_that_comes_later_is_found(folder: Path) -> None:
    async def story() -> None:
        pattern = upstream(f"unix:{folder}/*.sock")
        assert await pattern.ask("/") == [None]
        async with Fake(ok(b"late")).at(folder / "a.sock"):
            assert await pattern.ask("/") == ["late"]

    play(story)


def test_a_path_that_only_looks_like_a_pattern_is_a_path(folder: Path) -> None:
    async def story() -> None:
        async with Fake(ok(b"here")).at(folder / "[a].sock"):
            assert await upstream(f"unix:{folder}/[a].sock").ask("/") == ["here"]

    play(story)


def test_host_names_and_addresses_lead_over_tcp_to_each_replica_once() -> None:
    async def story() -> None:
        fake = Fake(ok(b"tcp"))
        async with fake.on_tcp() as port:
            assert await upstream(f"localhost:{port} 127.0.0.1:{port}").ask("/") == ["tcp"]
        assert len(fake.asked) == 1
        assert await upstream("[::1]:1 127.0.0.1:1").ask("/") == [None, None]

    play(story)


def test_all_addresses_that_a_name_has_by_then_are_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    names = {"webapp": ["127.0.0.1", "127.0.0.2", "127.0.0.3"]}

    async def resolved(host: str) -> list[str]:
        return names[host]

    async def story() -> None:
        monkeypatch.setattr(replicas_module, "_resolve", resolved)
        async with Fake(ok(b"one")).on_tcp() as port:
            name = upstream(f"webapp:{port}")
            assert await name.ask("/") == ["one", None, None]
            names["webapp"] = ["127.0.0.1"]
            assert await name.ask("/") == ["one"]

    play(story)


def test_a_name_has_its_addresses_of_ipv4_and_an_address_of_ipv6_is_its_own() -> None:
    async def story() -> None:
        assert await replicas_module._resolve("localhost") == ["127.0.0.1"]
        assert await upstream("[::1]:1")._places(Address("[::1]", 1)) == [Address("::1", 1)]
        assert await replicas_module._resolve("::1") == ["::1"]

    play(story)


@pytest.mark.parametrize("name", ["nobody.invalid", "a..b", "a" * 70])
def test_a_name_that_nobody_has_is_one_silent_replica(name: str) -> None:
    async def story() -> None:
        assert await upstream(f"{name}:8000").ask("/") == [None]

    play(story)


def test_a_name_server_that_hangs_is_asked_once_and_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    async def hanging(host: str) -> list[str]:
        asked.append(host)
        await answers.wait()
        return ["127.0.0.1"]

    async def story() -> None:
        nonlocal answers
        answers = asyncio.Event()
        monkeypatch.setattr(replicas_module, "_resolve", hanging)
        async with Fake(ok(b"back")).on_tcp() as port:
            name = upstream(f"webapp:{port}")
            assert await name.ask("/") == await name.ask("/") == [None]
            assert asked == ["webapp"]
            answers.set()
            assert await name.ask("/") == ["back"]

    answers: asyncio.Event
    play(story)


SENSELESS = {
    "nothing": b"",
    "not HTTP": b"SSH-2.0\r\n\r\n",
    "an error": b"HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\n\r\nno",
    "no length": b"HTTP/1.1 200 OK\r\n\r\ntext",
    "half of a head": b"HTTP/1.1 200 OK\r\nContent-Le",
    "half of a body": ok(b"text")[:-2],
    "a body that is too long": ok(b"x" * (MOST_BYTES + 1)),
    "a length beyond all": b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n",
    "a head without end": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 100_000,
    "no text": ok(b"\xff"),
}


@pytest.mark.parametrize("hangs", [False, True], ids=["hangs up", "hangs"])
def test_replicas_that_make_no_sense_are_silent_and_delay_nobody(folder: Path, hangs: bool) -> None:
    """All of them are asked at once, with one that is fine."""
    answers = {**SENSELESS, "sense": ok(b"fine")}

    async def story() -> None:
        async with contextlib.AsyncExitStack() as stack:
            for number, answer in enumerate(answers.values(), 10):
                await stack.enter_async_context(Fake(answer, hangs).at(folder / f"{number}.sock"))
            told = await upstream(f"unix:{folder}/*.sock").ask("/")
            assert dict(zip(answers, told, strict=True)) == {**dict.fromkeys(SENSELESS), "sense": "fine"}

    play(story)


def test_the_largest_answer_is_taken(folder: Path) -> None:
    async def story() -> None:
        async with Fake(ok(b"x" * MOST_BYTES)).at(folder / "1.sock"):
            assert await upstream(f"unix:{folder}/1.sock").ask("/") == ["x" * MOST_BYTES]

    play(story)


def test_many_that_hang_cost_no_more_than_one(folder: Path) -> None:
    async def story() -> None:
        async with contextlib.AsyncExitStack() as stack:
            for number in range(100):
                await stack.enter_async_context(Fake(b"", hangs=True).at(folder / f"{number}.sock"))
            assert await upstream(f"unix:{folder}/*.sock").ask("/") == [None] * 100

    play(story)


def test_more_than_can_be_asked_are_counted_as_silent(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        monkeypatch.setattr(replicas_module, "MOST_REPLICAS", 2)
        async with contextlib.AsyncExitStack() as stack:
            for number in range(3):
                await stack.enter_async_context(Fake(ok(b"x")).at(folder / f"{number}.sock"))
            assert await upstream(f"unix:{folder}/*.sock").ask("/") == ["x", "x", None]

    play(story)
