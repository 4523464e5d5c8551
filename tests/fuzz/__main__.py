"""`make fuzz`, that is `python -m tests.fuzz`: tries inputs that nobody thought of on everything that is parsed.

A failing input is shrunk, kept in tests/fuzz/corpus and told with the command that tries it again; from then on it is
part of `make test`. Ends with exit code 1 when there was one.
"""

import argparse
import sys
import time
from pathlib import Path
from random import SystemRandom

sys.path.extend(map(str, Path(__file__).parents[1:3]))  # what pytest does for the tests

from fuzz import seen

seen.watch()  # before anything of the package is imported

from fuzz import corpus, driver  # noqa: E402
from fuzz.target import Target  # noqa: E402
from fuzz.targets import TARGETS  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(prog="make fuzz ARGS=...", description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=120, help="how long, in all (%(default)s)")
    parser.add_argument("--seed", type=int, help="that of an earlier run, to have the same inputs again")
    parser.add_argument("--target", choices=list(TARGETS), nargs="+", help="some of the targets")
    parser.add_argument("--keep", action="store_true", help="add inputs that got somewhere new to the corpus")
    parser.add_argument("--again", metavar="NAME", help="try one input of the corpus, and show how it fails")
    chosen = parser.parse_args()
    targets = [TARGETS[name] for name in chosen.target or TARGETS]
    if chosen.again:
        raise SystemExit(_again(targets, chosen.again))
    seed = SystemRandom().randrange(2**32) if chosen.seed is None else chosen.seed
    print(f"seed {seed}: {len(targets)} targets, {chosen.seconds:g} s", flush=True)
    failed = [_run(target, seed, chosen.seconds / len(targets), chosen.keep) for target in targets]
    raise SystemExit(any(failed))


def _run(target: Target, seed: int, seconds: float, keep: bool) -> bool:
    """Whether it failed."""
    done = driver.run(target, seed, seconds)
    kept = driver.keep_new(done) if keep else 0
    news = f", {kept} inputs kept" if kept else ""
    print(
        f"{target.name:12} {done.tries:9,} tries, {done.per_second:8,.0f}/s, {done.blocks:4} blocks{news}", flush=True
    )
    if not done.failure:
        return False
    name = corpus.name(done.failure.data)
    again = f"python -m tests.fuzz --target {target.name} --again {name}"
    corpus.keep(target.name, done.failure.data, f"{done.failure.error} (seed {seed}); again: {again}")
    print(f"\n{done.failure.trace}\n{done.failure.data!r}\nkept in {corpus.path(target.name)}; again: {again}\n")
    return True


def _again(targets: list[Target], name: str) -> int:
    for target in targets:
        for data in (*target.seeds, *corpus.read(target.name)):
            if corpus.name(data) == name:
                started = time.process_time()
                failure = driver.tried(target, data)
                took = time.process_time() - started
                print(failure.trace if failure else f"{target.name} takes {data!r} in {took * 1000:.1f} ms")
                return failure is not None
    print(f"no input {name} is kept for {', '.join(target.name for target in targets)}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    main()
