"""Calibration: the face at rest, measured over some seconds, stored as JSON, subtracted later."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.atomic import write_text
from imavatar_deploy.checks import as_float32
from imavatar_deploy.conventions import EXPRESSION_SIZE, POSE_SIZE
from imavatar_deploy.errors import ImavatarError, InputError, excerpt
from imavatar_deploy.kinematics import inverse, product

from .face_state import NEUTRAL, Face, face_of, stack_faces

KIND = "imavatar-neutral-face"
"""Value of the key `kind` in the file."""

CALIBRATION_FACES = 2000
"""Largest number of faces in an average; more do not change it."""

NEUTRAL_LIMIT = 1e6
"""Largest magnitude of a number in the file."""


@dataclass(frozen=True, eq=False)
class Neutral:
    """The face at rest, as an expression and a pose of the avatar.

    Raises:
        InputError: a wrong number of values, or values out of range.
    """

    expression: NDArray[np.float32]  # [50]; the constructor converts
    pose: NDArray[np.float32]  # [15] axis-angle, radians

    def __post_init__(self) -> None:
        for name, size in (("expression", EXPRESSION_SIZE), ("pose", POSE_SIZE)):
            values = as_float32(f"neutral {name}", getattr(self, name), (size,))
            if np.abs(values).max() > NEUTRAL_LIMIT:
                raise InputError(
                    f"neutral {name} must be within {NEUTRAL_LIMIT:g}, got {np.abs(values).max():g}"
                )
            object.__setattr__(self, name, values)

    def subtract_from(self, face: Face) -> Face:
        """Return a face relative to this one.

        Expressions are subtracted; each bone's rotation is expressed in its axes at rest.
        """
        rest = face_of(self.expression, self.pose)
        return Face(face.expression - rest.expression, product(inverse(rest.turns), face.turns))

    def write(self, path: str | Path) -> None:
        """Write a small JSON file, whole or not at all.

        Raises:
            UsageError: the file cannot be written.
        """
        content = {"kind": KIND, "expression": self.expression.tolist(), "pose": self.pose.tolist()}
        write_text(path, json.dumps(content, indent=1) + "\n")


def read_neutral(path: str | Path) -> Neutral:
    """Read a file that `Neutral.write` wrote.

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
            f"{path} is not a usable calibration ({excerpt(error)}); calibrate again"
        ) from error


class Calibrator:
    """Collects faces for some seconds and computes their median."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._end: float | None = None
        self._faces: list[Face] = []

    def add(self, face: Face, arrived: float) -> Neutral | None:
        """Add a face; return the neutral face once `seconds` have passed since the first one."""
        if self._end is None:
            self._end = arrived + self._seconds
        if len(self._faces) < CALIBRATION_FACES:
            self._faces.append(face)
        return median_face(self._faces) if arrived >= self._end else None


def median_face(faces: list[Face]) -> Neutral:
    """The median face: a blink, or one frame of another face, does not move it.

    Rotations have no order, so the median is taken of differences from a reference face: first the
    neutral face, then the result of the first pass.
    """
    all_faces = stack_faces(*faces)
    median = NEUTRAL
    for _ in range(2):
        median = median.plus(np.median(all_faces.minus(median), axis=0))
    return Neutral(median.expression.astype(np.float32), median.pose().astype(np.float32))
