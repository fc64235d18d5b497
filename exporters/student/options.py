"""StudentSettings: what a student may choose."""

from __future__ import annotations

from dataclasses import dataclass

from imavatar_deploy.errors import UsageError
from imavatar_deploy.student import WIDTHS

STEPS = 6000
"""Of a student's training."""

TAKERS = ("onnx", "player", "student")
"""Formats that take a student."""


@dataclass(frozen=True)
class StudentSettings:
    """What a student may choose.

    Raises:
        UsageError: a choice that does not exist.
    """

    width: int = WIDTHS[0]
    """Of its hidden layers."""
    steps: int = STEPS
    """Of its training."""

    def __post_init__(self) -> None:
        if self.width not in WIDTHS:
            raise UsageError(
                f"a student must be {', '.join(map(str, WIDTHS))} wide, got {self.width}"
            )
        if self.steps < 0:
            raise UsageError(f"a student's training must have 0 steps or more, got {self.steps}")
