"""Avatar: the baked avatar, a frozen dataclass of arrays. The contract between exporters and runtime."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

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

Float = NDArray[np.float32]

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
"""The shape of every array, in the order in which they are written."""


def canonical_pose() -> Float:
    """Pose `[15]` of canonical space: everything zero but the jaw, slightly open."""
    pose = np.zeros(POSE_SIZE, dtype=np.float32)
    pose[JAW.start] = CANONICAL_JAW
    return pose


@dataclass(frozen=True)
class Avatar:
    """A head avatar baked onto a mesh, in model units (FLAME x 4); see `conventions` for the shape legend.

        deformed = T(w; pose, expression) [rest + expression_basis . expression + pose_basis . feature(pose)]

        normal   = unit(normal of the deformed mesh + T(w; pose, expression) normal_detail)

    The first is IMavatar's forward map (equations 2-4), evaluated once per vertex of the canonical surface. The second
    gives back what a mesh loses of the field's normals: exact in the canonical pose, to first order in any other.

    Raises:
        InputError: an array has a wrong shape or type, is not finite, or an index points nowhere.
    """

    rest: Float  # [3, V] before blendshapes, correctives and skinning
    canonical: Float  # [3, V] where the networks were asked
    faces: NDArray[np.int32]  # [F, 3] counter-clockwise seen from outside
    expression_basis: Float  # [E, 3, V] displacement per unit of expression
    pose_basis: Float  # [36, 3, V] displacement per unit of pose feature
    normal_detail: Float  # [3, V] what the surface's normals have beyond the mesh's, at rest
    skin_weights: Float  # [J, V] columns sum to one; ghost bone first when J = 6
    joints_rest: Float  # [5, 3] joints of the neutral expression
    joint_basis: Float  # [E, 5, 3] how the joints move with expression
    texture_code: Float  # [V, K] what the texture network's first layer knows of each vertex
    edition: str
    expression_names: tuple[str, ...]

    def __post_init__(self) -> None:
        sizes: dict[str, int] = {}
        for name, shape in SHAPES.items():
            array = getattr(self, name)
            wanted = np.int32 if name == "faces" else np.float32
            if not isinstance(array, np.ndarray) or array.dtype != wanted:
                raise InputError(
                    f"avatar array {name} must be {np.dtype(wanted)}, got {getattr(array, 'dtype', type(array))}"
                )
            known = [sizes.get(size, size) if isinstance(size, str) else size for size in shape]
            sizes |= ensure_shape(f"avatar array {name}", array, known)
            ensure_finite(f"avatar array {name}", array)
            if not array.flags.c_contiguous:
                object.__setattr__(self, name, np.ascontiguousarray(array))
        self._check_values(sizes)

    def _check_values(self, sizes: dict[str, int]) -> None:
        if sizes["J"] not in (len(BONES), len(BONES) + 1):
            raise InputError(
                f"avatar skin_weights must have {len(BONES)} or {len(BONES) + 1} bones, got {sizes['J']}"
            )
        if sizes["F"] and (self.faces.min() < 0 or self.faces.max() >= sizes["V"]):
            raise InputError(
                f"avatar faces must index {sizes['V']} vertices, got {self.faces.min()}..{self.faces.max()}"
            )
        if len(self.expression_names) != sizes["E"]:
            raise InputError(
                f"avatar has {sizes['E']} expressions, got {len(self.expression_names)} expression names"
            )
        if self.edition not in EDITIONS:
            raise InputError(
                f"avatar edition must be one of {', '.join(EDITIONS)}, got {self.edition!r}"
            )

    @property
    def vertex_count(self) -> int:
        """V."""
        return int(self.rest.shape[1])

    @property
    def expression_size(self) -> int:
        """E."""
        return int(self.expression_basis.shape[0])

    @property
    def bone_count(self) -> int:
        """J."""
        return int(self.skin_weights.shape[0])

    def joints(self, expression: Float) -> Float:
        """[5, 3] joint positions at rest for an expression `[E]`: in FLAME they move with it."""
        return self.joints_rest + np.tensordot(expression, self.joint_basis, axes=1)

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Every array by name, in writing order."""
        return {
            field.name: getattr(self, field.name) for field in fields(self) if field.name in SHAPES
        }
