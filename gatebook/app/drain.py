"""Moves what is spooled into the database, once it is back.

Rules: a record leaves its spool only after the COMMIT that holds its row; whoever dies in between leaves it in both,
and the next try meets its id. Each batch is the breaker's probe as well: a real write that went well, and soon enough,
closes it. Oldest first; what another process has left behind comes before our own.
"""

import asyncio
import sys
from collections.abc import Sequence

from gatebook.app.capture import Record
from gatebook.app.journal import NotRecorded
from gatebook.app.metrics import Metrics
from gatebook.app.recorder import FLUSH_WITHIN_S, Recorder
from gatebook.app.writer import Unwritable, Writer
from gatebook.spool import File, Spool, Spooled

BATCH_ROWS = 200  # small, since requests that come now share the connection
BATCH_BYTES = 1024 * 1024
_WRITE_WITHIN_S = 15.0  # nobody waits for it
_LOOK_EVERY_S = 0.2
_ADOPT_EVERY = 10  # looks
_AGAIN_S = 1.0


class Drain:
    """Looks for something to drain, again and again."""

    def __init__(self, recorder: Recorder, writer: Writer, spool: Spool, metrics: Metrics) -> None:
        self._recorder = recorder
        self._writer = writer
        self._spool = spool
        self._metrics = metrics
        self._told = ""

    async def run(self) -> None:
        """Until cancelled."""
        looks = 0
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            looks += 1
            if self._writer.ready and (self._spool.rows or not self._recorder.database_up or looks % _ADOPT_EVERY == 0):
                await self._look()

    async def _look(self) -> None:
        try:
            await self._drain()
            self._told = ""
        except NotRecorded as error:
            self._tell(f"what is spooled cannot be drained yet: {error}")
            await asyncio.sleep(_AGAIN_S)
        except Exception as error:  # the spool's disk, or a mistake of ours: no reason to leave the database alone
            self._recorder.database_up = True
            self._tell(f"what is spooled cannot be read: {type(error).__name__}: {error}")
            await asyncio.sleep(_AGAIN_S)

    async def _drain(self) -> None:
        """Until nothing is left. Raises NotRecorded, SpoolError."""
        while found := await self._recorder.in_spool(self._spool.next_batch, BATCH_ROWS, BATCH_BYTES):
            file, batch = found
            took = await self._write(file, batch)
            await self._recorder.in_spool(file.forget, batch)
            if took < FLUSH_WITHIN_S:
                self._recorder.database_up = True
            await asyncio.sleep(took)  # at most half of the connection's time
        self._recorder.database_up = True  # with nothing to try it on, the next request is the probe

    async def _write(self, file: File, batch: Sequence[Spooled]) -> float:
        """Returns the seconds that it took."""
        now = asyncio.get_running_loop().time
        started = now()
        try:
            records = [Record(*spooled.record) for spooled in batch]
            await self._writer.write(records, False, started + _WRITE_WITHIN_S, batch[0].replica)
        except Unwritable as error:
            if len(batch) > 1:
                half = len(batch) // 2
                return await self._write(file, batch[:half]) + await self._write(file, batch[half:])
            await self._recorder.in_spool(file.refuse, batch[0].seq, str(error))
            self._tell(f"request {records[0].id} stays in the spool: {error}")
        else:
            self._metrics.drained(len(batch))
        return now() - started

    def _tell(self, what: str) -> None:
        """Once, until something else is to be told."""
        if what != self._told:
            self._told = what
            print(what, file=sys.stderr, flush=True)
