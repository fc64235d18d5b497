"""Drift: the line that an avatar gets wherever it is used which was written in spite of a missed tolerance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def drift_note(manifest: Mapping[str, Any]) -> str:
    """One line of a manifest with misses that were allowed; empty for one without."""
    drift = manifest.get("fidelity", {}).get("drift", {})
    if not drift:
        return ""
    return f"this avatar misses tolerances, allowed on {drift['date']} ({drift['reason']}): {drift['misses']}"
