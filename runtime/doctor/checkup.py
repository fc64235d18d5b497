"""Checkup: one row of the doctor's table, and what it found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

WORKS, MISSING, BROKEN = "works", "missing", "broken"


class AbsentError(Exception):
    """A probe's way to say that the part is not there, which is no fault; `mend` where the row's line is not enough."""

    def __init__(self, message: str, mend: str = "") -> None:
        super().__init__(message)
        self.mend = mend


@dataclass(frozen=True)
class Checkup:
    """How one part is tried."""

    name: str
    serves: str
    """What needs it, in a few words."""
    mend: str
    """The line that brings or mends it."""
    probe: Callable[[], str]
    """Use the part for real and say what came of it; raise whatever it raises. Runs in a process of its own."""
    core: bool = False
    """Nothing plays without it."""


@dataclass(frozen=True)
class Finding:
    """What a checkup found."""

    name: str
    serves: str
    state: str  # WORKS, MISSING or BROKEN
    detail: str
    mend: str  # empty where nothing is to be mended
    core: bool
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)
