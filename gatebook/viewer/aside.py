"""Looking through bodies in a thread, while others are answered.

Rule: two at a time, since each may need many times the memory of what it looks through.
"""

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_at_once = asyncio.Semaphore(2)


async def aside(work: Callable[[], T]) -> T:
    """What `work` returns or raises, when its turn has come."""
    async with _at_once:
        return await asyncio.to_thread(work)
