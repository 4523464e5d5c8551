"""What a replica counts, for Prometheus: how much it wrote where, how fast, and how it is now.

Rule: counting is done once a batch and costs well under a microsecond; all the rest is done when somebody asks.

The numbers are our own, the families and the text format are prometheus_client's. Its Counter and Histogram were tried:
they obey the environment, and with PROMETHEUS_MULTIPROC_DIR they write files there, or fail.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import NamedTuple

from prometheus_client import Metric, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

_PREFIX = "gatebook_"
_COUNTERS = {
    "committed": "Requests committed to the database",
    "spooled": "Requests synced into the spool",
    "refused": "Requests answered 503",
    "deduplicated": "Requests that were in the database already when they were to be written",
    "drained": "Requests brought from a spool into the database",
}
_GAUGES = {
    "queue_rows": "Requests waiting to be written",
    "queue_bytes": "Bytes that the requests waiting to be written take",
    "body_bytes": "Bytes that bodies take in memory, those still arriving included",
    "spool_rows": "Requests in the spools that this replica holds",
    "spool_bytes": "Bytes of the spools that this replica holds, on disk",
    "database_up": "Whether the database is written to (1), or given up for a while (0)",
}

# A batch has 500 rows at most, and a flush is given up after 2 s.
_ROWS = (1, 2, 5, 10, 20, 50, 100, 200, 500)
_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2)


class State(NamedTuple):
    """What a replica is like now."""

    queue_rows: int
    queue_bytes: int
    body_bytes: int
    spool_rows: int
    spool_bytes: int
    database_up: bool


class Histogram:
    """How many values were at most each of some bounds, and the sum of all."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self.sum += value

    def buckets(self) -> list[tuple[str, float]]:
        """Each bound, as the text format writes it, and how many values were at most that."""
        names = [*(str(float(bound)) for bound in self._bounds), "+Inf"]
        return list(zip(names, accumulate(self._counts), strict=True))


class Metrics:
    """One replica's numbers; `state` is asked at each scrape."""

    def __init__(self, replica: str, state: Callable[[], State]) -> None:
        self._replica = replica
        self._state = state
        self._counts = dict.fromkeys(_COUNTERS, 0)
        self._rows = {"database": Histogram(_ROWS), "spool": Histogram(_ROWS)}
        self._seconds = {"database": Histogram(_SECONDS), "spool": Histogram(_SECONDS)}

    def flushed(self, rows: int, seconds: float) -> None:
        """One commit in the database."""
        self._counts["committed"] += rows
        self._rows["database"].observe(rows)
        self._seconds["database"].observe(seconds)

    def spooled(self, rows: int, seconds: float) -> None:
        """One commit in the spool."""
        self._counts["spooled"] += rows
        self._rows["spool"].observe(rows)
        self._seconds["spool"].observe(seconds)

    def refused(self, rows: int) -> None:
        """Answered 503."""
        self._counts["refused"] += rows

    def deduplicated(self, rows: int) -> None:
        """They were there already."""
        self._counts["deduplicated"] += rows

    def drained(self, rows: int) -> None:
        """From a spool into the database."""
        self._counts["drained"] += rows

    def text(self) -> bytes:
        """All of it in Prometheus' text format (version 0.0.4)."""
        return generate_latest(self)

    def collect(self) -> Iterator[Metric]:
        """The same as families; prometheus_client asks for them."""
        for name, help in _COUNTERS.items():
            counter = CounterMetricFamily(_PREFIX + name, help, labels=["replica"])
            counter.add_metric([self._replica], self._counts[name])
            yield counter
        yield self._histogram("flush_rows", "Requests in a commit", self._rows)
        yield self._histogram("flush_seconds", "Seconds that a commit took", self._seconds)
        for name, value in self._state()._asdict().items():
            gauge = GaugeMetricFamily(_PREFIX + name, _GAUGES[name], labels=["replica"])
            gauge.add_metric([self._replica], value)
            yield gauge

    def _histogram(self, name: str, help: str, places: Mapping[str, Histogram]) -> HistogramMetricFamily:
        family = HistogramMetricFamily(_PREFIX + name, help, labels=["replica", "into"])
        for into, histogram in places.items():
            family.add_metric([self._replica, into], histogram.buckets(), histogram.sum)
        return family
