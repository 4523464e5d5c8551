"""`/_/metrics`: what all replicas count, and what the viewer sees beside them, for Prometheus.

Rule: a scrape is always answered, and soon. What cannot be asked is left out or said to be silent; no series comes
twice, since Prometheus would refuse the whole answer for it.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, Metric, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample
from starlette.requests import Request
from starlette.responses import Response

from gatebook import spool
from gatebook.settings import Settings
from gatebook.viewer.api import problem
from gatebook.viewer.database import Database
from gatebook.viewer.gate import Audited, Shared, database_is_up, spool_depth
from gatebook.viewer.replicas import Replicas

router = APIRouter(responses=problem.RESPONSES)


@router.get(
    "/_/metrics",
    response_class=Response,
    responses={200: {"description": "Prometheus' text format", "content": {"text/plain": {}}}},
)
async def metrics(request: Request) -> Response:
    """The metrics of every replica that answers, and the viewer's own."""
    scrape: Scrape = request.app.state.scrape
    return Response(await scrape.text(), media_type=CONTENT_TYPE_PLAIN_0_0_4)


class Own(NamedTuple):
    """What the viewer itself sees; None: it cannot say."""

    database_up: bool
    listeners: int
    spool: spool.Depth | None
    audit: Audited | None


class Scrape:
    """Asks everybody; those who want to know at the same time share one scrape."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        last_audit: Callable[[], Audited | None],
        listeners: Callable[[], int],
    ) -> None:
        self._replicas = Replicas(settings.proxy_upstream)
        self._spool = settings.spool
        self._database = database
        self._last_audit = last_audit
        self._listeners = listeners
        self._text = Shared(self._run)

    async def text(self) -> bytes:
        """Everything in Prometheus' text format, as it is now or was when a scrape that is still running began."""
        return await self._text.result()

    async def _run(self) -> bytes:
        answers, database_up, depth = await asyncio.gather(
            self._replicas.ask("/_/metrics"), database_is_up(self._database), spool_depth(self._spool)
        )
        own = Own(database_up, self._listeners(), depth, self._last_audit())
        return await asyncio.to_thread(_together, answers, own)  # some milliseconds a replica


def _together(answers: Sequence[str | None], own: Own) -> bytes:
    """One text of the replicas' and the viewer's own; an answer that makes no sense is as good as none."""
    parsed = [_parsed(answer) for answer in answers if answer is not None]
    understood = [families for families in parsed if families is not None]
    merged = Merged()
    merged.add(_own(own, len(understood), len(answers) - len(understood)))
    for families in understood:
        merged.add(families)
    return generate_latest(merged)


def _parsed(text: str) -> list[Metric] | None:
    """Its families, their values as floats and without a time, as ours are; None if that cannot be read."""
    try:
        families = list(text_string_to_metric_families(text))
        for family in families:
            family.samples = [Sample(sample.name, sample.labels, float(sample.value)) for sample in family.samples]
    except (ValueError, OverflowError):
        return None
    return families


class Merged:
    """Families of several sources as one each, no series twice: the first that came is kept."""

    def __init__(self) -> None:
        self._families: dict[str, Metric] = {}
        self._seen: set[tuple[str, frozenset[tuple[str, str]]]] = set()

    def add(self, families: Iterable[Metric]) -> None:
        for family in families:
            known = self._families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
            for sample in family.samples:
                series = (sample.name, frozenset(sample.labels.items()))
                if series not in self._seen:
                    self._seen.add(series)
                    known.samples.append(sample)

    def collect(self) -> Iterable[Metric]:
        return self._families.values()


def _own(own: Own, answering: int, silent: int) -> Iterator[Metric]:
    replicas = {"answers": answering, "silent": silent}
    yield _gauges("replicas", "Replicas behind PROXY_UPSTREAM, as they took this scrape", "state", replicas)
    yield _gauge("viewer_database_up", "Whether the database answers the viewer", own.database_up)
    yield _gauge("viewer_listeners", "Clients of this viewer that listen to live events", own.listeners)
    if own.spool:
        yield _gauge("folder_spool_rows", "Requests in all spools of the viewer's GATEBOOK_SPOOL", own.spool.rows)
        yield _gauge("folder_spool_bytes", "Bytes of these spools, on disk", own.spool.bytes)
        yield _gauge("folder_spool_files", "How many of these spools have something in them", own.spool.files)
    if own.audit:
        yield _gauge("audit_timestamp_seconds", "When this viewer's last audit ended, Unix time", own.audit.finished_at)
        yield _gauges("audit_requests", "What that audit found, in requests", "outcome", own.audit.counts)


def _gauge(name: str, help: str, value: float) -> Metric:
    return GaugeMetricFamily(f"gatebook_{name}", help, value)


def _gauges(name: str, help: str, label: str, values: Mapping[str, float]) -> Metric:
    """One for each value of `label`."""
    family = GaugeMetricFamily(f"gatebook_{name}", help, labels=[label])
    for value_of_label, value in values.items():
        family.add_metric([value_of_label], value)
    return family
