"""One client of the stream: caught up out of the database, then served out of the ring.

Rules: what is sent follows, without a hole, the position that was sent before it. A client that does not take its
bytes, or falls out of the ring, is let go; it comes back with its position. Nothing that a client does or leaves undone
makes another wait.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from gatebook.filter import Expression
from gatebook.redact import NOTHING
from gatebook.viewer.database import Unavailable
from gatebook.viewer.events.hub import Hub
from gatebook.viewer.events.portion import ROWS, Fetch, Portion, blocks, read
from gatebook.viewer.events.position import Position
from gatebook.viewer.events.ring import Follower, Ring
from gatebook.viewer.events.start import gap

RETRY_MS = 1000  # the wait before a client comes back
KEEP_ALIVE_S = 15.0
TAKES_WITHIN_S = 10.0
_LOOK_UP_EVERY_S = 1.0  # from what takes long
_RETRY_WAIT_S = 0.5
_QUICK_S = 0.5  # to read a portion
_PORTION_BYTES = 256 * 1024  # that is held for a client alone while it takes it,
_HOLDING = 100  # for so many clients at a time

Send = Callable[[bytes], Awaitable[None]]


class Ended(Exception):
    """The stream ends here, in good order; its words are for the client."""


class TooSlow(Exception):
    """The client does not take its bytes."""


class Listener:
    """Follows the stream from `position` on. `send` may wait for the client; `fetch` raises Unavailable.

    What the ring has is masked, so one that is `revealed` is served out of the database all the time.
    """

    def __init__(
        self,
        hub: Hub,
        fetch: Fetch,
        send: Send,
        expression: Expression,
        position: Position,
        revealed: bool = False,
    ) -> None:
        self._hub = hub
        self._fetch = fetch
        self._send = send
        self._expression = expression
        self._position = position
        self._revealed = revealed
        self._clock = asyncio.get_running_loop().time
        self._told_at = self._clock()
        self._rows = ROWS
        self._is_slow = False  # its last portion was, to read
        self._knows_away = False
        self._turn_s = hub.turn_s()

    async def run(self, first: bytes = b"") -> None:
        """Until the stream ends; `first` is said before anything else. Raises TooSlow."""
        try:
            await self._say(b"retry: %d\nid: %s\n\n%s" % (RETRY_MS, str(self._position).encode(), first))
            while (ring := self._hub.ring) is None:
                await self._wait()
            with self._following(ring) as follower:
                while True:
                    await self._live(follower, await self._catch_up(follower))
        except Ended as ended:
            await self._say(f": {ended}\n\n".encode())

    def _following(self, ring: Ring) -> AbstractContextManager[Follower]:
        return nullcontext(Follower(ring, None, apart=True)) if self._revealed else ring.following(self._expression)

    async def _catch_up(self, follower: Follower) -> int:
        """The portion of the ring with which it goes on, once all before that was sent."""
        while (number := follower.begins(self._position)) is None:
            while self._hub.holding >= _HOLDING:
                await asyncio.sleep(_RETRY_WAIT_S)
                await self._keep_alive()
            self._hub.holding += 1
            try:
                more = await self._portion()
            finally:
                self._hub.holding -= 1
            if more:
                self._check(follower)
            else:
                await self._wait(follower)
        return number

    async def _portion(self) -> bool:
        """Send the next one; whether there may be more already."""
        portion = await self._patiently(self._read())
        if portion.gap:
            detail = "some of what came next was pruned: it can be told for a day"
            await self._say(gap(self._position, self._position, detail))
        for block in blocks(sent for _, sent in portion.events):
            await self._say(block)
        self._position = portion.until
        return portion.more

    async def _live(self, follower: Follower, number: int) -> None:
        """From that portion on, until its filter turns out to be too slow for the ring."""
        ring, filter = follower.ring, follower.filter
        while not (filter and filter.too_slow):
            if number < ring.first:
                raise Ended("too slow: come back with the last position")
            if number >= follower.end:  # beyond it, when its filter is asked from a later portion on
                await self._wait(follower)
                continue
            entry = ring[number]
            if entry.portion.until.key > self._position.key:
                for block in entry.behind(self._position, filter):
                    await self._say(block)
                self._position = entry.portion.until
            number += 1

    async def _read(self) -> Portion:
        """The next portion; of fewer rows each time that the database took too long.

        Whose portions take long has to wait for others like it, and not those for it.
        """
        redaction = NOTHING if self._revealed else self._hub.redaction
        while True:
            lane = self._hub.catching_up_slowly if self._is_slow else self._hub.catching_up
            began = self._clock()
            try:
                async with lane, asyncio.timeout(None if self._is_slow else _QUICK_S):
                    began = self._clock()
                    portion = await read(
                        self._fetch, self._position, redaction, self._rows, self._expression, _PORTION_BYTES
                    )
            except (Unavailable, TimeoutError):
                self._rows, self._is_slow = max(self._rows // 4, 1), True
                await asyncio.sleep(_RETRY_WAIT_S)
            else:
                self._rows, self._is_slow = min(self._rows * 2, ROWS), self._clock() - began > _QUICK_S
                return portion

    async def _patiently(self, work: Coroutine[Any, Any, Portion]) -> Portion:
        """What `work` returns; the client is kept alive meanwhile."""
        task = asyncio.ensure_future(work)
        try:
            while not (await asyncio.wait({task}, timeout=_LOOK_UP_EVERY_S))[0]:
                await self._keep_alive()
            return task.result()
        finally:
            task.cancel()
            await asyncio.wait({task})

    async def _wait(self, follower: Follower | None = None) -> None:
        """Until anything may have changed."""
        await self._hub.news()
        await asyncio.sleep(self._turn_s)
        if self._hub.is_away != self._knows_away:
            self._knows_away = self._hub.is_away
            await self._say(b": the database is away\n\n" if self._knows_away else b": the database is back\n\n")
        await self._keep_alive()
        self._check(follower)

    async def _keep_alive(self) -> None:
        if self._hub.is_ending:
            raise Ended("the viewer stops")
        if self._clock() - self._told_at >= KEEP_ALIVE_S:
            await self._say(b": nothing new\nid: %s\n\n" % str(self._position).encode())

    def _check(self, follower: Follower | None) -> None:
        if self._hub.is_ending:
            raise Ended("the viewer stops")
        if follower and follower.ring is not self._hub.ring:
            raise Ended("interrupted: come back with the last position")

    async def _say(self, data: bytes) -> None:
        try:
            async with asyncio.timeout(TAKES_WITHIN_S):
                await self._send(data)
        except TimeoutError:
            raise TooSlow from None
        self._told_at = self._clock()
