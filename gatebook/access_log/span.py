"""Where in a piece of the access log the lines of some time lie, found without an index.

Rule: a part is left out only where such a line cannot be. Lines lie in the order in which they were written, each after
its stamp and at most LATEST_MS after it; so one that was stamped that much earlier lies before all of them, and one
that was stamped that much later lies behind.
"""

import os
import re

LATEST_MS = 90_000  # tries end 31 s after the stamp, twice that if nginx begins anew; the log's buffer holds a second
_BLOCK_BYTES = 256 * 1024
_NEXT_STAMP = re.compile(rb'\n\{"stamp":"[0-9a-f]{32} (\d{10})\.(\d{3})"')


def span(file: int, size: int, since_ms: int, until_ms: int) -> tuple[int, int]:
    """From where to where lines begin that may have been stamped from `since_ms` to `until_ms`, Unix milliseconds.

    `file` is a descriptor, of which the first `size` bytes count. Blocking; raises OSError.
    """
    first = _next_line(file, 0)
    if first and first[1] > until_ms + LATEST_MS:
        return 0, 0
    low, high, behind = 0, size, size
    while high - low > _BLOCK_BYTES:
        middle = (low + high) // 2
        line = _next_line(file, middle)
        low, high = (middle, high) if line and line[1] < since_ms - LATEST_MS else (low, middle)
    begin, high = low, size
    while high - low > _BLOCK_BYTES:
        middle = (low + high) // 2
        line = _next_line(file, middle)
        if line and line[1] > until_ms + LATEST_MS:
            high, behind = middle, line[0]
        else:
            low = middle
    return begin, behind


def _next_line(file: int, offset: int) -> tuple[int, int] | None:
    """Where the first line begins that begins at `offset` or soon behind, and when it was stamped."""
    text = os.pread(file, _BLOCK_BYTES, offset - 1) if offset else b"\n" + os.pread(file, _BLOCK_BYTES, 0)
    found = _NEXT_STAMP.search(text)
    return (offset + found.start(), int(found[1] + found[2])) if found else None
