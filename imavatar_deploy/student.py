"""Student: a small texture network with a feature vector at every vertex, and its file.

    rgb = sigmoid(relu(relu(F_v + n W_n + c W_c + b_c) W_2 + b_2) W_3 + b_3)

It is distilled from the full texture network (`texture.onnx`) and small enough for a loop over
pixels. The features F_v `[H]` replace the baked first layer, n is the unit normal of the deformed
surface, and c is the condition (expression and jaw).
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from imavatar_deploy.arrays import Array, Float, Float32
from imavatar_deploy.avatar_io import AvatarFolder
from imavatar_deploy.checks import Dimension, ensure_finite, ensure_shape
from imavatar_deploy.conventions import CONDITION_SIZE
from imavatar_deploy.errors import InputError

STUDENT_FILE = "student.safetensors"
"""Name of the student's file in an avatar folder."""

WIDTHS = (16, 32, 64)
"""Supported hidden widths H."""

SHAPES: dict[str, tuple[Dimension, ...]] = {
    "features": ("V", "H"),
    "normal_weight": (3, "H"),
    "condition_weight": (CONDITION_SIZE, "H"),
    "condition_bias": ("H",),
    "hidden_weight": ("H", "H"),
    "hidden_bias": ("H",),
    "colour_weight": ("H", 3),
    "colour_bias": (3,),
}
"""Shape of every array; a weight matrix is `[inputs, outputs]`."""


@dataclass(frozen=True)
class Student:
    """A trained student of one avatar.

    Raises:
        InputError: an array is not float32, has a wrong shape or is not finite, or H is not one of
            `WIDTHS`.
    """

    features: Float32[Array, "V H"]
    normal_weight: Float32[Array, "3 H"]
    condition_weight: Float32[Array, "53 H"]
    condition_bias: Float32[Array, " H"]
    hidden_weight: Float32[Array, "H H"]
    hidden_bias: Float32[Array, " H"]
    colour_weight: Float32[Array, "H 3"]
    colour_bias: Float32[Array, "3"]

    def __post_init__(self) -> None:
        sizes: dict[str, int] = {}
        for name, shape in SHAPES.items():
            array = getattr(self, name)
            if not isinstance(array, np.ndarray) or array.dtype != np.float32:
                actual = getattr(array, "dtype", type(array).__name__)
                raise InputError(f"student array {name} must be float32, got {actual}")
            known = [sizes.get(size, size) if isinstance(size, str) else size for size in shape]
            sizes |= ensure_shape(f"student array {name}", array, known)
            ensure_finite(f"student array {name}", array)
            object.__setattr__(self, name, np.ascontiguousarray(array))
        if sizes["H"] not in WIDTHS:
            raise InputError(
                f"a student must be {', '.join(map(str, WIDTHS))} wide, got {sizes['H']}"
            )

    @property
    def width(self) -> int:
        """Hidden width H."""
        return int(self.features.shape[1])

    def constant(self, condition: Float[Array, "1 53"]) -> Float32[Array, " H"]:
        """Return the contribution of a condition to the first layer, the same for all points."""
        return np.asarray(
            condition[0] @ self.condition_weight + self.condition_bias, dtype=np.float32
        )

    def arrays(self) -> dict[str, Float32[Array, "..."]]:
        """Return every array by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def colours_plainly(
    student: Student,
    feature: Float[Array, "N H"],
    normal: Float[Array, "N 3"],
    condition: Float[Array, "1 53"],
) -> Float32[Array, "N 3"]:
    """Return colours in 0..1, `[N, 3]`: the reference implementation of the runtime's pixel loop.

    Args:
        feature: `[N, H]` rows of `Student.features`, or interpolations between them.
        normal: `[N, 3]` unit normals of the deformed surface.
        condition: `[1, 53]`, one for all points.
    """
    first = np.maximum(feature + normal @ student.normal_weight + student.constant(condition), 0)
    second = np.maximum(first @ student.hidden_weight + student.hidden_bias, 0)
    logits = second @ student.colour_weight + student.colour_bias
    return np.asarray(1 / (1 + np.exp(-logits)), dtype=np.float32)


def write_student(folder: Path, student: Student) -> None:
    """Write a student into an avatar folder.

    The features are stored in half precision, which changes every colour by less than 1e-3.
    """
    arrays: dict[str, Any] = {
        **student.arrays(),
        "features": student.features.astype(np.float16),
    }
    (folder / STUDENT_FILE).write_bytes(save(arrays))


def has_student(folder: AvatarFolder) -> bool:
    """Return whether the avatar folder holds a student."""
    return STUDENT_FILE in folder.manifest["files"]


def read_student(folder: AvatarFolder) -> Student:
    """Read the student of an avatar folder.

    Raises:
        InputError: the folder has no student, or one that cannot be read or belongs to another
            avatar.
    """
    if not has_student(folder):
        raise InputError(f"{folder.path} has no student; export it again without --no-student")
    path = folder.file(STUDENT_FILE)
    student = load_student(path)
    count = folder.avatar.vertex_count
    if len(student.features) != count:
        raise InputError(
            f"{path} has features of {len(student.features)} vertices, the avatar has {count}; "
            "export the avatar again"
        )
    return student


def load_student(path: Path) -> Student:
    """Read a student from a file.

    Raises:
        InputError: the file cannot be read.
    """
    try:
        stored = load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(
            f"{path} is not a safetensors file ({error}); export the avatar again"
        ) from error
    if missing := [name for name in SHAPES if name not in stored]:
        raise InputError(f"{path} misses {', '.join(missing)}; export the avatar again")
    return Student(**{name: stored[name].astype(np.float32) for name in SHAPES})
