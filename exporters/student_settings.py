"""StudentSettings: what a student may choose, and the options for it."""

from __future__ import annotations

from dataclasses import dataclass

import click

from imavatar_deploy.errors import UsageError
from imavatar_deploy.option_groups import OptionGroup
from imavatar_deploy.student import WIDTHS

from .format_option import FormatOption

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
            raise UsageError(f"a student must be {', '.join(map(str, WIDTHS))} wide, got {self.width}")
        if self.steps < 0:
            raise UsageError(f"a student's training must have 0 steps or more, got {self.steps}")


def _settings(student: str, no_student: bool, student_steps: int) -> StudentSettings | None:
    return None if no_student else StudentSettings(int(student), student_steps)


GROUP = OptionGroup(
    "student",
    "Student",
    (
        FormatOption(
            "--student",
            formats=TAKERS,
            type=click.Choice([str(width) for width in WIDTHS]),
            default=str(WIDTHS[0]),
            help="Hidden width of the tiny network that CPU and web draw with.",
        ),
        FormatOption(
            "--no-student",
            formats=TAKERS,
            is_flag=True,
            help="Leave it out: no training, and shading by the full network alone.",
        ),
        FormatOption(
            "--student-steps",
            formats=TAKERS,
            type=click.IntRange(min=0),
            default=STEPS,
            help="Of its training: more for one that misses its quality.",
        ),
    ),
    _settings,
)
