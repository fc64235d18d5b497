"""ExpressionMap: a matrix from a vocabulary to the 59 controls of a head model, and its fit.

The controls are 50 expressions, then the axis-angles of jaw, left and right eye in radians.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from imavatar_deploy.arrays import Array, Float32
from imavatar_deploy.checks import as_float32
from imavatar_deploy.conventions import BONES, EDITIONS, EXPRESSION_SIZE, POSE_SIZE
from imavatar_deploy.errors import InputError, excerpt

from .arkit import ARKIT, ARKIT_NAMES

FACE_POSE = slice(6, POSE_SIZE)
"""Jaw, left and right eye inside a pose `[15]`; global rotation and neck come before them."""

EYES = slice(9, POSE_SIZE)
"""Both eyes inside a pose `[15]`."""

CONTROLS = (
    *(f"expression_{index:02d}" for index in range(EXPRESSION_SIZE)),
    *(f"{bone}.{axis}" for bone in BONES[2:] for axis in "xyz"),
)
"""Names of the 59 controls."""

INPUTS: dict[str, tuple[str, ...]] = {ARKIT: ARKIT_NAMES} | dict.fromkeys(EDITIONS, CONTROLS)
"""Vocabulary -> names of the inputs of its maps."""

METHODS = {
    "shapes": "from the shapes of two head models",
    "pairs": "from recordings of two trackers",
}
"""Methods of fitting a map."""

UNITS = {"shapes": "mm", "pairs": "units of expression, on frames held out"}
"""Unit of the residual of each method."""


def split(
    controls: Float32[Array, "59"], pose: Float32[Array, "15"]
) -> tuple[Float32[Array, "50"], Float32[Array, "15"]]:
    """Return the expression, and a copy of the pose with the jaw and eyes of the controls."""
    face_pose = pose.copy()
    face_pose[FACE_POSE] = controls[EXPRESSION_SIZE:]
    return controls[:EXPRESSION_SIZE], face_pose


def joined(expression: Float32[Array, "50"], pose: Float32[Array, "15"]) -> Float32[Array, "59"]:
    """Return the controls of an expression and a pose: the inverse of `split`."""
    return np.concatenate([expression, pose[FACE_POSE]])


@dataclass(frozen=True)
class MapFit:
    """How a map was fitted, and its error.

    Raises:
        InputError: the method is unknown, or a number is negative or not finite.
    """

    how: str
    """A key of `METHODS`."""
    made_from: str
    """Names of the files or models, for display."""
    ridge: float
    """Lambda: weight of the squared coefficients beside the squared errors, in units of the fit."""
    samples: int
    """Number of fitted shapes, or of frames of recordings."""
    residual: float
    """Root mean square error in `UNITS`, of moving vertices or of expressions held out."""
    moved: float
    """Root mean square of the target, in the same unit and on the same samples."""

    def __post_init__(self) -> None:
        if self.how not in METHODS:
            raise InputError(
                f"a map must be fitted by one of {', '.join(METHODS)}, got {excerpt(self.how)!r}"
            )
        numbers = (self.ridge, self.samples, self.residual, self.moved)
        if not all(np.isfinite(number) and number >= 0 for number in numbers):
            raise InputError(
                "the figures of a map's fit must be finite and not negative, "
                f"got {excerpt(numbers)}"
            )

    @property
    def summary(self) -> str:
        """One line for the user."""
        error = f"misses {self.residual:.3g} of {self.moved:.3g} {UNITS[self.how]}"
        return f"fitted {METHODS[self.how]}, {self.samples} samples, {error}"


@dataclass(frozen=True, eq=False)
class ExpressionMap:
    """controls [59] = inputs [n] @ matrix [n, 59] + bias [59].

    Raises:
        InputError: the vocabulary or edition is unknown, a shape is wrong, or a number is not
            finite.
    """

    source: str
    """Vocabulary of the inputs: `arkit52` (n = 52 weights) or a head model (n = 59 controls)."""
    target: str | None
    """Head-model edition of the controls; None if a third-party file does not state it."""
    matrix: Float32[Array, "n 59"]
    bias: Float32[Array, "59"] = field(
        default_factory=lambda: np.zeros(len(CONTROLS), dtype=np.float32)
    )
    fit: MapFit | None = None
    """None if a third-party file does not state it."""

    def __post_init__(self) -> None:
        if self.source not in INPUTS:
            raise InputError(
                f"a map must read one of {', '.join(INPUTS)}, got {excerpt(self.source)!r}"
            )
        if self.target is not None and self.target not in EDITIONS:
            raise InputError(
                f"a map must write one of {', '.join(EDITIONS)}, got {excerpt(self.target)!r}"
            )
        shapes = {"matrix": (len(self.inputs), len(CONTROLS)), "bias": (len(CONTROLS),)}
        for name, shape in shapes.items():
            object.__setattr__(
                self, name, as_float32(f"the map's {name}", getattr(self, name), shape)
            )

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the n inputs."""
        return INPUTS[self.source]

    @property
    def summary(self) -> str:
        """One line for the user."""
        target = self.target or "a head model that the file does not name"
        origin = self.fit.summary if self.fit else "a matrix of your own"
        return f"{self.source} to {target}, {origin}"
