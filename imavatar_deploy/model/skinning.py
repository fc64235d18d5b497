"""Differentiable kinematics and linear blend skinning, the counterpart of `kinematics` in PyTorch.

Every function is differentiable in pose and expression, which training optimises. A pose may have
leading dimensions `[...]`; joints have the same dimensions or none. `Bones` holds the joints of a
subject and the transforms of the canonical pose.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from imavatar_deploy.arrays import Array, Float32
from imavatar_deploy.avatar import canonical_pose
from imavatar_deploy.conventions import BONES, PARENTS, UNITS_PER_METRE
from imavatar_deploy.head_model import HeadModel


def rotations(pose: Tensor) -> Tensor:
    """Convert axis-angles `[..., 3 * B]` (radians) to matrices `[..., B, 3, 3]` (Rodrigues)."""
    vectors = pose.reshape(*pose.shape[:-1], -1, 3)
    # FLAME avoids 0/0 by this offset, inside the norm only.
    angle = (vectors + 1e-8).norm(dim=-1, keepdim=True)
    x, y, z = (vectors / angle).unbind(dim=-1)
    zero = torch.zeros_like(x)
    skew = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1).reshape(*x.shape, 3, 3)
    sin = angle.sin()[..., None]
    cos = angle.cos()[..., None]
    change: Tensor = sin * skew + (1.0 - cos) * (skew @ skew)
    return torch.eye(3, dtype=pose.dtype, device=pose.device) + change


def pose_feature(pose: Tensor) -> Tensor:
    """Return R - I of neck, jaw and eyes, row-major `[..., 36]`, for a pose `[..., 15]`."""
    corrective = rotations(pose)[..., 1:, :, :] - torch.eye(3, dtype=pose.dtype, device=pose.device)
    return corrective.flatten(start_dim=-3)


def bone_transforms(pose: Tensor, joints: Tensor) -> Tensor:
    """Return the transforms of the bones `[..., B, 3, 4]`: x_posed = G_b [x_rest; 1].

    Args:
        pose: `[..., 3 * B]` axis-angle in radians.
        joints: `[..., B, 3]` joint positions at rest, expression included.
    """
    joints = joints.expand(*pose.shape[:-1], -1, -1)
    global_rotations: list[Tensor] = []
    positions: list[Tensor] = []
    for bone, (rotation, parent) in enumerate(
        zip(rotations(pose).unbind(dim=-3), PARENTS, strict=True)
    ):
        joint = joints[..., bone, :]
        if parent < 0:
            global_rotations.append(rotation)
            positions.append(joint)
        else:
            offset = joint - joints[..., parent, :]
            global_rotations.append(global_rotations[parent] @ rotation)
            positions.append(positions[parent] + _rotate(global_rotations[parent], offset))
    rotation = torch.stack(global_rotations, dim=-3)
    position = torch.stack(positions, dim=-2)
    return torch.cat([rotation, (position - _rotate(rotation, joints))[..., None]], dim=-1)


def skinning_transforms(pose: Tensor, joints: Tensor, bones: int) -> Tensor:
    """Return the transforms of the skinning bones, `[..., J, 3, 4]`.

    These are `bone_transforms`, preceded by the identity for the ghost bone where `bones`, the
    number of skinning bones, is one more than that of the kinematic bones.
    """
    transforms = bone_transforms(pose, joints)
    if bones == len(BONES):
        return transforms
    identity = torch.eye(3, 4, dtype=pose.dtype, device=pose.device).expand_as(
        transforms[..., :1, :, :]
    )
    return torch.cat([identity, transforms], dim=-3)


def skin(points: Tensor, weights: Tensor, transforms: Tensor) -> Tensor:
    """Pose points by linear blend skinning.

    Args:
        points: `[N, 3]` at rest.
        weights: `[N, J]` skinning weights.
        transforms: `[J, 3, 4]` of the bones.

    Returns:
        `[N, 3]` posed points.
    """
    blended = _blend(weights, transforms)
    return _rotate(blended[..., :3], points) + blended[..., 3]


def unskin(points: Tensor, weights: Tensor, transforms: Tensor) -> Tensor:
    """Invert `skin` for the same weights: posed points `[N, 3]` -> points at rest `[N, 3]`."""
    blended = _blend(weights, transforms)
    rest: Tensor = torch.linalg.solve(blended[..., :3], points - blended[..., 3])
    return rest


def _blend(weights: Tensor, transforms: Tensor) -> Tensor:
    """Return the weighted mean `[N, 3, 4]` of the transforms."""
    return torch.einsum("nj,jrc->nrc", weights, transforms)


def _rotate(matrix: Tensor, vector: Tensor) -> Tensor:
    """Multiply matrices `[..., 3, 3]` with vectors `[..., 3]`."""
    return torch.einsum("...rc,...c->...r", matrix, vector)


# The bones of a subject


class Bones(nn.Module):
    """The bones of a subject in model units, neither trained nor stored in checkpoints.

    Args:
        head: the subject's head model in metres.
        count: number of skinning bones J, one more than the kinematic bones with a ghost bone.
    """

    canonical_pose: Tensor  # [15]
    rest_joints: Tensor  # [5, 3]
    rest_joint_basis: Tensor  # [E, 5, 3]
    canonical_feature: Tensor  # [36]
    canonical_transforms: Tensor  # [J, 3, 4]

    def __init__(self, head: HeadModel, count: int) -> None:
        super().__init__()
        self.count = count
        self._register("rest_joints", torch.from_numpy(joints_at_rest(head)))
        self._register("rest_joint_basis", torch.from_numpy(joint_basis(head)))
        self._register("canonical_pose", torch.from_numpy(canonical_pose()))
        self._register("canonical_feature", pose_feature(self.canonical_pose))
        self._register(
            "canonical_transforms",
            skinning_transforms(self.canonical_pose, self.rest_joints, count),
        )

    def forward(self, expression: Tensor, pose: Tensor) -> Tensor:
        """Return the transforms `[J, 3, 4]` of the skinning bones.

        Args:
            expression: `[E]` coefficients; the joints move with them.
            pose: `[15]` axis-angle, radians.
        """
        joints = self.rest_joints + torch.tensordot(expression, self.rest_joint_basis, dims=1)
        return skinning_transforms(pose, joints, self.count)

    def row(self, name: str) -> int:
        """Return the index of a bone of `conventions.BONES` among the skinning bones."""
        return BONES.index(name) + self.count - len(BONES)

    def _register(self, name: str, constant: Tensor) -> None:
        self.register_buffer(name, constant, persistent=False)


def joints_at_rest(head: HeadModel) -> Float32[Array, "5 3"]:
    """Return the joints of the neutral expression `[5, 3]`, model units."""
    return np.ascontiguousarray(
        UNITS_PER_METRE * (head.joint_regressor @ head.template), np.float32
    )


def joint_basis(head: HeadModel) -> Float32[Array, "E 5 3"]:
    """Return the displacement of the joints per unit of expression `[E, 5, 3]`, model units."""
    basis = np.einsum("bv,vce->ebc", head.joint_regressor, head.expression_basis, optimize=True)
    return np.ascontiguousarray(UNITS_PER_METRE * basis, np.float32)
