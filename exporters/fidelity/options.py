"""FidelitySettings: options of the fidelity report; and the tolerances of its stages."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imavatar_deploy.errors import InputError, UsageError, excerpt
from imavatar_deploy.fidelity.stage_metrics import validate_tolerances

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MIN_SIZE = 32
"""Smallest side of the reference frames, pixels; in smaller frames the mouth has too few pixels."""

DEFAULT_TOLERANCES_FILE = Path(__file__).with_name("tolerances.toml")


@dataclass(frozen=True)
class FidelitySettings:
    """Options of the fidelity report.

    Raises:
        UsageError: an option has an invalid value.
    """

    size: int = 96
    """Pixels a side of the frames on which every stage is measured."""
    tolerances: Path | None = None
    """A TOML file that changes some of `tolerances.toml`."""
    allow_drift: str | None = None
    """Reason to write an avatar that misses a tolerance; the manifest records it."""

    def __post_init__(self) -> None:
        if self.size < MIN_SIZE:
            raise UsageError(f"--proof-size must be at least {MIN_SIZE} pixels, got {self.size}")
        if self.allow_drift is not None and not self.allow_drift.strip():
            raise UsageError("--allow-drift needs a reason, which the manifest records")


def tolerances(changes: Path | None = None) -> dict[str, dict[str, float]]:
    """Limits by stage and metric.

    Args:
        changes: a TOML file like `tolerances.toml`; limits that it does not name stay.

    Raises:
        InputError: the file cannot be read.
        UsageError: it names a stage or a metric that does not exist.
    """
    limits = _read(DEFAULT_TOLERANCES_FILE)
    for stage, changed in (_read(changes) if changes else {}).items():
        limits[stage] = limits.get(stage, {}) | changed
    return limits


def _read(path: Path) -> dict[str, dict[str, float]]:
    try:
        document: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(
            f"{path} cannot be read as tolerances: {excerpt(error)}; write a TOML file like "
            f"{DEFAULT_TOLERANCES_FILE}"
        ) from error
    return validate_tolerances(document, str(path))
