"""ProofSettings: how the waterfall is judged."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imavatar_deploy.errors import InputError, UsageError
from imavatar_deploy.fidelity.stage_metrics import validate_tolerances

LEAST = 32
"""Pixels a side below which a mouth is no region any more."""


@dataclass(frozen=True)
class FidelitySettings:
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


# Tolerances: those of the package, and a user's file that changes some of them.


if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

DEFAULTS = Path(__file__).with_name("tolerances.toml")


def tolerances(changes: Path | None = None) -> dict[str, dict[str, float]]:
    """Hop -> measure -> limit.

    Args:
        changes: a TOML file like `tolerances.toml`; what it does not name stays.

    Raises:
        InputError: the file cannot be read.
        UsageError: it names a hop or a measure that does not exist.
    """
    limits = _read(DEFAULTS)
    for hop, changed in (_read(changes) if changes else {}).items():
        limits[hop] = limits.get(hop, {}) | changed
    return limits


def _read(path: Path) -> dict[str, dict[str, float]]:
    try:
        given: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(
            f"{path} cannot be read as tolerances: {error}; write a TOML file like {DEFAULTS}"
        ) from error
    return validate_tolerances(given, str(path))
