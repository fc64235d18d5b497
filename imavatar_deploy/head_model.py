"""HeadModel: FLAME or OpenHead as plain arrays, in metres, with its edition."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.checks import Dimension, as_float32, ensure_shape
from imavatar_deploy.conventions import BONES, EDITIONS, EXPRESSION_SIZE, POSE_FEATURE_SIZE
from imavatar_deploy.errors import InputError, unknown_name
from imavatar_deploy.kinematics import bone_transforms, pose_feature

Float = NDArray[np.float32]

SHAPES: dict[str, tuple[Dimension, ...]] = {
    "template": ("V", 3),
    "faces": ("F", 3),
    "shape_basis": ("V", 3, "S"),
    "expression_basis": ("V", 3, EXPRESSION_SIZE),
    "pose_basis": ("V", 3, POSE_FEATURE_SIZE),
    "joint_regressor": (len(BONES), "V"),
    "weights": ("V", len(BONES)),
}


@dataclass(frozen=True)
class HeadModel:
    """A morphable head in FLAME's form: template + shape + expression + pose correctives, then linear blend skinning.

    Lengths in metres; multiply by `conventions.UNITS_PER_METRE` for IMavatar's model space.
    """

    template: Float  # [V, 3]
    faces: NDArray[np.int32]  # [F, 3]
    shape_basis: Float  # [V, 3, S]; S = 0 once a subject's shape is in the template
    expression_basis: Float  # [V, 3, 50]
    pose_basis: Float  # [V, 3, 36] correctives per unit of pose feature
    joint_regressor: Float  # [5, V]
    weights: Float  # [V, 5] skinning weights
    edition: str
    expression_names: tuple[str, ...]
    vertex_groups: tuple[str, ...] = ()
    """Name of the part each vertex belongs to, `[V]`, where the file says (OpenHead does); empty otherwise."""

    def __post_init__(self) -> None:
        if self.edition not in EDITIONS:
            raise unknown_name("head-model edition", self.edition, EDITIONS)
        sizes: dict[str, int] = {}
        for name, shape in SHAPES.items():
            known = [sizes.get(size, size) if isinstance(size, str) else size for size in shape]
            sizes |= ensure_shape(f"head model {name}", getattr(self, name), known)
        if len(self.expression_names) != EXPRESSION_SIZE:
            raise InputError(f"head model must name {EXPRESSION_SIZE} expressions, got {len(self.expression_names)}")

    @classmethod
    def load(cls, source: str | Path, *, edition: str | None = None) -> HeadModel:
        """Read a head model: the word `openhead`, a FLAME `.pkl`, or an `.npz` with FLAME's keys.

        Args:
            edition: what the file is made of (see `conventions.EDITIONS`); needed where the file does not say.

        Raises:
            InputError: the file is unreadable, holds foreign objects, misses a key, or does not say its edition.
        """
        from imavatar_deploy.head_files import read_head_model

        return read_head_model(source, edition=edition)

    def for_subject(self, shape: Float) -> HeadModel:
        """The same head with a subject's shape coefficients `[<= S]` moved into the template."""
        beta = as_float32("shape", shape, ("n",), f"this head model has {self.shape_basis.shape[2]} shape coefficients")
        if len(beta) > self.shape_basis.shape[2]:
            raise InputError(f"shape must have at most {self.shape_basis.shape[2]} coefficients, got {len(beta)}")
        template = self.template + self.shape_basis[:, :, : len(beta)] @ beta
        return replace(self, template=template, shape_basis=self.shape_basis[:, :, :0])

    def joints(self, expression: Float) -> Float:
        """[5, 3] joint positions at rest; the regressor sees the expression, so they move with it."""
        return np.asarray(self.joint_regressor @ (self.template + self.expression_basis @ expression), dtype=np.float32)

    def vertices(self, expression: Float, pose: Float) -> Float:
        """[V, 3] posed vertices for an expression `[50]` and a pose `[15]` (FLAME, equation 1)."""
        offset = self.expression_basis @ expression + self.pose_basis @ pose_feature(pose)
        transforms = np.einsum("vb,bij->vij", self.weights, bone_transforms(pose, self.joints(expression)))
        posed = np.einsum("vij,vj->vi", transforms[:, :3, :3], self.template + offset) + transforms[:, :3, 3]
        return np.asarray(posed, dtype=np.float32)
