"""How soon a page of many rows is there, against the same of ten thousand: `python -m bench.pages --rows 10000000`.

Two databases as bench.search fills them, each shown by the real viewer to one real, headless browser, which opens the
same page of both in turn, each as the first as often as the other. What they show is proven by SQL: the rows of the
list, the request, the sum of the picture. A page that is anything else, complains or asks another host ends it all.

Whoever opens them has been there before, so that the files that all pages load are in the browser's cache; `first
visit` is made by one that was never there.
"""

import argparse
import contextlib
import html
import os
import re
import socket
import statistics
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import click
from playwright.sync_api import Browser, BrowserContext, sync_playwright
from playwright.sync_api import Page as Tab

from bench import search

sys.path.extend(str(Path(__file__).parent.parent / "tests" / folder) for folder in ("", "browser"))
from chromium import ARGUMENTS
from local_stack import free_port
from postgres import Cluster

FEW = 10_000
MOST = 1.5  # times as late may the first paint be
LISTED = 50
PATIENCE_MS = 60_000
# In milliseconds since the browser began to ask for the page; `server`: from the question to the end of the answer.
MEASURES = {
    "server": "server",
    "paint": "first paint",
    "loaded": "DOMContentLoaded",
    "live": "list is live",
    "picture": "picture is whole",
}
_UNITS_MS = {"min": 60_000, "h": 3600_000, "day": 86400_000, "s": 1000}

_WATCH = """
const at = self.gatebook = {}, tell = name => at[name] ??= performance.now()
new MutationObserver(() => {
    if (document.querySelector("#live")?.textContent == "Live") tell("live")
    const busy = document.querySelector("#picture .frame")?.ariaBusy
    if (busy == "true") tell("counting")
    if (busy == "false" && at.counting) requestAnimationFrame(() => tell("picture")) // it is drawn in the same frame
}).observe(document, { subtree: true, childList: true, attributes: true, characterData: true })
"""
_DONE = """() => gatebook.live && gatebook.picture && performance.getEntriesByName("first-contentful-paint").length
    && performance.getEntriesByType("navigation")[0].loadEventEnd"""
_TOLD = """() => {
    const [page] = performance.getEntriesByType("navigation")
    const text = query => document.querySelector(query)?.textContent ?? ""
    const asked = performance.getEntriesByType("resource")
        .map(({ name, duration }) => [new URL(name).pathname.replace(/[0-9a-f-]{36}/, "{id}"), duration])
    return {
        at: {
            server: page.responseEnd - page.requestStart, loaded: page.domContentLoadedEventEnd,
            paint: performance.getEntriesByName("first-contentful-paint")[0].startTime, ...gatebook,
        },
        asked: asked.filter(([path]) => path.startsWith("/_/api/")),
        first: document.querySelector("#rows tbody tr").dataset.id,
        line: text("#line"),
        said: text("#picture .say"), lanes: document.querySelectorAll("#picture .lanes li").length,
    }
}"""


@dataclass(frozen=True)
class Page:
    """What is opened. `where`: in SQL, what its filter finds; `id`: the request that is open beside the list."""

    name: str
    filter: str = ""
    where: str = "true"
    by: str = ""
    id: str = ""
    cold: bool = False

    @property
    def path(self) -> str:
        given = {name: value for name, value in (("filter", self.filter), ("by", self.by)) if value}
        return f"/_/{'requests/' + self.id if self.id else ''}?{urllib.parse.urlencode(given)}"


@dataclass(frozen=True)
class Shown:
    """What must be seen: the newest rows' ids, the target of the request that is open, and what the picture says."""

    ids: list[str]
    target: str
    said: str = ""


@dataclass
class Taken:
    """What was measured of one page, in milliseconds; `asked`: of what its scripts asked for afterwards, by path."""

    at: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in MEASURES})
    asked: dict[str, list[float]] = field(default_factory=dict)

    def take(self, told: dict[str, Any]) -> None:
        for name, taken in self.at.items():
            taken.append(told["at"][name])
        for path, ms in told["asked"]:
            self.asked.setdefault(path, []).append(ms)


class Place(search.Place):
    """A viewer that a browser can reach."""

    @contextlib.contextmanager
    def open(self) -> Iterator[None]:
        self.port = free_port()
        with self.listening(f"127.0.0.1:{self.port}", lambda: _listens(self.port)):
            yield

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def pages(self) -> list[Page]:
        rare = self._sql("SELECT id FROM requests WHERE method = 'PATCH'")
        newest = self._sql("SELECT id FROM requests WHERE method = 'POST' ORDER BY id DESC LIMIT 1")
        return [
            Page("list"),
            Page("list, first visit", cold=True),
            Page("list, by replica", by="replica"),
            Page("list, path:/github/*", "path:/github/*", "target LIKE '/github/%'"),
            Page("list, path:/rare/*", "path:/rare/*", "method = 'PATCH'"),
            Page("list, path:/items/*, by replica", "path:/items/*", "target LIKE '/items/%'", by="replica"),
            Page("one request", id=newest),
            Page("one request, old", id=rare),
        ]

    def proven(self, page: Page) -> Shown:
        """What the page must show; it is asked for without a browser to see that it does."""
        ids = self._sql(f"SELECT id FROM requests WHERE {page.where} ORDER BY id DESC LIMIT {LISTED}").split()
        target = self._sql(f"SELECT target FROM requests WHERE id = '{page.id}'") if page.id else ""
        with urllib.request.urlopen(self.url + page.path, timeout=60) as answer:
            text = answer.read().decode()
        assert re.findall('<tr role="row" data-id="([^"]+)"', text) == ids, f"{page.name}: other rows than in the table"
        assert html.escape(target) in text, f"{page.name}: {target} is not in the page"
        return Shown(ids, target)

    def counted(self, page: Page, said: str, at_ms: float) -> int:
        """How many the picture has to show that says so at this time: all from the step on in which its span begins."""
        found = re.search(r"in the last (\d+) (min|h|day)s?, (\d+) (s|min|h|day)s? a bar", said)
        assert found, f"{page.name}: the picture says {said!r}"
        span, step = (int(found[n]) * _UNITS_MS[found[n + 1]] for n in (1, 3))
        begin = UUID(int=int(at_ms - span) // step * step << 80)
        return int(self._sql(f"SELECT count(*) FROM requests WHERE id >= '{begin}' AND {page.where}"))


class Visitor:
    """Opens pages; `place` is where."""

    def __init__(self, browser: Browser, place: Place) -> None:
        self._browser, self._place = browser, place
        self._context = self._new_context()

    def visit(self, page: Page, shown: Shown) -> dict[str, Any]:
        """When what was there, and what the page says; raises AssertionError unless it shows what it should."""
        context = self._new_context() if page.cold else self._context
        tab = context.new_page()
        complaints = self._complaints(tab)
        tab.goto(self._place.url + page.path)
        tab.wait_for_function(_DONE)
        told: dict[str, Any] = tab.evaluate(_TOLD)
        (context if page.cold else tab).close()
        assert not complaints, f"{page.name}: {complaints}"
        assert told["first"] == shown.ids[0], f"{page.name}: the first row is {told['first']}, not {shown.ids[0]}"
        assert shown.target in told["line"], f"{page.name}: the open request is {told['line']!r}, not {shown.target}"
        assert (told["lanes"] > 1) == bool(page.by), f"{page.name}: a picture of {told['lanes']} lanes"
        assert told["said"].split()[0] != "0", f"{page.name}: the picture says {told['said']!r}"
        return told

    def _complaints(self, tab: Tab) -> list[str]:
        """What the tab says on its console, what it asks other hosts for, and what it gets no good answer to."""
        found: list[str] = []

        def hear(what: str, url: str) -> None:
            if not url.endswith("/passage"):  # no load balancer has written of these requests
                found.append(f"{what} {url}")

        tab.on("console", lambda message: hear(message.text, message.location["url"]))
        tab.on("pageerror", lambda error: hear(str(error), ""))
        tab.on("request", lambda asked: asked.url.startswith((self._place.url, "data:")) or hear("asks", asked.url))
        tab.on("response", lambda answer: answer.status < 400 or hear(str(answer.status), answer.url))
        return found

    def prove(self, page: Page) -> Shown:
        """What it shows, proven once by what is in the table."""
        shown = self._place.proven(page)
        before = time.time() * 1000
        said = " ".join(self.visit(page, shown)["said"].split())
        right = {self._place.counted(page, said, at) for at in (before, time.time() * 1000)}
        assert int(said.split()[0].replace(",", "")) in right, f"{page.name}: {right} in the table, shown {said!r}"
        return Shown(shown.ids, shown.target, said)

    def _new_context(self) -> BrowserContext:
        context = self._browser.new_context(viewport={"width": 1280, "height": 800})
        context.set_default_timeout(PATIENCE_MS)
        context.add_init_script(_WATCH)
        return context


def _listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.pages", description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--pairs", type=int, default=15, help="visits of each page at each place")
    chosen = parser.parse_args()
    cluster = Cluster()
    try:
        cluster.start()
        with tempfile.TemporaryDirectory(prefix="gatebook-", dir="/tmp") as folder:
            few, many = Place(cluster, Path(folder) / "few", FEW), Place(cluster, Path(folder) / "many", chosen.rows)
            filled(few, many)
            with few.open(), many.open(), sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=ARGUMENTS)
                sys.exit(1 if compare(browser, few, many, chosen.pairs) else 0)
    finally:
        cluster.remove()


def filled(few: Place, many: Place) -> None:
    for place in (few, many):
        place.fill_all()
        with place.running():
            place.wait_for_index()


def compare(browser: Browser, few: Place, many: Place, pairs: int) -> list[str]:
    """Print the tables; returns the pages whose first paint comes too late."""
    visitors = Visitor(browser, few), Visitor(browser, many)
    pages = list(zip(few.pages(), many.pages(), strict=True))
    shown = [tuple(visitor.prove(page) for visitor, page in zip(visitors, both, strict=True)) for both in pages]
    taken = [(Taken(), Taken()) for _ in pages]
    load = [os.getloadavg()[0]]
    with click.progressbar(range(pairs), label="pairs of visits", file=sys.stderr) as bar:
        for turn in bar:
            for n, both in enumerate(pages):
                for side in (0, 1) if turn % 2 else (1, 0):
                    taken[n][side].take(visitors[side].visit(both[side], shown[n][side]))
            load.append(os.getloadavg()[0])
    print(f"Milliseconds with {few.rows:,} rows / with {many.rows:,} = times as long; {pairs} pairs of visits;", end="")
    print(f" the machine's load was {min(load):.1f} to {max(load):.1f} on {os.cpu_count()} cores\n")
    names = [page.name for page, _ in pages]
    _print_measures(names, taken)
    _print_asked(names, taken)
    _print_pictures(names, shown)
    late = [
        name for name, (a, b) in zip(names, taken, strict=True) if median(b.at["paint"]) > MOST * median(a.at["paint"])
    ]
    print(f"\nThe first paint is more than {MOST} times as late: {', '.join(late) or 'nowhere'}")
    return late


def _print_measures(names: list[str], taken: list[tuple[Taken, Taken]]) -> None:
    print(f"| page | | {' | '.join(MEASURES.values())} |\n| --- | --- |{' --: |' * len(MEASURES)}")
    for name, (few, many) in zip(names, taken, strict=True):
        for head, of in ((name, median), ("", p90)):
            cells = [_cell(few.at[one], many.at[one], of) for one in MEASURES]
            print(f"| {head} | {of.__name__} | {' | '.join(cells)} |")


def _print_asked(names: list[str], taken: list[tuple[Taken, Taken]]) -> None:
    """What the scripts of the pages ask for, once these are there."""
    paths = sorted({path for both in taken for one in both for path in one.asked})
    print(f"\n| asked by the page, median | {' | '.join(paths)} |\n| --- |{' --: |' * len(paths)}")
    for name, (few, many) in zip(names, taken, strict=True):
        cells = [
            _cell(few.asked[path], many.asked[path], median) if path in few.asked and path in many.asked else ""
            for path in paths
        ]
        print(f"| {name} | {' | '.join(cells)} |")


def _print_pictures(names: list[str], shown: list[tuple[Shown, ...]]) -> None:
    print("\n| picture of | few | many |\n| --- | --- | --- |")
    for name, (few, many) in zip(names, shown, strict=True):
        print(f"| {name} | {few.said} | {many.said} |")


def _cell(few: list[float], many: list[float], of: Callable[[list[float]], float]) -> str:
    return f"{of(few):.0f} / {of(many):.0f} = {of(many) / of(few):.2f}"


def median(taken: list[float]) -> float:
    return statistics.median(taken)


def p90(taken: list[float]) -> float:
    return sorted(taken)[len(taken) * 9 // 10]


if __name__ == "__main__":
    main()
