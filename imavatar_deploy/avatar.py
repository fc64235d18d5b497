"""Avatar: a head avatar baked onto a mesh, as a frozen dataclass of arrays.

The exporters write it and the runtime plays it.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.arrays import Array, Float32, Int32
from imavatar_deploy.checks import Dimension, ensure_finite, ensure_shape
from imavatar_deploy.conventions import (
    BONES,
    CANONICAL_JAW,
    EDITIONS,
    JAW,
    POSE_FEATURE_SIZE,
    POSE_SIZE,
)
from imavatar_deploy.errors import InputError

SHAPES: dict[str, tuple[Dimension, ...]] = {
    "rest": (3, "V"),
    "canonical": (3, "V"),
    "faces": ("F", 3),
    "expression_basis": ("E", 3, "V"),
    "pose_basis": (POSE_FEATURE_SIZE, 3, "V"),
    "normal_detail": (3, "V"),
    "skin_weights": ("J", "V"),
    "joints_rest": (len(BONES), 3),
    "joint_basis": ("E", len(BONES), 3),
    "texture_code": ("V", "K"),
}
"""Shape of every array, in the order in which the arrays are written."""


def canonical_pose() -> Float32[Array, "15"]:
    """Return the pose `[15]` of canonical space: zero but for the jaw, which is slightly open."""
    pose = np.zeros(POSE_SIZE, dtype=np.float32)
    pose[JAW.start] = CANONICAL_JAW
    return pose


@dataclass(frozen=True)
class Avatar:
    """A head avatar baked onto a mesh, in model units (FLAME x 4).

    The shape legend is in `conventions`. With the rigid motion T of each vertex, blended by its
    skinning weights w,

        offset   = expression_basis . expression + pose_basis . feature(pose)
        deformed = T(w; pose, expression) [rest + offset]
        normal   = unit(normal of the deformed mesh + T(w; pose, expression) normal_detail)

    `deformed` is IMavatar's forward map (equations 2-4), evaluated once per vertex of the canonical
    surface. `normal_detail` restores the difference between the normals of the implicit surface and
    those of the mesh: exactly in the canonical pose, to first order in any other.

    Raises:
        InputError: an array has a wrong shape or type or is not finite, or a face names a vertex
            that does not exist.
    """

    rest: Float32[Array, "3 V"]
    """Positions before blendshapes, correctives and skinning."""
    canonical: Float32[Array, "3 V"]
    """Positions at which the networks were evaluated."""
    faces: Int32[Array, "F 3"]
    """Vertex indices, counter-clockwise seen from outside."""
    expression_basis: Float32[Array, "E 3 V"]
    """Displacement per unit of expression."""
    pose_basis: Float32[Array, "36 3 V"]
    """Displacement per unit of pose feature."""
    normal_detail: Float32[Array, "3 V"]
    """Normal of the implicit surface minus that of the mesh, at rest."""
    skin_weights: Float32[Array, "J V"]
    """Columns sum to one; the ghost bone comes first where J = 6."""
    joints_rest: Float32[Array, "5 3"]
    """Joint positions of the neutral expression."""
    joint_basis: Float32[Array, "E 5 3"]
    """Displacement of the joints per unit of expression."""
    texture_code: Float32[Array, "V K"]
    """The part of the texture network's first layer that depends on the vertex alone."""
    edition: str
    expression_names: tuple[str, ...]

    def __post_init__(self) -> None:
        sizes: dict[str, int] = {}
        for name, shape in SHAPES.items():
            array = getattr(self, name)
            required = np.dtype(np.int32 if name == "faces" else np.float32)
            if not isinstance(array, np.ndarray) or array.dtype != required:
                actual = getattr(array, "dtype", type(array))
                raise InputError(f"avatar array {name} must be {required}, got {actual}")
            known = [sizes.get(size, size) if isinstance(size, str) else size for size in shape]
            sizes |= ensure_shape(f"avatar array {name}", array, known)
            ensure_finite(f"avatar array {name}", array)
            if not array.flags.c_contiguous:
                object.__setattr__(self, name, np.ascontiguousarray(array))
        self._check_values(sizes)

    def __repr__(self) -> str:
        vertices, faces = self.rest.shape[1], len(self.faces)
        return (
            f"<Avatar of {self.edition}: {vertices} vertices, {faces} faces, "
            f"{len(self.expression_basis)} expressions>"
        )

    def _check_values(self, sizes: dict[str, int]) -> None:
        if sizes["J"] not in (len(BONES), len(BONES) + 1):
            raise InputError(
                f"avatar skin_weights must have {len(BONES)} or {len(BONES) + 1} bones, "
                f"got {sizes['J']}"
            )
        if sizes["F"] and (self.faces.min() < 0 or self.faces.max() >= sizes["V"]):
            raise InputError(
                f"avatar faces must index {sizes['V']} vertices, "
                f"got {self.faces.min()}..{self.faces.max()}"
            )
        if len(self.expression_names) != sizes["E"]:
            raise InputError(
                f"avatar has {sizes['E']} expressions, "
                f"got {len(self.expression_names)} expression names"
            )
        if self.edition not in EDITIONS:
            raise InputError(
                f"avatar edition must be one of {', '.join(EDITIONS)}, got {self.edition!r}"
            )

    @property
    def vertex_count(self) -> int:
        """Number of vertices, V."""
        return int(self.rest.shape[1])

    @property
    def expression_size(self) -> int:
        """Number of expression coefficients, E."""
        return int(self.expression_basis.shape[0])

    @property
    def bone_count(self) -> int:
        """Number of skinning bones, J."""
        return int(self.skin_weights.shape[0])

    def joints(self, expression: Float32[Array, " E"]) -> Float32[Array, "5 3"]:
        """Return the joint positions at rest for an expression: in FLAME they move with it."""
        offset = np.tensordot(expression, self.joint_basis, axes=1)
        return np.asarray(self.joints_rest + offset)

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Return every array by name, in writing order."""
        return {
            field.name: getattr(self, field.name) for field in fields(self) if field.name in SHAPES
        }
