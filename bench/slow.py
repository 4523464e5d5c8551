"""`python -m bench.slow URL COUNT`: so many clients that take their time, until it is ended.

A third each: a byte a second of a request's header, of its body, and of an answer (with the smallest receive buffer
that the kernel gives). Whoever is done, or is cut off, begins again. Prints a line once all are connected.
"""

import asyncio
import itertools
import socket
import sys
from urllib.parse import urlsplit

PAUSE_S = 1.0
HEAD = b"GET /slow HTTP/1.1\r\nHost: slow.example\r\nUser-Agent: " + b"slow " * 100 + b"\r\n\r\n"
BODY = b"POST /slow HTTP/1.1\r\nHost: slow.example\r\nContent-Length: 1000\r\n\r\n"
PAGE = b"GET / HTTP/1.1\r\nHost: slow.example\r\n\r\n"


async def drip(connection: socket.socket, data: bytes) -> None:
    for at in range(len(data)):
        await asyncio.get_running_loop().sock_sendall(connection, data[at : at + 1])
        await asyncio.sleep(PAUSE_S)


async def client(address: tuple[str, int], kind: int, connected: asyncio.Semaphore) -> None:
    loop = asyncio.get_running_loop()
    for turn in itertools.count():
        with socket.socket() as connection:
            connection.setblocking(False)
            if kind == 2:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
            try:
                await loop.sock_connect(connection, address)
                if turn == 0:
                    connected.release()
                if kind == 0:
                    await drip(connection, HEAD)
                elif kind == 1:
                    await loop.sock_sendall(connection, BODY)
                    await drip(connection, b"x" * 1000)
                else:
                    await loop.sock_sendall(connection, PAGE)
                    while await loop.sock_recv(connection, 1):
                        await asyncio.sleep(PAUSE_S)
            except OSError:
                await asyncio.sleep(PAUSE_S)


async def main(url: str, count: int) -> None:
    place = urlsplit(url)
    connected = asyncio.Semaphore(0)
    clients = [
        asyncio.create_task(client((place.hostname or "", place.port or 80), number % 3, connected))
        for number in range(count)
    ]
    for _ in clients:
        await connected.acquire()
    print(f"{count} slow clients", flush=True)
    await asyncio.gather(*clients)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
