"""Floods and slowness against a real stack that speaks TLS and HTTP/2: nothing dies, swells, mixes up or forgets.

Plot: while somebody does his worst, another client asks over new connections all the time and has to be answered soon.
Afterwards every part is the process that it was, none has grown beyond bounds, and whatever was acknowledged is in the
table as it was sent, under the id that its own answer had. The last test has the audit prove all of it.
"""

import asyncio
import contextlib
import http.client
import itertools
import json
import random
import secrets
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

import frames
import psutil
import pytest
from certificates import NAME, make, trusting_anybody
from frames import LATEST_ENTRY, PREFACE, Raw, block, head, reset, streams
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ResponseReceived, StreamEnded
from hyperframe.frame import ContinuationFrame, PingFrame, PriorityFrame, SettingsFrame, WindowUpdateFrame
from local_stack import Stack, made_stack, until

MIB = 1024 * 1024
ANSWERED_WITHIN_S = 10.0  # on a machine that does other things as well; mostly it takes some milliseconds
MOST_MIB = 256  # of any part that a client's bytes reach; about 10 (nginx) to 70 (a replica) when nothing happens
LINGER_NOT = struct.pack("ii", 1, 0)  # close() by RST

Sent = tuple[str, str, bytes]  # method, target, body


def _integer(rest: int) -> bytes:
    """What follows a prefix that is full (RFC 7541, 5.1)."""
    found = b""
    while rest >= 128:
        found, rest = found + bytes([rest % 128 | 128]), rest // 128
    return found + bytes([rest])


BOMB = b"\x40\x01x" + b"\x7f" + _integer(3900 - 127) + b"y" * 3900  # a literal, put into the table


@pytest.fixture(scope="module")
def flooded() -> Iterator[Stack]:
    for made in made_stack():
        made.environment |= make(made.folder / "tls").settings
        made.up("--scale", 2)
        yield made


@pytest.fixture(scope="module")
def first_pids(flooded: Stack) -> dict[str, int]:
    return {part["name"]: part["pid"] for part in flooded.ps()}


@pytest.fixture
def witness(flooded: Stack, first_pids: dict[str, int]) -> Iterator["Witness"]:
    """Asks while the test runs, and looks at everything after it."""
    watched = Watched(flooded, first_pids)
    found = Witness(flooded, watched)
    with found.asking():
        yield found
    watched.check()
    found.check()


class Watched:
    """The processes that a client's bytes reach, nginx's workers among them."""

    def __init__(self, stack: Stack, pids: dict[str, int]) -> None:
        self._parts = {name: psutil.Process(pid) for name, pid in pids.items() if name != "db"}
        self._database = psutil.Process(pids["db"])
        self._workers = self._of_nginx()
        self._stack = stack
        self.most = 0  # MiB

    def look(self) -> None:
        sizes = [process.memory_info().rss // MIB for process in (*self._parts.values(), *self._workers)]
        self.most = max(self.most, *sizes)

    def check(self) -> None:
        """All are those that they were, and none has ever been too large."""
        assert all(each.is_running() for each in (*self._parts.values(), self._database))
        assert self._of_nginx() == self._workers, "a worker has died"
        assert self.most < MOST_MIB

    def _of_nginx(self) -> set[psutil.Process]:
        return set(self._parts["lb"].children())


@dataclass
class Witness:
    """Who asks beside a flood, and the book of what was sent and told."""

    stack: Stack
    watched: Watched
    token: str = field(default_factory=lambda: secrets.token_hex(4))
    attempted: dict[str, Sent] = field(default_factory=dict)  # by target
    told: dict[str, str] = field(default_factory=dict)  # the target that each id was an answer to
    slowest_s: float = 0.0
    asked: int = 0
    wrong: list[str] = field(default_factory=list)

    def request(self, kind: str, number: object, method: str = "POST") -> Sent:
        """A new one to send, by whatever means."""
        target = f"/{self.token}/{kind}/{number}"
        self.attempted[target] = sent = (method, target, f"body of {target}".encode() if method == "POST" else b"")
        return sent

    def tell(self, target: str, id: str | None) -> None:
        """That `target` was answered, as recorded, with this id."""
        assert id and self.told.setdefault(id, target) == target, f"{target} has the id of {self.told.get(id or '')}"

    @contextlib.contextmanager
    def asking(self) -> Iterator[None]:
        done = threading.Event()
        thread = threading.Thread(target=self._ask, args=(done,))
        thread.start()
        try:
            until(lambda: self.asked > 0 or self.wrong, "the first answer")
            yield
            after = self.asked
            until(lambda: self.asked > after + 2 or self.wrong, "answers afterwards")
        finally:
            done.set()
            thread.join()

    def _ask(self, done: threading.Event) -> None:
        """On a new connection each time."""
        while not done.wait(0.05):
            method, target, body = self.request("control", self.asked)
            begun = time.monotonic()
            connection = http.client.HTTPSConnection(
                "127.0.0.1", self.stack.port, timeout=ANSWERED_WITHIN_S, context=trusting_anybody()
            )
            try:
                with contextlib.closing(connection):
                    connection.request(method, target, body)
                    answer = connection.getresponse()
                    answer.read()
                assert answer.status == 200, f"{target}: {answer.status}"
                self.tell(target, answer.getheader("Gatebook-Id"))
            except (OSError, AssertionError, http.client.HTTPException) as error:
                self.wrong.append(f"{type(error).__name__}: {error}")
                return
            self.slowest_s = max(self.slowest_s, time.monotonic() - begun)
            self.asked += 1
            self.watched.look()

    def rows(self, kind: str = "%") -> dict[str, Sent]:
        """What is recorded of this test's requests, by id."""
        found = self.stack.sql(
            f"SELECT id, method, target, encode(body, 'hex') FROM requests WHERE target LIKE '/{self.token}/{kind}/%'"
        )
        rows = (line.split("|") for line in found.splitlines())
        return {id: (method, target, bytes.fromhex(body)) for id, method, target, body in rows}

    def check(self) -> None:
        """Who asked beside it was answered in time; acknowledged is recorded exactly; nothing is there but what was
        sent, each once."""
        assert not self.wrong
        assert self.slowest_s < ANSWERED_WITHIN_S
        rows = self.rows()
        assert {id: rows.get(id) for id in self.told} == {id: self.attempted[t] for id, t in self.told.items()}
        targets = [target for _, target, _ in rows.values()]
        assert len(set(targets)) == len(targets)
        assert {target: self.attempted.get(target) for target in targets} == {row[1]: row for row in rows.values()}


def connections(stack: Stack, count: int, reads: bool = True) -> contextlib.closing["_All"]:
    return contextlib.closing(_All([Raw(stack.url, reads) for _ in range(count)]))


class _All(list[Raw]):
    def close(self) -> None:
        for each in self:
            each.close()


# HTTP/2 floods


@pytest.mark.parametrize("pause_s", [0, 0.02])
@pytest.mark.parametrize("whole", [True, False])
def test_streams_that_are_reset_as_soon_as_they_are_opened(
    flooded: Stack, witness: Witness, pause_s: float, whole: bool
) -> None:
    """Rapid reset (CVE-2023-44487), as fast as it goes and at a pace that nginx takes for no flood. What was whole
    before it was reset may be recorded, once."""
    with connections(flooded, 4) as opened:
        for begin in range(0, 4000, 50):
            for number, connection in enumerate(opened):
                flood = b""
                for stream in range(2 * begin + 1, 2 * begin + 101, 2):
                    method, target, _ = witness.request("reset", f"{number}-{stream}", "GET" if whole else "POST")
                    flood += head(stream, block(method, target), ends=whole) + reset(stream)
                connection.push(flood, within_s=1)
            time.sleep(pause_s)
    recorded = len(witness.rows("reset"))
    assert recorded if whole else not recorded


@pytest.mark.parametrize("size", [0, 1, 16_000])
def test_fields_that_go_on_and_on(flooded: Stack, witness: Witness, size: int) -> None:
    """CONTINUATION flood (CVE-2024-27316 and others)."""
    more = (b"\x00\x01x\x01y" * (size // 5 + 1))[:size]  # the literal field x: y
    one = ContinuationFrame(1, data=more).serialize()
    with connections(flooded, 2) as opened:
        for connection in opened:
            _, target, _ = witness.request("continued", secrets.token_hex(4))
            connection.push(head(1, block("GET", target), ends=True, whole=False))
            connection.push(one * min(100_000, 4 * MIB // len(one)), within_s=3)
            if size:
                assert connection.ends()
    assert not witness.rows("continued")


@pytest.mark.parametrize(
    "frame",
    [
        PingFrame(0, opaque_data=b"gatebook"),
        SettingsFrame(0, settings={SettingsFrame.INITIAL_WINDOW_SIZE: 65535}),
        SettingsFrame(0, settings={SettingsFrame.HEADER_TABLE_SIZE: 0, SettingsFrame.MAX_FRAME_SIZE: 16384}),
        PriorityFrame(1, depends_on=3, stream_weight=5),
        WindowUpdateFrame(0, window_increment=1),
    ],
    ids=lambda frame: type(frame).__name__,
)
@pytest.mark.parametrize("reads", [True, False])
def test_frames_that_ask_for_nothing(flooded: Stack, witness: Witness, frame: PingFrame, reads: bool) -> None:
    """PING, SETTINGS, … floods (CVE-2019-9512, -9515): what has to be answered is not queued without bounds."""
    flood = frame.serialize() * 60_000
    with connections(flooded, 2, reads) as opened:
        for connection in opened:
            connection.push(flood, within_s=1.5)


def test_a_field_that_is_repeated_by_a_byte(flooded: Stack, witness: Witness) -> None:
    """An HPACK bomb: 4 KiB of the table for each byte sent, in streams without an end. Their number bounds it."""
    with connections(flooded, 4) as opened:
        for number, connection in enumerate(opened):
            for stream in streams(128):
                _, target, _ = witness.request("bomb", f"{number}-{stream}")
                more = (BOMB if stream == 1 else LATEST_ENTRY) + LATEST_ENTRY * 250
                connection.push(head(stream, block("POST", target) + more))
        until(lambda: witness.asked > 10, "it to be looked at for a while")
        witness.watched.look()
    assert not witness.rows("bomb")


@pytest.fixture(scope="module")
def limited() -> Iterator[tuple[Stack, set[psutil.Process]]]:
    """A stack that lets a client have few requests under way, and nginx's workers."""
    for made in made_stack():
        made.environment |= make(made.folder / "tls").settings | {"GATEBOOK_CONNECTION_LIMIT": "4"}
        made.up("--scale", 1)
        yield made, set(psutil.Process(made.part("lb")["pid"]).children())


@pytest.mark.parametrize(
    ("fields", "most_mib"),
    [
        (block("GET", "/x"), 64),
        (block("POST", "/x", ("content-length", "99999999999")), 64),  # would be recorded without its body
        (block("TRACE", "/x"), 64),
        (block("GET", "/x", ("gatebook stamp", "x")), 64),
        (block("not a method", "/x"), 64),  # broken off before its path is known
        (block("GET", "/_/api/filter"), MOST_MIB),
        (block("GET", "/_/static/x"), MOST_MIB),
        (block("GET", "/_/health/live"), MOST_MIB),
    ],
    ids=["recorded", "too large", "TRACE", "private name", "no path yet", "viewer", "static", "health"],
)
def test_the_headers_of_what_is_refused_are_not_kept_for_a_client_that_takes_no_answer(
    limited: tuple[Stack, set[psutil.Process]], fields: bytes, most_mib: int
) -> None:
    """The bomb again, by a client whose windows are shut: what waits for one to open is kept, and has to be within the
    limits. 512 MiB were asked to be kept each time; of the viewer's, a hundred at once may be under way, 2 MiB each."""
    stack, workers = limited
    shut = SettingsFrame(0, settings={SettingsFrame.INITIAL_WINDOW_SIZE: 0}).serialize()
    with connections(stack, 16) as opened:
        for connection in opened:
            flood = b"".join(
                head(stream, fields + (BOMB if stream == 1 else LATEST_ENTRY) + LATEST_ENTRY * 250, ends=True)
                for stream in streams(32)
            )
            connection.push(shut + flood + PingFrame(0, opaque_data=b"gatebook").serialize())
        for connection in opened:
            _be_told_pong(connection)
        assert sum(worker.memory_info().rss for worker in workers) // MIB < most_mib


def _be_told_pong(connection: Raw) -> None:
    """nginx has looked at all that came before the PING."""
    connection.socket.settimeout(ANSWERED_WITHIN_S)
    came = b""
    while b"gatebook" not in came:
        came += connection.socket.recv(1 << 16)


def test_more_fields_and_longer_ones_than_are_let_in_are_refused(flooded: Stack, witness: Witness) -> None:
    tiny = b"\x40\x01a\x01b" + LATEST_ENTRY * 25_000
    long = b"\x40\x01x\x7f" + _integer(3900 - 127) + b"y" * 3900 + LATEST_ENTRY * 16_000  # would be 60 MiB
    for more in (tiny, long):
        with connections(flooded, 1) as [connection]:
            _, target, _ = witness.request("refused", secrets.token_hex(4))
            fields = block("GET", target) + more
            parts = [fields[at : at + 16_000] for at in range(0, len(fields), 16_000)]
            flood = head(1, parts[0], ends=True, whole=False)
            for part in parts[1:]:
                flags = ["END_HEADERS"] if part is parts[-1] else []
                flood += ContinuationFrame(1, data=part, flags=flags).serialize()
            connection.push(flood)
            connection.ends(0.5)
    assert not witness.rows("refused")


def test_many_streams_without_an_end_hold_up_nobody(flooded: Stack, witness: Witness) -> None:
    with connections(flooded, 20) as opened:
        for number, connection in enumerate(opened):
            begun = [(stream, witness.request("endless", f"{number}-{stream}")) for stream in streams(100)]
            flood = b"".join(
                head(stream, block(method, target)) + frames.data(stream, body, ends=False)
                for stream, (method, target, body) in begun
            )
            connection.push(flood)
        until(lambda: witness.asked > 10, "some answers meanwhile")
    assert not witness.rows("endless")


def test_each_of_many_streams_at_once_has_its_own_answer(flooded: Stack, witness: Witness) -> None:
    """Thirty at a time on one connection, whose bodies come in pieces, in any order."""
    dice = random.Random(0)
    protocol = H2Connection(H2Configuration(client_side=True, header_encoding="latin-1"))
    with _http2(flooded) as connection:
        protocol.initiate_connection()
        for turn in range(5):
            asked = {}
            for number in range(30):
                asked[stream := protocol.get_next_available_stream_id()] = witness.request("mixed", f"{turn}-{number}")
                method, target, _ = asked[stream]
                pseudo = {":method": method, ":scheme": "https", ":path": target, ":authority": NAME}
                protocol.send_headers(stream, list(pseudo.items()))
            pieces = [stream for stream, (_, _, body) in asked.items() for _ in body]
            dice.shuffle(pieces)
            sent = dict.fromkeys(asked, 0)
            for stream in pieces:
                body, at = asked[stream][2], sent[stream]
                protocol.send_data(stream, body[at : at + 1], end_stream=at + 1 == len(body))
                sent[stream] += 1
            connection.sendall(protocol.data_to_send())
            _be_told(protocol, connection, {stream: target for stream, (_, target, _) in asked.items()}, witness)
    assert len(witness.rows("mixed")) == 150


def _be_told(protocol: H2Connection, connection: socket.socket, targets: dict[int, str], witness: Witness) -> None:
    """Read until each of these streams has been answered."""
    ended: set[int] = set()
    while ended != set(targets):
        for event in protocol.receive_data(connection.recv(1 << 16)):
            match event:
                case ResponseReceived(stream_id=stream, headers=headers):
                    told = {str(name): str(value) for name, value in headers or ()}
                    assert told[":status"] == "200"
                    witness.tell(targets[stream or 0], told["gatebook-id"])
                case StreamEnded(stream_id=stream):
                    ended.add(stream or 0)


# Slow everything


def test_slow_clients_of_every_kind_hold_up_nobody_and_are_answered_in_the_end(
    flooded: Stack, witness: Witness
) -> None:
    """At the same time: hundreds of idle connections, headers and bodies by the byte, answers read by the byte."""
    asyncio.run(_slowness(flooded, witness))
    assert not witness.rows("never")
    assert len(witness.rows("slow-%")) == 3 * 30


async def _slowness(stack: Stack, witness: Witness) -> None:
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        over = asyncio.Event()
        for number in range(400):
            group.create_task(_idle(stack, tls=number % 2 == 0, over=over))
        for number in range(60):
            group.create_task(_never_ends(stack, witness.request("never", number), over))
        slow = []
        for number in range(30):
            for kind, read_size in (("slow-head", 0), ("slow-body", 0), ("slow-reader", 7)):
                sent = witness.request(kind, number)
                slow.append(group.create_task(_slowly(stack, witness, sent, kind, read_size)))
        await asyncio.gather(*slow)
        over.set()


async def _open(stack: Stack, tls: bool = True) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    context = trusting_anybody() if tls else None
    return await asyncio.open_connection(
        "127.0.0.1", stack.port, ssl=context, ssl_handshake_timeout=30 if tls else None
    )


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


async def _idle(stack: Stack, tls: bool, over: asyncio.Event) -> None:
    _, writer = await _open(stack, tls)
    await over.wait()
    await _close(writer)


async def _never_ends(stack: Stack, sent: Sent, over: asyncio.Event) -> None:
    """Slowloris: one more header each time."""
    _, writer = await _open(stack)
    writer.write(f"POST {sent[1]} HTTP/1.1\r\nHost: {NAME}\r\n".encode())
    for number in itertools.count():
        writer.write(f"X-{number}: y\r\n".encode())
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(over.wait(), 0.3)
            break
    await _close(writer)


async def _slowly(stack: Stack, witness: Witness, sent: Sent, kind: str, read_size: int) -> None:
    """One request, some of it by pieces over two seconds; then its answer, perhaps by pieces as well."""
    method, target, body = sent
    reader, writer = await _open(stack)
    start = f"{method} {target} HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    slow, rest = {"slow-head": (start.encode(), body), "slow-body": (body, b"")}.get(kind, (b"", start.encode() + body))
    if kind == "slow-body":
        writer.write(start.encode())
    step = -(-len(slow) // 20) or 1
    for at in range(0, len(slow), step):
        writer.write(slow[at : at + step])
        await asyncio.sleep(0.1)
    writer.write(rest)
    answer = b""
    while part := await reader.read(read_size or 1 << 16):
        answer += part
        await asyncio.sleep(0.02 if read_size else 0)
    assert answer.startswith(b"HTTP/1.1 200"), answer
    witness.tell(target, _header(answer, b"gatebook-id"))
    await _close(writer)


def test_answers_that_nobody_reads_hold_up_nobody(flooded: Stack, witness: Witness) -> None:
    """The page, asked for over and over on connections that take nothing in."""
    ask = b"GET / HTTP/1.1\r\nHost: %b\r\n\r\n" % NAME.encode()
    with contextlib.ExitStack() as all:
        for _ in range(30):
            plain = all.enter_context(socket.socket())
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            plain.connect(("127.0.0.1", flooded.port))
            tls = all.enter_context(trusting_anybody().wrap_socket(plain, server_hostname=NAME))
            tls.settimeout(1)
            with contextlib.suppress(OSError):
                tls.sendall(ask * 100)
        until(lambda: witness.asked > 10, "some answers meanwhile")


# Ends at every byte


Connects = Callable[[Stack], socket.socket]


def _plain(stack: Stack) -> socket.socket:
    return socket.create_connection(("127.0.0.1", stack.port), 30)


def _tls(stack: Stack) -> socket.socket:
    return trusting_anybody().wrap_socket(_plain(stack), server_hostname=NAME)


def _http2(stack: Stack) -> socket.socket:
    return trusting_anybody("h2").wrap_socket(_plain(stack), server_hostname=NAME)


def _with_length(sent: Sent) -> bytes:
    return b"%b %b HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%b" % (*_line(sent), len(sent[2]), sent[2])


def _in_chunks(sent: Sent) -> bytes:
    line, body = _line(sent), sent[2]
    pieces = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (body[:7], body[7:]))
    return b"%b %b HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n%b0\r\n\r\n" % (*line, pieces)


def _line(sent: Sent) -> tuple[bytes, bytes]:
    return sent[0].encode(), sent[1].encode()


def _as_frames(sent: Sent) -> bytes:
    method, target, body = sent
    return PREFACE + head(1, block(method, target)) + frames.data(1, body[:7], ends=False) + frames.data(1, body[7:])


@pytest.mark.parametrize(
    ("connect", "encode"),
    [(_plain, _in_chunks), (_tls, _with_length), (_tls, _in_chunks), (_http2, _as_frames)],
    ids=["plain-chunked", "tls-length", "tls-chunked", "http2"],
)
def test_a_client_that_leaves_at_any_byte_is_recorded_only_if_it_had_sent_all(
    flooded: Stack, witness: Witness, connect: Connects, encode: Callable[[Sent], bytes]
) -> None:
    """Closed after each of its bytes, now politely and now by a reset; after the last one only its sending side."""
    length = len(encode(witness.request("left", "0000")))
    for count in range(1, length):
        request = encode(witness.request("left", f"{count:04}"))
        with connect(flooded) as connection:
            connection.sendall(request[:count])
            if count % 2:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NOT)
    sent = witness.request("left", f"{length:04}")
    assert len(encode(sent)) == length
    with connect(flooded) as connection:
        connection.sendall(encode(sent))
        if connect is not _http2:  # there the end of the connection is the end of its streams, for nginx
            socket.socket.shutdown(connection, socket.SHUT_WR)
        assert until(lambda: [*witness.rows("left").values()], "the whole one") == [sent]


# As large and as many as are let in


def test_long_header_lines_and_very_many_are_recorded_as_they_were_sent(flooded: Stack, witness: Witness) -> None:
    for headers in ([("x-long", "v" * 64 * 1024)], [(f"x-{number}", str(number)) for number in range(10_000)]):
        method, target, body = witness.request("headers", len(headers))
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
        request = f"{method} {target} HTTP/1.1\r\nHost: h\r\nContent-Length: {len(body)}\r\n{lines}\r\n".encode() + body
        with _tls(flooded) as connection:
            connection.sendall(request)
            [answer] = answers(connection.makefile("rb"), 1)
        assert answer.startswith(b"HTTP/1.1 200"), answer
        id = _header(answer, b"gatebook-id")
        witness.tell(target, id)
        recorded = json.loads(flooded.sql(f"SELECT headers FROM requests WHERE id = '{id}'"))
        assert recorded[2:] == [list(pair) for pair in headers]


@pytest.mark.parametrize("at_once", [True, False])
def test_pipelined_requests_are_answered_in_their_order_each_with_its_own(
    flooded: Stack, witness: Witness, at_once: bool
) -> None:
    sent = [witness.request("pipelined", number) for number in range(128)]
    request = b"".join((_in_chunks, _with_length)[number % 2](each) for number, each in enumerate(sent))
    with _tls(flooded) as connection:
        for piece in [request] if at_once else [request[at : at + 99] for at in range(0, len(request), 99)]:
            connection.sendall(piece)
        for (_, target, _), answer in zip(sent, answers(connection.makefile("rb"), 128), strict=True):
            assert answer.startswith(b"HTTP/1.1 200"), answer
            id = _header(answer, b"gatebook-id")
            assert json.loads(answer.partition(b"\r\n\r\n")[2])["id"] == id
            witness.tell(target, id)


def answers(stream: BinaryIO, count: int) -> list[bytes]:
    """So many responses, each with a Content-Length."""
    found: list[bytes] = []
    for _ in range(count):
        answer = b""
        while not answer.endswith(b"\r\n\r\n"):
            line = stream.readline()
            assert line, f"after {len(found)} answers the connection is closed"
            answer += line
        found.append(answer + stream.read(int(_header(answer, b"content-length") or 0)))
    return found


def _header(answer: bytes, name: bytes) -> str | None:
    for line in answer.partition(b"\r\n\r\n")[0].split(b"\r\n")[1:]:
        key, _, value = line.partition(b": ")
        if key.lower() == name:
            return value.decode()
    return None


# In the end


def test_after_all_of_it_everything_is_as_it_was_and_the_audit_proves_it(
    flooded: Stack, first_pids: dict[str, int]
) -> None:
    parts = flooded.ps()
    assert {part["name"]: part["pid"] for part in parts} == first_pids
    assert {part["state"] for part in parts} == {"healthy"}
    verdict = json.loads(flooded.gatebook("audit", "--json").stdout)
    assert verdict["proven"] is True and verdict["counts"]["missing"] == 0
    assert verdict["counts"]["acknowledged"] > 0
    assert "[alert]" not in flooded.logs("lb") and "Traceback" not in flooded.logs()
