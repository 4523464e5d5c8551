"""The form of the load balancer's access log: how its lines begin, and how a piece of it is opened.

nginx.conf.template's log_format writes the lines; the audit reads all of them, the passage of a request one.
"""

import errno
import os
import re
import stat
from pathlib import Path

BEGIN = b'{"stamp":"'  # never inside a line: nginx escapes quotation marks
STAMP = re.compile(rb'\{"stamp":"([0-9a-f]{32}) (\d{10}\.\d{3})"')
LONGEST_BYTES = 1024 * 1024  # far more than nginx writes: beyond, as when a crash left zeros, it is no line
MTIME_LAG_S = 2  # a file system may keep whole seconds only


def opened(path: Path, access: int = os.O_RDONLY) -> int:
    """A file descriptor to read a piece of the log from. Raises OSError, also for what is no regular file."""
    file = os.open(path, access | os.O_NONBLOCK)  # a pipe would keep us waiting
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return file
