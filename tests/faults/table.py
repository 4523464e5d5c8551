"""What the README shows: a line for each fault. Pure."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from faults.checks import Findings

_HEAD = (
    *("fault", "errors that clients saw (allowed)", "acknowledged", "of these spooled", "stored"),
    *("lost", "twice", "altered", "longest gap", "verdict"),
)


class Line(NamedTuple):
    """One fault: what clients may see of it, and what was found, unless the stack did not come back."""

    fault: str
    allowed: str
    findings: Findings | None
    troubles: list[str]

    @property
    def verdict(self) -> str:
        return "; ".join(self.troubles) or "kept"

    def said(self) -> str:
        """For who watches."""
        if not self.findings:
            return self.verdict
        return f"{self.findings.acknowledged:,} acknowledged, {_errors(self.findings.errors)} errors, {self.verdict}"


def table(lines: Sequence[Line]) -> str:
    """In Markdown, the sums in its last line."""
    rows = [_HEAD, ("---", "---", *["--:"] * 7, "---"), *map(_row, lines), _sums(lines)]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def acknowledged(lines: Sequence[Line]) -> int:
    return sum(line.findings.acknowledged for line in lines if line.findings)


def _row(line: Line) -> tuple[str, ...]:
    found = line.findings
    if not found:
        return (line.fault, f"? ({line.allowed})", *["?"] * 7, line.verdict)
    return (
        line.fault,
        f"{_errors(found.errors)} ({line.allowed})",
        *(f"{count:,}" for count in (found.acknowledged, found.spooled, found.stored, found.lost, found.twice)),
        f"{found.altered:,}",
        f"{found.longest_gap_s:.2f} s",
        line.verdict,
    )


def _sums(lines: Sequence[Line]) -> tuple[str, ...]:
    all_found = [line.findings for line in lines if line.findings]
    columns = ([f.acknowledged, f.spooled, f.stored, f.lost, f.twice, f.altered] for f in all_found)
    sums = [f"**{sum(column):,}**" for column in zip(*columns, strict=True)] or ["**0**"] * 6
    errors = sum(sum(found.errors.values()) for found in all_found)
    kept = sum(not line.troubles for line in lines)
    return ("**all**", f"**{errors:,}**", *sums, "", f"**{kept} of {len(lines)} kept**")


def _errors(errors: Counter[str]) -> str:
    return ", ".join(f"{count:,} × {kind}" for kind, count in errors.most_common()) or "0"
