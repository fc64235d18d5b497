"""Finding: one thing that is wrong, or odd, with a dataset, in a sentence that names its file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

ERROR = "error"
WARNING = "warning"

MOST = 4
"""Findings of one kind that are shown; hundreds of missing files are one problem."""


@dataclass(frozen=True)
class Finding:
    """An error spoils a training or stops it; a warning may be intended."""

    severity: str  # ERROR or WARNING
    kind: str
    """What sort of thing it is, for counting: `picture`, `misfit`, ..."""
    sentence: str

    def __str__(self) -> str:
        return f"{self.severity}: {self.sentence}"


def shortened(findings: Iterable[Finding], most: int = MOST) -> list[str]:
    """Lines to show: errors first, at most `most` of each kind, then how many more there are of it."""
    ordered = sorted(findings, key=lambda finding: finding.severity != ERROR)
    counts = Counter((finding.severity, finding.kind) for finding in ordered)
    shown: Counter[tuple[str, str]] = Counter()
    lines = []
    for finding in ordered:
        key = finding.severity, finding.kind
        shown[key] += 1
        if shown[key] <= most:
            lines.append(str(finding))
        if shown[key] == most and counts[key] > most:
            lines.append(f"{finding.severity}: and {counts[key] - most} more like these")
    return lines
