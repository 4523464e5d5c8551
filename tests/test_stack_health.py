"""Health questions: what each answer, and none, is taken for."""

import asyncio
import socket
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from gatebook.stack.health import Health, ready


@pytest.fixture
def path() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="gatebook-", dir="/tmp") as folder:
        yield Path(folder, "part.sock")


def asked(path: Path) -> Health:
    return asyncio.run(ready(path, 0.3))


def answering(path: Path, answer: bytes) -> Health:
    """What a question is taken for that one who listens on `path` answers so, and hangs up."""

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(answer)

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        thread = threading.Thread(target=serve)
        thread.start()
        found = asyncio.run(ready(path, 30))
        thread.join()
    return found


@pytest.mark.parametrize(
    ("answer", "health"),
    [
        (b'HTTP/1.1 200 OK\r\nContent-Length: 19\r\n\r\n{"state": "ready"}\n', Health.READY),
        (b'HTTP/1.1 200 OK\r\n\r\n{"status":"ok"}', Health.READY),
        (b"HTTP/1.1 200 OK\r\n\r\n", Health.READY),
        (b'HTTP/1.1 200 OK\r\n\r\n{"state":"ready, the database is away"}\n', Health.SPOOLING),
        (b'HTTP/1.1 503 Service Unavailable\r\n\r\n{"state":"stopping"}\n', Health.NOT_READY),
        (b"", Health.NOT_READY),
    ],
)
def test_an_answer_is_taken_for_what_it_says(path: Path, answer: bytes, health: Health) -> None:
    assert answering(path, answer) is health
    assert health.is_healthy == answer.startswith(b"HTTP/1.1 200 ")


def test_nobody_there_is_not_ready(path: Path) -> None:
    assert asked(path) is Health.NOT_READY
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
    assert asked(path) is Health.NOT_READY


def test_somebody_who_does_not_answer_is_silent(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        assert asked(path) is Health.SILENT


def test_a_full_backlog_is_silence_and_only_after_the_whole_time(path: Path) -> None:
    """Else one that is busy for a moment would have left three questions unanswered at once."""

    async def both() -> tuple[Health, bool]:
        asking = asyncio.create_task(ready(path, 2))
        done, _ = await asyncio.wait([asking], timeout=0.3)
        return await asking, bool(done)

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(0)
        with socket.socket(socket.AF_UNIX) as first:
            first.connect(str(path))
            assert asyncio.run(both()) == (Health.SILENT, False)
