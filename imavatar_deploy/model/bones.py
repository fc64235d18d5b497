"""Bones: where a subject's bones are at rest, how a frame moves them, and where the canonical pose puts them."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from imavatar_deploy.avatar import canonical_pose
from imavatar_deploy.conventions import BONES, UNITS_PER_METRE
from imavatar_deploy.head_model import HeadModel

from .skinning import pose_feature, skinning_transforms

Float = NDArray[np.float32]


class Bones(nn.Module):
    """A subject's bones in model units; nothing of it is trained or stored in checkpoints.

    Args:
        head: the subject's head model in metres.
        count: skinning bones J, one more than the kinematic ones when there is a ghost bone.
    """

    canonical_pose: Tensor  # [15]
    rest_joints: Tensor  # [5, 3]
    rest_joint_basis: Tensor  # [E, 5, 3]
    canonical_feature: Tensor  # [36]
    canonical_transforms: Tensor  # [J, 3, 4]

    def __init__(self, head: HeadModel, count: int) -> None:
        super().__init__()
        self.count = count
        self._hold("rest_joints", torch.from_numpy(joints_at_rest(head)))
        self._hold("rest_joint_basis", torch.from_numpy(joint_basis(head)))
        self._hold("canonical_pose", torch.from_numpy(canonical_pose()))
        self._hold("canonical_feature", pose_feature(self.canonical_pose))
        self._hold("canonical_transforms", skinning_transforms(self.canonical_pose, self.rest_joints, count))

    def forward(self, expression: Tensor, pose: Tensor) -> Tensor:
        """[J, 3, 4] of every skinning bone for an expression `[E]` and a pose `[15]`; joints move with expression."""
        joints = self.rest_joints + torch.tensordot(expression, self.rest_joint_basis, dims=1)
        return skinning_transforms(pose, joints, self.count)

    def row(self, name: str) -> int:
        """Where a bone of `conventions.BONES` stands among the skinning bones."""
        return BONES.index(name) + self.count - len(BONES)

    def _hold(self, name: str, constant: Tensor) -> None:
        self.register_buffer(name, constant, persistent=False)


def joints_at_rest(head: HeadModel) -> Float:
    """[5, 3] joints of the neutral expression, model units."""
    return np.ascontiguousarray(UNITS_PER_METRE * (head.joint_regressor @ head.template), np.float32)


def joint_basis(head: HeadModel) -> Float:
    """[E, 5, 3] how the joints move with expression, model units."""
    basis = np.einsum("bv,vce->ebc", head.joint_regressor, head.expression_basis, optimize=True)
    return np.ascontiguousarray(UNITS_PER_METRE * basis, np.float32)
