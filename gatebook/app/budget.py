"""How many bytes of bodies a replica holds, from their arrival to their answer: beyond that it stops reading.

Rules: room is taken for a whole body before its first byte is read, so whoever has begun can finish. Those who wait are
served in the order they came; a small body never waits behind large ones. Pure but for the clock of the event loop.
"""

import asyncio
from collections import deque
from collections.abc import Callable

BODY_BYTES = 64 * 1024 * 1024  # about what the database takes in the time that a request may wait for it
SMALL_BYTES = 64 * 1024
WAIT_S = 8.0  # the load balancer gives up sending after 10 s (proxy_send_timeout)
BUFFERED_BYTES = 1024 * 1024  # what it may have sent whole, into the buffers of the sockets:
BUFFERED_WAIT_S = (
    1.0  # then it waits for the answer already, 6 s (proxy_read_timeout), and this and the journal's are 5.5
)


class Waiting:
    """Somebody who wants room; `tell` is called once with whether there is any."""

    def __init__(self, size: int, tell: Callable[[bool], None]) -> None:
        self.size = size
        self._tell: Callable[[bool], None] | None = tell
        longest_s = WAIT_S if size > BUFFERED_BYTES else BUFFERED_WAIT_S
        self._timer = asyncio.get_running_loop().call_later(longest_s, self.settle, False)

    @property
    def over(self) -> bool:
        return self._tell is None

    def settle(self, granted: bool) -> None:
        tell, self._tell = self._tell, None
        self._timer.cancel()
        if tell:
            tell(granted)

    def cancel(self) -> None:
        """Ask no more."""
        self._timer.cancel()
        self._tell = None


class Budget:
    """So many bytes, taken and given back."""

    def __init__(self, limit: int = BODY_BYTES) -> None:
        self._limit = limit
        self._waiting: deque[Waiting] = deque()
        self.used = 0

    def take(self, size: int) -> bool:
        """Take `size` bytes at once, if nobody waits and they are there; a small or a lone body always gets them."""
        if size > SMALL_BYTES and (self._waiting or not self._fits(size)):
            return False
        self.used += size
        return True

    def wait(self, size: int, tell: Callable[[bool], None]) -> Waiting:
        """Have `tell` called with True once `size` bytes are taken, or with False when that takes too long."""
        waiting = Waiting(size, tell)
        self._waiting.append(waiting)
        return waiting

    def give(self, size: int) -> None:
        """Give back what was taken; those who wait get it."""
        self.used -= size
        while self._waiting and (self._waiting[0].over or self._fits(self._waiting[0].size)):
            next_one = self._waiting.popleft()
            if not next_one.over:
                self.used += next_one.size
                next_one.settle(True)

    def _fits(self, size: int) -> bool:
        return self.used == 0 or self.used + size <= self._limit
