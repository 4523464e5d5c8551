"""`make chaos`, that is `python -m tests.faults [--acknowledged N]`: every fault in turn, then the table for README.

Ends with exit code 1 when anything that was acknowledged is lost, there twice or altered, when a client saw an error
that the fault does not excuse, when the stack did not come back, or when its own audit says otherwise.
"""

import argparse
import os
import platform
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

sys.path.extend(map(str, Path(__file__).parents[1:3]))  # what pytest does for the tests

from faults import trial
from faults.faults import FAULTS
from faults.stacks import Stacks
from faults.table import Line, acknowledged, table
from faults.trial import LONG, Fault, Form

RESULTS = Path(__file__).with_name("results.md")


def main() -> None:
    parser = argparse.ArgumentParser(prog="make chaos ARGS=...", description=__doc__.splitlines()[0])
    parser.add_argument("--acknowledged", type=int, default=1_000_000, help="requests in all, at least (%(default)s)")
    parser.add_argument("--only", choices=[fault.id for fault in FAULTS], nargs="+", help="some of the faults")
    chosen = parser.parse_args()
    faults = [fault for fault in FAULTS if not chosen.only or fault.id in chosen.only]
    form = LONG._replace(acknowledged=-(-chosen.acknowledged // len(faults)))
    started = time.monotonic()
    with Stacks() as stacks:
        lines = [_line(fault, stacks, form) for fault in faults]
        audits = "\n".join(stacks.audits())
    written = f"{_heading(lines, time.monotonic() - started)}\n{table(lines)}"
    print(f"\n{audits}\n\n{written}")
    if not chosen.only:
        RESULTS.write_text(written)
        print(f"written to {RESULTS}")
    raise SystemExit(any(line.troubles for line in lines))


def _line(fault: Fault, stacks: Stacks, form: Form) -> Line:
    started = time.monotonic()
    print(f"{fault.name} ...", flush=True)
    try:
        with stacks.on(fault) as stack:
            result = trial.run(fault, stack, form)
        line = Line(fault.name, fault.allowed.words, result.findings, result.troubles)
    except AssertionError as error:
        line = Line(fault.name, fault.allowed.words, None, [str(error).splitlines()[0]])
    print(f"    {line.said()}, {time.monotonic() - started:.0f} s", flush=True)
    return line


def _heading(lines: list[Line], seconds: float) -> str:
    return (
        f"{acknowledged(lines):,} acknowledged requests under {len(lines)} faults in {seconds / 60:.0f} minutes, "
        f"by `make chaos` on {datetime.now(UTC):%Y-%m-%d} ({os.cpu_count()} cores, {platform.machine()}):\n"
    )


if __name__ == "__main__":
    main()
