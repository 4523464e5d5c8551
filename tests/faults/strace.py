"""strace(1) on running processes: what they ask of the kernel is seen, or held back."""

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
from local_stack import until


@contextlib.contextmanager
def traced(processes: list[psutil.Process], *options: str) -> Iterator[None]:
    """On these and on all that they start, for as long as the block runs. Fails when this user may not do that."""
    pids = [word for process in processes for word in ("-p", str(process.pid))]
    command = ["strace", "-f", "-qq", *options, *pids]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as strace:
        try:
            until(lambda: strace.poll() is not None or all(map(_is_traced, processes)), "strace to attach")
            assert strace.poll() is None, f"strace: {strace.stdout and strace.stdout.read()}"
            yield
            assert strace.poll() is None, "strace has ended before it was told to"
        finally:
            strace.terminate()


def _is_traced(process: psutil.Process) -> bool:
    try:
        return "\nTracerPid:\t0\n" not in Path(f"/proc/{process.pid}/status").read_text()
    except OSError:
        return True  # it has ended meanwhile
