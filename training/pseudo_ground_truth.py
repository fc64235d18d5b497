"""Pseudo ground truth: how the head model says a surface point moves (IMavatar, "Regularization")."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from imavatar_deploy.avatar import canonical_pose
from imavatar_deploy.conventions import BONES, EXPRESSION_SIZE, UNITS_PER_METRE
from imavatar_deploy.head_model import HeadModel

from .semantics import CLOTH, HAIR, MOUTH, labelled

NEAR = 0.001
"""Squared distance, model units, up to which a head-model vertex speaks for a surface point: 8 mm."""
NECK = BONES.index("neck")


class Targets(NamedTuple):
    """What M surface points shall do; nothing here carries a gradient but the distance."""

    distance: Tensor  # [M] squared, to the nearest vertex of the canonical head, model units; with gradient
    near: Tensor  # [M] bool: close enough for the targets to count
    expression: Tensor  # [M, 3, E] blendshapes
    pose: Tensor  # [M, 36, 3] correctives
    weights: Tensor  # [M, J] skinning weights
    skinned: Tensor  # [M] bool: `weights` counts


class PseudoGroundTruth(nn.Module):
    """The head model's blendshapes, correctives and skinning weights at its nearest canonical vertex.

    Args:
        head: the subject's head model.
        bones: skinning bones of the avatar, the ghost bone included where it has one.
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
        """Targets of surface points.

        Args:
            canonical: `[M, 3]` surface points, model units.
            semantic: `[M]` label ids of their pixels, where the data has them: hair shall follow the head, cloth the
                ghost bone; the inside of the mouth has no skinning target and no correctives (supplementary, 1.4).
        """
        nearest = self._nearest(canonical.detach())
        distance = (canonical - self.vertices[nearest]).square().sum(dim=1)
        mouth = labelled(semantic, MOUTH, canonical)
        weights, pose = self.weights[nearest], self.pose[nearest]
        weights[labelled(semantic, HAIR, canonical)] = self._only(self.ghosts + NECK)
        if self.ghosts:
            weights[labelled(semantic, CLOTH, canonical)] = self._only(0)
        pose[mouth] = 0.0
        near = distance.detach() < NEAR
        return Targets(distance, near, self.expression[nearest], pose, weights, near & ~mouth)

    def _nearest(self, points: Tensor) -> Tensor:
        """[M] index of the nearest vertex."""
        # |p - v|² less its constant |p|²: one product of matrices instead of M x V x 3 differences.
        score = torch.addmm(self.vertices.square().sum(dim=1), points, self.vertices.T, alpha=-2.0)
        return score.argmin(dim=1)

    def _only(self, bone: int) -> Tensor:
        one_hot = torch.zeros(self.weights.shape[1], device=self.weights.device)
        one_hot[bone] = 1.0
        return one_hot
