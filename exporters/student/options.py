"""StudentSettings: options of the student."""

from __future__ import annotations

from dataclasses import dataclass

from imavatar_deploy.errors import UsageError
from imavatar_deploy.student import WIDTHS

DEFAULT_STEPS = 6000
"""Default number of training steps."""

STUDENT_FORMATS = ("onnx", "player", "student")
"""Formats that take a student."""


@dataclass(frozen=True)
class StudentSettings:
    """Options of the student.

    Raises:
        UsageError: an option has an invalid value.
    """

    width: int = WIDTHS[0]
    """Width of its hidden layers."""
    steps: int = DEFAULT_STEPS
    """Number of training steps."""

    def __post_init__(self) -> None:
        if self.width not in WIDTHS:
            raise UsageError(
                f"a student must be {', '.join(map(str, WIDTHS))} wide, got {self.width}"
            )
        if self.steps < 0:
            raise UsageError(f"a student's training must have 0 steps or more, got {self.steps}")
