"""Calibration: how a face looks at rest, taken from a moment of it, kept in a small file, taken off all faces after."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.atomic import write_text
from imavatar_deploy.checks import as_float32
from imavatar_deploy.conventions import EXPRESSION_SIZE, POSE_SIZE
from imavatar_deploy.errors import ImavatarError, InputError
from imavatar_deploy.kinematics import inverse, product

from .face_state import NEUTRAL, Face, face_of, stacked

KIND = "imavatar-neutral-face"
"""What the file says it is."""

MOST_FACES = 2000
"""Kept for an average; more add nothing."""

LARGEST = 1e6
"""Limit of a number in the file."""


@dataclass(frozen=True, eq=False)
class Neutral:
    """The face at rest, in the avatar's words.

    Raises:
        InputError: a wrong number of values, or impossible ones.
    """

    expression: NDArray[np.float32]  # [50]
    pose: NDArray[np.float32]  # [15] axis-angle, radians

    def __post_init__(self) -> None:
        for name, size in (("expression", EXPRESSION_SIZE), ("pose", POSE_SIZE)):
            values = as_float32(f"neutral {name}", getattr(self, name), (size,))
            if np.abs(values).max() > LARGEST:
                raise InputError(
                    f"neutral {name} must be within {LARGEST:g}, got {np.abs(values).max():g}"
                )
            object.__setattr__(self, name, values)

    def taken_off(self, face: Face) -> Face:
        """The same face counted from this one: expressions subtracted, each bone's turn in its own resting axes."""
        rest = face_of(self.expression, self.pose)
        return Face(face.expression - rest.expression, product(inverse(rest.turns), face.turns))

    def write(self, path: str | Path) -> None:
        """Write a small JSON file, whole or not at all.

        Raises:
            UsageError: it cannot be written.
        """
        content = {"kind": KIND, "expression": self.expression.tolist(), "pose": self.pose.tolist()}
        write_text(path, json.dumps(content, indent=1) + "\n")


def read_neutral(path: str | Path) -> Neutral:
    """Read what `Neutral.write` wrote.

    Raises:
        InputError: the file cannot be read, or is something else.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        if not isinstance(content, dict) or content.get("kind") != KIND:
            raise InputError(f'it does not say "kind": "{KIND}"')
        return Neutral(content["expression"], content["pose"])
    except (OSError, KeyError, ValueError, RecursionError, ImavatarError) as error:
        raise InputError(
            f"{path} is no calibration that can be used ({error}); calibrate again"
        ) from error


class Calibrator:
    """Gathers faces for some seconds and then says what is in their middle."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._ends: float | None = None
        self._faces: list[Face] = []

    def add(self, face: Face, arrived: float) -> Neutral | None:
        """Take one more face; the neutral one when the time is over, which the first face begins."""
        if self._ends is None:
            self._ends = arrived + self._seconds
        if len(self._faces) < MOST_FACES:
            self._faces.append(face)
        return middle(self._faces) if arrived >= self._ends else None


def middle(faces: list[Face]) -> Neutral:
    """The median face: a blink, or one frame of another face, does not move it.

    Rotations have no order, so they are counted from one of the faces, and again from the middle found by that.
    """
    all_faces = stacked(*faces)
    found = NEUTRAL
    for _ in range(2):
        found = found.plus(np.median(all_faces.minus(found), axis=0))
    return Neutral(found.expression.astype(np.float32), found.pose().astype(np.float32))
