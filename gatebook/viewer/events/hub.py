"""Reads what was committed, once for all listeners of this viewer.

Rules: it never reads past the horizon, and never steps back. Whatever happens to the database, it goes on by itself
from where it was. While nobody listens, it asks nothing and holds no connection.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import asyncpg

from gatebook.db.connect import AWAY, login
from gatebook.redact import Redaction
from gatebook.settings import Settings
from gatebook.viewer.events.matcher import STATEMENT_TIMEOUT_S, Matcher
from gatebook.viewer.events.portion import QUERIES, ROWS, Fetch, read
from gatebook.viewer.events.position import Position
from gatebook.viewer.events.ring import Ring

MOST_LISTENERS = 2000
CATCHING_UP = 2  # at a time, and as many of those that take long: each takes one of the viewer's connections

TICK_S = 0.05  # between two looks at the database
LONGEST_TICK_S = 0.3
_TICK_PER_LISTENER_S = 0.0006  # so that waking them takes at most a fifteenth of the time
_AT_ONCE = 25  # listeners are told of news, and as many more a little later, so that captures get in between
_TURNS, _APART_S = 20, 0.005
_WAKE_EVERY_S = 2.5  # whatever happens, for the listeners' keep-alives
_LINGER_S = 5.0  # after the last listener has left, who may come back
_ANSWER_WITHIN_S = 5.0
_SILENCE_S = 1.0  # longer than a statement may run, the server does not answer any more
_RETRY_WAIT_S = 0.2

_READING, _MATCHING = "live events", "filters of live events"
_EXPECTED = (
    *AWAY,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a server that says goodbye while we begin to ask confuses asyncpg
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
)
_log = logging.getLogger("gatebook.viewer")


class Full(Exception):
    """There are as many listeners as one viewer serves."""


class Hub:
    """One for each viewer. `ring` is None until it has begun to read for the listeners that came."""

    def __init__(self, settings: Settings) -> None:
        self.ring: Ring | None = None
        self.is_ending = False
        self.listeners = 0
        self.catching_up = asyncio.Semaphore(CATCHING_UP)
        self.catching_up_slowly = asyncio.Semaphore(CATCHING_UP)
        self.holding = 0  # listeners that hold a portion of their own
        self.redaction = Redaction(settings.redact)
        self._settings = settings
        self._rows = ROWS  # of the next portion; fewer each time that the database took too long
        self._waiting: set[str] = set()  # which of its works does, for the database
        self._listened = asyncio.Event()  # by anyone
        self._news = asyncio.Event()

    async def run(self) -> None:
        """Read for whoever listens, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._keep(_READING, self._read))
            tasks.create_task(self._keep(_MATCHING, self._match))
            tasks.create_task(self._keep_waking())

    def end(self) -> None:
        """Let every listener end now, as one whose viewer stops."""
        self.is_ending = True
        self._tell()

    @property
    def is_away(self) -> bool:
        """Whether the database is."""
        return _READING in self._waiting

    async def news(self) -> None:
        """Returns when anything may have changed, and every few seconds."""
        await self._news.wait()

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Somebody listens for as long as the block runs. Raises Full."""
        if self.listeners >= MOST_LISTENERS:
            raise Full
        self.listeners += 1
        self._listened.set()
        try:
            yield
        finally:
            self.listeners -= 1
            if not self.listeners:
                self._listened.clear()

    def turn_s(self) -> float:
        """How long after news the listener that came last is to look for it."""
        return (self.listeners - 1) // _AT_ONCE % _TURNS * _APART_S

    def _tell(self) -> None:
        self._news.set()
        self._news.clear()

    async def _keep_waking(self) -> None:
        while True:
            await asyncio.sleep(_WAKE_EVERY_S)
            self._tell()

    async def _keep(self, name: str, turn: Callable[[], Awaitable[None]]) -> None:
        """Take one turn after the other; one that fails is as good as one that ends."""
        while True:
            try:
                await turn()
            except Exception as error:  # whatever it is, the next try may go well, and there must be one
                if name not in self._waiting:
                    self._waiting.add(name)
                    why = str(error) or type(error).__name__
                    _log.warning("%s wait: %s", name, why, exc_info=not isinstance(error, _EXPECTED))
                    self._tell()
                await asyncio.sleep(_RETRY_WAIT_S)

    async def _read(self) -> None:
        """Fill the ring for as long as anyone listens, and a while longer."""
        if not self.listeners:
            self.ring = None  # what comes until the next one listens need not be read
        await self._listened.wait()
        async with self._connected(_READING, _ANSWER_WITHIN_S) as fetch:
            last = self.ring and self.ring.last
            [now] = await fetch(QUERIES["now"], *(last or (None, None)))
            if not self.ring or not _goes_on(self.ring, now):
                self.ring = Ring(Position(now["epoch"], now["recent"]))
            self._go_on(_READING)
            self._tell()
            async for _ in self._while_listened():
                while await self._read_portion(self.ring, fetch):
                    pass

    async def _read_portion(self, ring: Ring, fetch: Fetch) -> bool:
        """Whether there may be more already."""
        try:
            portion = await read(fetch, ring.end, self.redaction, self._rows)
        except (TimeoutError, asyncpg.QueryCanceledError):
            self._rows = max(self._rows // 4, 1)
            raise
        self._rows = min(self._rows * 2, ROWS)
        if portion.gap:  # a transaction was held open for a day: each listener is to find out for itself
            self.ring = Ring(portion.until)
            self._tell()
        elif portion.until != portion.after:
            if portion.forgets and ring.ids:
                ring.forget({row[0] for row in await fetch(QUERIES["forgotten"], ring.ids)})
            ring.append(portion)
            self._tell()
        return portion.more

    async def _while_listened(self) -> AsyncIterator[None]:
        """Ticks until all listeners have been gone for some time."""
        clock = asyncio.get_running_loop().time
        listened_at = clock()
        while self.listeners or clock() - listened_at < _LINGER_S:
            if self.listeners:
                listened_at = clock()
            yield
            tick_s = max(TICK_S, self.listeners * _TICK_PER_LISTENER_S)
            await asyncio.sleep(min(tick_s, LONGEST_TICK_S))

    async def _match(self) -> None:
        """Ask the filters of the ring for as long as it has any."""
        while not (ring := self.ring) or ring.matched == ring.next:
            await self.news()
        async with self._connected(_MATCHING, STATEMENT_TIMEOUT_S) as fetch:
            matcher = Matcher(ring, fetch)
            while ring is self.ring and (ring.filters or ring.matched < ring.next):
                if ring.matched < ring.next:
                    await matcher.match()
                    self._go_on(_MATCHING)
                    self._tell()
                else:
                    await self.news()

    def _go_on(self, name: str) -> None:
        if name in self._waiting:
            self._waiting.remove(name)
            _log.warning("%s go on", name)

    @contextlib.asynccontextmanager
    async def _connected(self, name: str, statement_timeout_s: float) -> AsyncIterator[Fetch]:
        """How to ask on a connection of its own. Plans are kept, since planning costs more than these statements."""
        server_settings = {
            "application_name": f"gatebook-viewer, {name}",
            "statement_timeout": f"{statement_timeout_s * 1000:.0f}ms",
            "default_transaction_read_only": "on",
            "jit": "off",
            "plan_cache_mode": "force_generic_plan",
        }
        connection = await asyncpg.connect(**login(self._settings, "viewer"), server_settings=server_settings)

        async def fetch(statement: str, *values: object) -> list[asyncpg.Record]:
            async with asyncio.timeout(statement_timeout_s + _SILENCE_S):
                return list(await connection.fetch(statement, *values))

        try:
            yield fetch
        finally:
            connection.terminate()


def _goes_on(ring: Ring, now: asyncpg.Record) -> bool:
    """Whether this database still is the one that `ring` was read from, and not an older state of it, put back."""
    return ring.end.epoch == now["epoch"] and ring.end.xid < now["next"] and (now["held"] or not ring.last)
