"""Student: a texture network small enough for a pixel loop, with features of its own at every vertex.

    rgb = sigmoid(relu(relu(F_v + n W_n + c W_c + b_c) W_2 + b_2) W_3 + b_3)

It stands in for the full texture network (`texture.onnx`), which it was trained against: F_v `[H]` takes the place of
the baked first layer, n is the unit normal of the deformed surface, c the condition (expression and jaw).
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from imavatar_deploy.avatar_io import AvatarFolder
from imavatar_deploy.checks import Dimension, ensure_finite, ensure_shape
from imavatar_deploy.conventions import CONDITION_SIZE
from imavatar_deploy.errors import InputError

Float = NDArray[np.float32]

FILE = "student.safetensors"
"""Its place in an avatar folder."""

WIDTHS = (16, 32, 64)
"""Hidden widths H that are trained and drawn."""

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
"""The shape of every array; a weight is `[inputs, outputs]`."""


@dataclass(frozen=True)
class Student:
    """A trained student of one avatar.

    Raises:
        InputError: an array is not float32, has a wrong shape or is not finite, or H is not one of `WIDTHS`.
    """

    features: Float  # [V, H]
    normal_weight: Float  # [3, H]
    condition_weight: Float  # [53, H]
    condition_bias: Float  # [H]
    hidden_weight: Float  # [H, H]
    hidden_bias: Float  # [H]
    colour_weight: Float  # [H, 3]
    colour_bias: Float  # [3]

    def __post_init__(self) -> None:
        sizes: dict[str, int] = {}
        for name, shape in SHAPES.items():
            array = getattr(self, name)
            if not isinstance(array, np.ndarray) or array.dtype != np.float32:
                raise InputError(
                    f"student array {name} must be float32, got {getattr(array, 'dtype', type(array).__name__)}"
                )
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
        """H."""
        return int(self.features.shape[1])

    def constant(self, condition: Float) -> Float:
        """[H] what a condition `[1, 53]` adds to the first layer, the same for every point."""
        return np.asarray(
            condition[0] @ self.condition_weight + self.condition_bias, dtype=np.float32
        )

    def arrays(self) -> dict[str, Float]:
        """Every array by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def colours_plainly(student: Student, feature: Float, normal: Float, condition: Float) -> Float:
    """[N, 3] colours in 0..1, the plain way: the truth that the runtime's pixel loop is held to.

    Args:
        feature: `[N, H]` rows of `Student.features`, or interpolated between some.
        normal: `[N, 3]` unit normals of the deformed surface.
        condition: `[1, 53]`, one for all points.
    """
    first = np.maximum(feature + normal @ student.normal_weight + student.constant(condition), 0)
    second = np.maximum(first @ student.hidden_weight + student.hidden_bias, 0)
    logits = second @ student.colour_weight + student.colour_bias
    return np.asarray(1 / (1 + np.exp(-logits)), dtype=np.float32)


def write_student(folder: Path, student: Student) -> None:
    """Store a student in an avatar folder, its features in half precision, which changes no colour by 1e-3."""
    arrays: dict[str, NDArray[Any]] = {
        **student.arrays(),
        "features": student.features.astype(np.float16),
    }
    (folder / FILE).write_bytes(save(arrays))


def has_student(folder: AvatarFolder) -> bool:
    """True when the folder brings a student."""
    return FILE in folder.manifest["files"]


def read_student(folder: AvatarFolder) -> Student:
    """The student of an avatar folder.

    Raises:
        InputError: there is none, it cannot be read, or it belongs to another avatar.
    """
    if not has_student(folder):
        raise InputError(f"{folder.path} has no student; export it again without --no-student")
    path = folder.file(FILE)
    student = load_student(path)
    if len(student.features) != folder.avatar.vertex_count:
        raise InputError(
            f"{path} has features of {len(student.features)} vertices, the avatar has {folder.avatar.vertex_count}; "
            "export the avatar again"
        )
    return student


def load_student(path: Path) -> Student:
    """The student in a file.

    Raises:
        InputError: it cannot be read.
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
