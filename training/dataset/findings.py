"""`Finding`: an error or a warning about a dataset, in a sentence that names the file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

ERROR = "error"
WARNING = "warning"

MAX_LISTED = 4
"""Number of findings of one kind that are listed; hundreds of missing files are one problem."""


@dataclass(frozen=True)
class Finding:
    """A problem of a dataset. Errors prevent or spoil training; warnings may be intended."""

    severity: str
    """ERROR or WARNING."""
    kind: str
    """Category for counting, such as `picture` or `inconsistent`."""
    sentence: str
    """The problem and the file it is in."""

    def __str__(self) -> str:
        return f"{self.severity}: {self.sentence}"


def summary_lines(findings: Iterable[Finding], most: int = MAX_LISTED) -> list[str]:
    """Lines of the findings, errors first: at most `most` of each kind, then how many follow."""
    ordered = sorted(findings, key=lambda finding: finding.severity != ERROR)
    totals = Counter((finding.severity, finding.kind) for finding in ordered)
    counts: Counter[tuple[str, str]] = Counter()
    lines = []
    for finding in ordered:
        key = finding.severity, finding.kind
        counts[key] += 1
        if counts[key] <= most:
            lines.append(str(finding))
        if counts[key] == most and totals[key] > most:
            lines.append(f"{finding.severity}: and {totals[key] - most} more like these")
    return lines
