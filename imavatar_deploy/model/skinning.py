"""Differentiable kinematics and linear blend skinning: `imavatar_deploy.kinematics`, with gradients.

Training optimises pose and expression, so every function here lets gradients reach them. A pose may have
leading dimensions `[...]`; joints have the same, or none.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from imavatar_deploy.avatar import canonical_pose
from imavatar_deploy.conventions import BONES, PARENTS, UNITS_PER_METRE
from imavatar_deploy.head_model import HeadModel


def rotations(pose: Tensor) -> Tensor:
    """Axis-angle `[..., 3 * B]` in radians -> rotation matrices `[..., B, 3, 3]` (Rodrigues' formula)."""
    vectors = pose.reshape(*pose.shape[:-1], -1, 3)
    angle = (vectors + 1e-8).norm(
        dim=-1, keepdim=True
    )  # FLAME's guard against 0/0, inside the norm only
    x, y, z = (vectors / angle).unbind(dim=-1)
    zero = torch.zeros_like(x)
    skew = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1).reshape(*x.shape, 3, 3)
    sin, cos = angle.sin()[..., None], angle.cos()[..., None]
    turned: Tensor = sin * skew + (1.0 - cos) * (skew @ skew)
    return torch.eye(3, dtype=pose.dtype, device=pose.device) + turned


def pose_feature(pose: Tensor) -> Tensor:
    """Pose `[..., 15]` -> `[..., 36]`: R - I of neck, jaw and eyes, row-major."""
    corrective = rotations(pose)[..., 1:, :, :] - torch.eye(3, dtype=pose.dtype, device=pose.device)
    return corrective.flatten(start_dim=-3)


def bone_transforms(pose: Tensor, joints: Tensor) -> Tensor:
    """Rigid motion of each bone from rest to posed, `[..., B, 3, 4]`: x_posed = G_b [x_rest; 1].

    Args:
        pose: `[..., 3 * B]` axis-angle in radians.
        joints: `[..., B, 3]` joint positions at rest, expression included.
    """
    joints = joints.expand(*pose.shape[:-1], -1, -1)
    turned: list[Tensor] = []
    placed: list[Tensor] = []
    for bone, (rotation, parent) in enumerate(
        zip(rotations(pose).unbind(dim=-3), PARENTS, strict=True)
    ):
        joint = joints[..., bone, :]
        if parent < 0:
            turned.append(rotation)
            placed.append(joint)
        else:
            turned.append(turned[parent] @ rotation)
            placed.append(placed[parent] + _rotate(turned[parent], joint - joints[..., parent, :]))
    rotation, position = torch.stack(turned, dim=-3), torch.stack(placed, dim=-2)
    return torch.cat([rotation, (position - _rotate(rotation, joints))[..., None]], dim=-1)


def skinning_transforms(pose: Tensor, joints: Tensor, bones: int) -> Tensor:
    """`bone_transforms`, with the identity of the ghost bone in front when `bones` is one more: `[..., J, 3, 4]`."""
    transforms = bone_transforms(pose, joints)
    if bones == len(BONES):
        return transforms
    identity = torch.eye(3, 4, dtype=pose.dtype, device=pose.device).expand_as(
        transforms[..., :1, :, :]
    )
    return torch.cat([identity, transforms], dim=-3)


def skin(points: Tensor, weights: Tensor, transforms: Tensor) -> Tensor:
    """Linear blend skinning: points `[N, 3]` at rest, weights `[N, J]`, transforms `[J, 3, 4]` -> posed `[N, 3]`."""
    blended = _blend(weights, transforms)
    return _rotate(blended[..., :3], points) + blended[..., 3]


def unskin(points: Tensor, weights: Tensor, transforms: Tensor) -> Tensor:
    """Undo `skin`: posed points `[N, 3]` -> rest points `[N, 3]`, through the inverse of the blended transform."""
    blended = _blend(weights, transforms)
    rest: Tensor = torch.linalg.solve(blended[..., :3], points - blended[..., 3])
    return rest


def _blend(weights: Tensor, transforms: Tensor) -> Tensor:
    """[N, 3, 4] weighted mean of the bones' transforms."""
    return torch.einsum("nj,jrc->nrc", weights, transforms)


def _rotate(matrix: Tensor, vector: Tensor) -> Tensor:
    """[..., 3] matrix times vector."""
    return torch.einsum("...rc,...c->...r", matrix, vector)


# Bones: where a subject's bones are at rest, how a frame moves them, and where the canonical pose puts them.


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
        self._hold(
            "canonical_transforms",
            skinning_transforms(self.canonical_pose, self.rest_joints, count),
        )

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
    return np.ascontiguousarray(
        UNITS_PER_METRE * (head.joint_regressor @ head.template), np.float32
    )


def joint_basis(head: HeadModel) -> Float:
    """[E, 5, 3] how the joints move with expression, model units."""
    basis = np.einsum("bv,vce->ebc", head.joint_regressor, head.expression_basis, optimize=True)
    return np.ascontiguousarray(UNITS_PER_METRE * basis, np.float32)
