"""What a replica counts, read back with Prometheus' own parser."""

import os
import subprocess
import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from gatebook.app.metrics import Histogram, Metrics, State

IDLE = State(queue_rows=0, queue_bytes=0, body_bytes=0, spool_rows=0, spool_bytes=0, database_up=True)
NAMES = {
    "gatebook_committed": "counter",
    "gatebook_spooled": "counter",
    "gatebook_refused": "counter",
    "gatebook_deduplicated": "counter",
    "gatebook_drained": "counter",
    "gatebook_flush_rows": "histogram",
    "gatebook_flush_seconds": "histogram",
    "gatebook_queue_rows": "gauge",
    "gatebook_queue_bytes": "gauge",
    "gatebook_body_bytes": "gauge",
    "gatebook_spool_rows": "gauge",
    "gatebook_spool_bytes": "gauge",
    "gatebook_database_up": "gauge",
}


def families(metrics: Metrics) -> list[Metric]:
    return list(text_string_to_metric_families(metrics.text().decode()))


def samples(metrics: Metrics) -> list[Sample]:
    return [sample for family in families(metrics) for sample in family.samples]


def value(metrics: Metrics, name: str, **labels: str) -> float:
    """Of the one series with that name and these labels beside the replica's name."""
    (found,) = [
        sample.value
        for sample in samples(metrics)
        if sample.name == name and {**sample.labels, "replica": ""} == {**labels, "replica": ""}
    ]
    return found


def test_all_is_there_from_the_start():
    """A counter that appears only with its first event hides that event from rate()."""
    found = families(Metrics("webapp-1", lambda: IDLE))
    assert {family.name: family.type for family in found} == NAMES
    assert all(family.documentation for family in found)
    assert all(sample.value == 0 for family in found for sample in family.samples if "_up" not in sample.name)


def test_what_happens_is_counted():
    metrics = Metrics("webapp-1", lambda: IDLE)
    metrics.flushed(3, 0.004)
    metrics.flushed(500, 0.2)
    metrics.spooled(7, 0.0001)
    metrics.refused(11)
    metrics.deduplicated(2)
    metrics.drained(5)
    totals = {sample.name: sample.value for sample in samples(metrics) if sample.name.endswith("_total")}
    assert totals == {
        "gatebook_committed_total": 503,
        "gatebook_spooled_total": 7,
        "gatebook_refused_total": 11,
        "gatebook_deduplicated_total": 2,
        "gatebook_drained_total": 5,
    }
    assert value(metrics, "gatebook_flush_rows_count", into="database") == 2
    assert value(metrics, "gatebook_flush_rows_sum", into="database") == 503
    assert value(metrics, "gatebook_flush_rows_bucket", into="database", le="5.0") == 1
    assert value(metrics, "gatebook_flush_rows_sum", into="spool") == 7
    assert value(metrics, "gatebook_flush_seconds_sum", into="database") == pytest.approx(0.204)
    assert value(metrics, "gatebook_flush_seconds_bucket", into="database", le="0.2") == 2
    assert value(metrics, "gatebook_flush_seconds_bucket", into="spool", le="0.0005") == 1


def test_the_state_is_asked_at_each_scrape():
    states = iter([State(1, 2, 3, 4, 5, True), IDLE._replace(database_up=False)])
    metrics = Metrics("webapp-1", lambda: next(states))
    gauges = {sample.name: sample.value for sample in samples(metrics)}
    for number, name in enumerate(["queue_rows", "queue_bytes", "body_bytes", "spool_rows", "spool_bytes"], start=1):
        assert gauges[f"gatebook_{name}"] == number
    assert gauges["gatebook_database_up"] == 1
    assert value(metrics, "gatebook_database_up") == 0


@given(st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=100))
@example('"')
@example("\\")
@example("\\n")
@example('a\\"},{b="c')
@example("# HELP")
def test_every_series_names_its_replica_whatever_that_is(name):
    assert {sample.labels["replica"] for sample in samples(Metrics(name, lambda: IDLE))} == {name}


BOUNDS = (0.5, 1, 2, 10)


@given(st.lists(st.floats(0, 20) | st.sampled_from(BOUNDS)))
def test_a_bucket_counts_what_is_at_most_its_bound(values):
    histogram = Histogram(BOUNDS)
    for one in values:
        histogram.observe(one)
    assert [name for name, _ in histogram.buckets()] == ["0.5", "1.0", "2.0", "10.0", "+Inf"]
    assert [(float(bound), sum(one <= float(bound) for one in values)) for bound, _ in histogram.buckets()] == [
        (float(bound), count) for bound, count in histogram.buckets()
    ]
    assert histogram.sum == pytest.approx(sum(values))


def test_the_environment_changes_nothing(tmp_path):
    """prometheus_client has settings of its own there, and one of them makes files."""
    program = (
        "from gatebook.app.metrics import Metrics, State;"
        "metrics = Metrics('a', lambda: State(0, 0, 0, 0, 0, True)); metrics.flushed(3, 0.5);"
        "print(metrics.text().decode(), end='')"
    )
    strange = {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path), "PROMETHEUS_DISABLE_CREATED_SERIES": "false"}
    plain, same = (
        subprocess.run(
            [sys.executable, "-c", program], env={**os.environ, **more}, check=True, capture_output=True
        ).stdout
        for more in ({}, strange)
    )
    assert plain == same and b'gatebook_committed_total{replica="a"} 3.0\n' in plain
    assert not list(tmp_path.iterdir())
