"""Pseudo ground truth of deformation from the head model (IMavatar, "Regularization")."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from imavatar_deploy.avatar import canonical_pose
from imavatar_deploy.conventions import BONES, EXPRESSION_SIZE, UNITS_PER_METRE
from imavatar_deploy.head_model import HeadModel

from .semantics import ABSENT_LABELS, GHOST_BONE_LABELS, NECK_BONE_LABELS, has_label

MAX_SQUARED_DISTANCE = 0.001
"""Largest squared distance of a surface point from its vertex, squared model units (8 mm)."""

NECK = BONES.index("neck")


class Targets(NamedTuple):
    """Target deformation of M surface points. Only `distance` has a gradient."""

    distance: Tensor  # [M] squared distance to the nearest vertex, squared model units
    near: Tensor  # [M] bool: `distance` is below `MAX_SQUARED_DISTANCE`
    expression: Tensor  # [M, 3, E] blendshapes
    pose: Tensor  # [M, 36, 3] correctives
    weights: Tensor  # [M, J] skinning weights
    skinned: Tensor  # [M] bool: `weights` is a target of this point


class PseudoGroundTruth(nn.Module):
    """Targets of surface points: blendshapes, correctives and weights of the nearest vertex.

    Args:
        head: the subject's head model.
        bones: number of skinning bones of the avatar, the ghost bone included.
    """

    vertices: Tensor
    expression: Tensor
    pose: Tensor
    weights: Tensor

    def __init__(self, head: HeadModel, bones: int) -> None:
        super().__init__()
        self.ghosts = bones - len(BONES)
        canonical = head.vertices(np.zeros(EXPRESSION_SIZE, dtype=np.float32), canonical_pose())
        arrays = {
            "vertices": UNITS_PER_METRE * canonical,
            "expression": UNITS_PER_METRE * head.expression_basis,
            "pose": UNITS_PER_METRE * head.pose_basis.transpose(0, 2, 1),
            "weights": np.pad(head.weights, ((0, 0), (self.ghosts, 0))),
        }
        for name, array in arrays.items():
            tensor = torch.tensor(np.ascontiguousarray(array), dtype=torch.float32)
            self.register_buffer(name, tensor, persistent=False)

    def forward(self, canonical: Tensor, semantic: Tensor | None) -> Targets:
        """Look up the targets of surface points.

        With labels, hair follows the neck bone and cloth the ghost bone; the inside of the mouth
        has no skinning target and no correctives (supplementary, 1.4).

        Args:
            canonical: `[M, 3]` surface points, model units.
            semantic: `[M]` label ids of their pixels, or None.
        """
        nearest = self._nearest(canonical.detach())
        distance = (canonical - self.vertices[nearest]).square().sum(dim=1)
        absent = has_label(semantic, ABSENT_LABELS, canonical)
        weights = self.weights[nearest]
        pose = self.pose[nearest]
        weights[has_label(semantic, NECK_BONE_LABELS, canonical)] = self._only(self.ghosts + NECK)
        if self.ghosts:
            weights[has_label(semantic, GHOST_BONE_LABELS, canonical)] = self._only(0)
        pose[absent] = 0.0
        near = distance.detach() < MAX_SQUARED_DISTANCE
        return Targets(distance, near, self.expression[nearest], pose, weights, near & ~absent)

    def _nearest(self, points: Tensor) -> Tensor:
        """Index of the nearest vertex of each point, `[M]`."""
        # |p - v|² without its constant |p|²: one matrix product instead of M x V x 3 differences.
        score = torch.addmm(self.vertices.square().sum(dim=1), points, self.vertices.T, alpha=-2.0)
        return score.argmin(dim=1)

    def _only(self, bone: int) -> Tensor:
        one_hot = torch.zeros(self.weights.shape[1], device=self.weights.device)
        one_hot[bone] = 1.0
        return one_hot
