"""ExpressionMap: a matrix from one vocabulary of faces to a head model's 59 controls, and how it was fitted."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.checks import as_float32
from imavatar_deploy.conventions import BONES, EDITIONS, EXPRESSION_SIZE, POSE_SIZE
from imavatar_deploy.errors import InputError

from .arkit import ARKIT, ARKIT_NAMES

# The 59 values by which a face moves in FLAME's form: 50 expressions, then jaw and eyes, axis by axis.


Float = NDArray[np.float32]

FACE_POSE = slice(6, POSE_SIZE)
"""Jaw, left and right eye inside a pose `[15]`: what a face does; before them comes what a neck does."""

EYES = slice(9, POSE_SIZE)
"""Both eyes inside a pose `[15]`."""

CONTROLS = (
    *(f"expression_{index:02d}" for index in range(EXPRESSION_SIZE)),
    *(f"{bone}.{axis}" for bone in BONES[2:] for axis in "xyz"),
)
"""Their names, in order: axis-angle components in radians after the expressions."""

INPUTS: dict[str, tuple[str, ...]] = {ARKIT: ARKIT_NAMES} | dict.fromkeys(EDITIONS, CONTROLS)
"""What a map from each vocabulary reads, in order."""


def split(controls: Float, pose: Float) -> tuple[Float, Float]:
    """Controls `[59]` -> expression `[50]` and the pose `[15]` with the face's bones turned so."""
    turned = pose.copy()
    turned[FACE_POSE] = controls[EXPRESSION_SIZE:]
    return controls[:EXPRESSION_SIZE], turned


def joined(expression: Float, pose: Float) -> Float:
    """The inverse of `split`: controls `[59]`."""
    return np.concatenate([expression, pose[FACE_POSE]])


HOW = {"shapes": "from the shapes of two head models", "pairs": "from takes seen by two trackers"}
"""The ways of fitting."""

UNITS = {"shapes": "mm", "pairs": "units of expression, on frames held out"}
"""What the residual of each is in."""


@dataclass(frozen=True)
class MapFit:
    """How a map was fitted, and how well.

    Raises:
        InputError: an unknown way, or a number that makes no sense.
    """

    how: str
    """A key of `HOW`."""
    made_from: str
    """File names or words, for the reader."""
    ridge: float
    """Lambda: the weight of the coefficients' squares beside the squared errors, in the fit's own units."""
    samples: int
    """How many shapes, or frames of takes, were fitted."""
    residual: float
    """Root mean square of what the map misses, in `unit`: of vertices that move, or of expression codes held out."""
    moved: float
    """Root mean square, in the same unit and places, of what was to be explained."""

    def __post_init__(self) -> None:
        if self.how not in HOW:
            raise InputError(f"a map must be fitted by one of {', '.join(HOW)}, got {self.how!r}")
        numbers = (self.ridge, self.samples, self.residual, self.moved)
        if not all(np.isfinite(number) and number >= 0 for number in numbers):
            raise InputError(
                f"the figures of a map's fit must be finite and not negative, got {numbers}"
            )

    @property
    def summary(self) -> str:
        """One line for the user."""
        return (
            f"fitted {HOW[self.how]}, {self.samples} samples, misses {self.residual:.3g} of {self.moved:.3g} "
            f"{UNITS[self.how]}"
        )


@dataclass(frozen=True, eq=False)
class ExpressionMap:
    """controls [59] = inputs [n] @ matrix [n, 59] + bias [59]; the shape legend is in `controls`.

    Raises:
        InputError: an unknown vocabulary or edition, a wrong shape, or a number that is not finite.
    """

    source: str
    """The vocabulary it reads: `arkit52` (n = 52 weights) or a head-model edition (n = 59 controls)."""
    target: str | None
    """The head-model edition it writes; None where a foreign file does not say."""
    matrix: Float  # [n, 59]
    bias: Float = field(default_factory=lambda: np.zeros(len(CONTROLS), dtype=np.float32))  # [59]
    fit: MapFit | None = None
    """None where a foreign file does not say."""

    def __post_init__(self) -> None:
        if self.source not in INPUTS:
            raise InputError(f"a map must read one of {', '.join(INPUTS)}, got {self.source!r}")
        if self.target is not None and self.target not in EDITIONS:
            raise InputError(f"a map must write one of {', '.join(EDITIONS)}, got {self.target!r}")
        shapes = {"matrix": (len(self.inputs), len(CONTROLS)), "bias": (len(CONTROLS),)}
        for name, shape in shapes.items():
            object.__setattr__(
                self, name, as_float32(f"the map's {name}", getattr(self, name), shape)
            )

    @property
    def inputs(self) -> tuple[str, ...]:
        """[n] names of what it reads."""
        return INPUTS[self.source]

    @property
    def summary(self) -> str:
        """One line for the user."""
        target = self.target or "a head model that the file does not name"
        return (
            f"{self.source} to {target}, {self.fit.summary if self.fit else 'a matrix of your own'}"
        )
