"""The form of the load balancer's access log: how its lines begin and end.

nginx.conf.template's log_format writes the lines; the audit reads all of them, the passage of a request one, and
forgetting overwrites some.
"""

import os
import re

BEGIN = b'{"stamp":"'  # never inside a line: nginx escapes quotation marks
STAMP = re.compile(rb'\{"stamp":"([0-9a-f]{32}) (\d{10}\.\d{3})"')
LONGEST_BYTES = 1024 * 1024  # far more than nginx writes: beyond, as when a crash left zeros, it is no line
_USUAL_BYTES = 4096


def digits(id: str) -> bytes:
    """What the id of a request has of nginx's request id in its line: the digits from the 5th to the 19th."""
    return id.replace("-", "")[17:].encode()


def at(file: int, begin: int) -> bytes:
    """The line that begins there, its end left out; where nginx was killed, the next one begins within it.

    Where none begins, something that is none. `file` is a descriptor. Blocking; raises OSError.
    """
    line = b""
    for length in (_USUAL_BYTES, LONGEST_BYTES):
        line = os.pread(file, length, begin)
        if b"\n" in line or not line.startswith(BEGIN):
            break
    whole = line.partition(b"\n")[0]
    next_begins = whole.find(BEGIN, 1)
    return whole if next_begins < 0 else whole[:next_begins]
