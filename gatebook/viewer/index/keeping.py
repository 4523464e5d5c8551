"""Has the search index filled, for as long as the viewer runs.

Rules: one process fills at a time, on a connection of its own, as gatebook_index. It takes a small part of the time
while requests come in fast. Trouble with the database ends nothing: it is tried again.
"""

import asyncio
import logging

import asyncpg

from gatebook.db.connect import AWAY, Connection, connect_once
from gatebook.errors import UserError
from gatebook.settings import Settings
from gatebook.viewer.index.filling import SQL, Filling

_STEP_WITHIN_S = 60.0
_RETRY_S = 5.0
_IDLE_S = 1.0
_FAST = 100  # transactions a second: a flush of many requests is one
_SHARE, _SHARE_WHEN_FAST = 0.5, 0.02  # of the time
_FORGET_EVERY_S = 3600.0

CONNECTION = {
    "application_name": "gatebook index",
    "jit": "off",
    "synchronous_commit": "off",  # what is lost is filled again
    "plan_cache_mode": "force_custom_plan",
    "enable_seqscan": "off",
    "max_parallel_workers_per_gather": "0",
}
_log = logging.getLogger("gatebook.viewer")


class TooLong(Exception):
    """A step does not end."""


async def keep_filling(settings: Settings) -> None:
    """Fill the index until cancelled."""
    told = ""
    while True:
        try:
            connection = await connect_once(settings, "index")
            try:
                await _fill(connection)
            finally:
                connection.terminate()
        except (*AWAY, asyncpg.InterfaceError, asyncpg.InternalClientError):
            pass  # it is away, or goes away: whoever asks it says so
        except Exception as error:  # whatever it is, the next try may go well, and there must be one
            why = error.what if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
            if why != told:
                _log.warning("the search index is not filled: %s", why)
            told = why
        await asyncio.sleep(_RETRY_S)


async def _fill(connection: Connection) -> None:
    loop = asyncio.get_running_loop()
    for name, value in CONNECTION.items():
        await connection.execute(f"SET {name} = '{value}'", timeout=_STEP_WITHIN_S)
    leads = False
    while not leads:
        leads = await connection.fetchval(SQL["lead"], timeout=_STEP_WITHIN_S)
        await asyncio.sleep(0 if leads else _RETRY_S)
    filling = Filling(connection)
    forget_at = 0.0
    while True:
        began = loop.time()
        try:
            async with asyncio.timeout(_STEP_WITHIN_S):
                worked = await filling.step()
                if began >= forget_at:
                    forget_at = began + _FORGET_EVERY_S
                    await filling.forget()
        except TimeoutError:
            raise TooLong(f"a step took longer than {_STEP_WITHIN_S:g} s") from None
        busy_s = loop.time() - began if worked else 0.0
        await asyncio.sleep(pause_s(busy_s, filling.transactions_a_second))


def pause_s(busy_s: float, transactions_a_second: float) -> float:
    """How long to rest after so much work, which is 0 when there was nothing to do."""
    share = _SHARE_WHEN_FAST if transactions_a_second > _FAST else _SHARE
    return busy_s * (1 / share - 1) or _IDLE_S
