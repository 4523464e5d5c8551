"""What an audit found, in numbers and in one sentence. Pure.

Rule: it says no more than was proven. What could not be checked stands beside what could.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gatebook.identity import rfc3339

# In the order of a table. Of the acknowledged, each is one of the six that follow.
OUTCOMES = (
    *("acknowledged", "recorded", "spooled", "forgotten", "expired", "unknown", "missing"),
    *("twice", "retried", "refused", "rejected", "unlogged", "unreadable"),
)
MOST_SHOWN = 100


@dataclass(frozen=True)
class Verdict:
    """The end of an audit. Times are Unix milliseconds."""

    from_ms: int
    until_ms: int
    asked_from_ms: int  # 0: from the log's beginning
    log_bytes: int
    log_lines: int  # of the span
    counts: Mapping[str, int]  # of each of OUTCOMES
    missing: list[dict[str, Any]]  # the first MOST_SHOWN
    twice: list[str]  # the first MOST_SHOWN
    overrun: bool  # there were too many lines to say whether an id was acknowledged twice
    finished_at: float  # Unix seconds

    @property
    def proven(self) -> bool:
        """Nothing that was acknowledged is missing, as far as can be seen from here, and nothing came twice."""
        return not self.counts["missing"] and not self.counts["twice"]

    def document(self) -> dict[str, Any]:
        """As schema.Audit describes it."""
        return {
            "proven": self.proven,
            "sentence": self.sentence(),
            "from": rfc3339(self.from_ms),
            "until": rfc3339(self.until_ms),
            "log": {"bytes": self.log_bytes, "lines": self.log_lines},
            "counts": dict(self.counts),
            "missing": self.missing,
            "twice": self.twice,
        }

    def sentence(self) -> str:
        """What was proven, and what was not."""
        return "; ".join([self._result(), *self._limits()]) + "."

    def _result(self) -> str:
        counts, span = self.counts, f"from {rfc3339(self.from_ms)} until {rfc3339(self.until_ms)}"
        if not counts["acknowledged"] and self.proven:
            return f"No request was acknowledged {span}, so there was nothing to prove"
        missing = f"{counts['missing']:,}" if counts["missing"] else "none"
        twice = f"{counts['twice']:,}" if counts["twice"] else "none"
        verb = "are" if counts["missing"] > 1 else "is"
        found = ", ".join(self._whereabouts())
        return (
            f"Of {_many(counts['acknowledged'], 'request')} acknowledged {span}, {missing} {verb} missing"
            f" and {twice} came twice" + (f": {found}" if found else "")
        )

    def _whereabouts(self) -> Iterator[str]:
        counts = self.counts
        if counts["recorded"]:
            yield f"{counts['recorded']:,} in the table"
        if counts["spooled"]:
            yield f"{counts['spooled']:,} in a spool, on their way there"
        if counts["forgotten"]:
            yield f"{counts['forgotten']:,} forgotten since, as the trail tells"
        if counts["expired"]:
            yield f"{counts['expired']:,} dropped since, with their day"
        if counts["unknown"]:
            yield f"{counts['unknown']:,} in spools that the viewer cannot see, which is not proven"

    def _limits(self) -> Iterator[str]:
        counts = self.counts
        if self.from_ms > self.asked_from_ms > 0:
            yield f"the log does not reach back to {rfc3339(self.asked_from_ms)}"
        if counts["unlogged"]:
            yield f"{_many(counts['unlogged'], 'row')} have no line in the log, so nobody knows what was answered"
        if counts["unreadable"]:
            yield f"{_many(counts['unreadable'], 'line')} of the log cannot be read"
        if self.overrun:
            yield "there were too many lines to look at all of them for ids that came twice"


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}" + ("" if count == 1 else "s")
