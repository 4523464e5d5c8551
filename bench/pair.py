"""`python -m bench.pair OTHER`: this checkout against another one, run by run in turn, for judging a change.

Prints the ratio of medians, other to this one, and the CPU time that each part spent on a request. The machine's moods
fall on both alike; still, believe a difference only when it comes again.
"""

import argparse
import statistics
from pathlib import Path

from bench.load import Request, Run, measure
from bench.systems import Gatebook, free_port, scratch


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.pair", description=__doc__.splitlines()[0])
    parser.add_argument("other", type=Path, help="another checkout, such as a git worktree")
    parser.add_argument("--connections", default="16,64,256")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2)
    chosen = parser.parse_args()
    here = Path(__file__).parent.parent
    page = Request("page", "GET", "/", 0)
    with (
        scratch() as folder,
        Gatebook(folder / "this", free_port(), here) as this,
        Gatebook(folder / "other", free_port(), chosen.other.resolve()) as other,
    ):
        for connections in map(int, chosen.connections.split(",")):
            runs: dict[str, list[Run]] = {"this": [], "other": []}
            for _ in range(chosen.rounds):
                for name, stack in (("this", this), ("other", other)):
                    runs[name].append(measure(stack.system(), page, connections, chosen.seconds))
            show(connections, runs)


def show(connections: int, runs: dict[str, list[Run]]) -> None:
    rates = {name: statistics.median(run.per_second for run in each) for name, each in runs.items()}
    print(f"{connections} connections: other / this = {rates['other'] / rates['this']:.3f}")
    for name, each in runs.items():
        cpu = {part: statistics.median(run.cpu_us[part] for run in each) for part in each[0].cpu_us}
        p99 = statistics.median(run.p99_us for run in each) / 1000
        spent = ", ".join(f"{part} {us:.1f}" for part, us in cpu.items())
        print(f"  {name:<6} {rates[name]:>8,.0f} /s, p99 {p99:.1f} ms; us of CPU a request: {spent}", flush=True)


if __name__ == "__main__":
    main()
