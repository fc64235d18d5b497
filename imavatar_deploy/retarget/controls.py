"""The 59 values by which a face moves in FLAME's form: 50 expressions, then jaw and eyes, axis by axis."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.conventions import BONES, EDITIONS, EXPRESSION_SIZE, POSE_SIZE

from .arkit import ARKIT, ARKIT_NAMES

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
