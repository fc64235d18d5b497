"""ProofSettings: how the waterfall is judged."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from imavatar_deploy.errors import UsageError

LEAST = 32
"""Pixels a side below which a mouth is no region any more."""


@dataclass(frozen=True)
class ProofSettings:
    """How the waterfall is judged.

    Raises:
        UsageError: a choice that makes no sense.
    """

    size: int = 96
    """Pixels a side of the frames on which every hop is judged."""
    tolerances: Path | None = None
    """A TOML file that changes some of `tolerances.toml`."""
    allow_drift: str | None = None
    """Why an avatar that misses a tolerance is to be written all the same; goes into its manifest."""

    def __post_init__(self) -> None:
        if self.size < LEAST:
            raise UsageError(f"--proof-size must be at least {LEAST} pixels, got {self.size}")
        if self.allow_drift is not None and not self.allow_drift.strip():
            raise UsageError("--allow-drift needs a reason, which the manifest keeps")
