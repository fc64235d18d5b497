"""Landmarks of an avatar: the head model's landmarks on the avatar's surface, posed, in pixels."""

from __future__ import annotations

import numpy as np
import torch

from imavatar_deploy.arrays import Array, Float32
from imavatar_deploy.avatar import Avatar, canonical_pose
from imavatar_deploy.camera import Camera
from imavatar_deploy.conventions import EXPRESSION_SIZE, UNITS_PER_METRE
from imavatar_deploy.head_fit.ibug_landmarks import landmark_vertices
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.kinematics import pose_feature, skinning_transforms
from imavatar_deploy.model.forward_avatar import ForwardAvatarModel
from imavatar_deploy.model.frame import Frame
from imavatar_deploy.optional import require

NEWTON_STEPS = 8
"""Newton steps onto the surface; a landmark starts millimetres from it."""

MAX_STEP = 0.05
"""Largest step, model units (12 mm), for fields whose gradient is not of unit length."""


def canonical_landmarks(head: HeadModel) -> Float32[Array, "70 3"]:
    """The head model's landmarks in canonical space, model units.

    Raises:
        InputError: the landmarks of this head model are unknown.
    """
    neutral = np.zeros(EXPRESSION_SIZE, dtype=np.float32)
    return np.asarray(
        UNITS_PER_METRE * head.vertices(neutral, canonical_pose())[landmark_vertices(head)],
        dtype=np.float32,
    )


def project(points: Float32[Array, "N 3"], camera: Camera, size: int) -> Float32[Array, "N 2"]:
    """Columns and rows of points in an image of `size` x `size` pixels."""
    homogeneous = (
        np.column_stack([points, np.ones(len(points))]) @ camera.image_matrix(size, size).T
    )
    return np.asarray(homogeneous[:, :2] / homogeneous[:, 2:], dtype=np.float32)


def onto_surface(model: ForwardAvatarModel, points: torch.Tensor, frame: Frame) -> torch.Tensor:
    """Move canonical points `[N, 3]` along the gradient of the signed distance onto the surface."""
    code = model.geometry_code(frame)
    for _ in range(NEWTON_STEPS):
        with torch.enable_grad():
            x = points.detach().requires_grad_()
            sdf = model.geometry(x, code).sdf
            (slope,) = torch.autograd.grad(sdf.sum(), x)
        step = (
            sdf.detach()[:, None] * slope / slope.square().sum(dim=1, keepdim=True).clamp_min(1e-12)
        )
        points = x.detach() - step * (MAX_STEP / step.norm(dim=1, keepdim=True).clamp_min(MAX_STEP))
    return points


class BakedLandmarks:
    """Landmarks of a baked avatar: its vertices nearest to the canonical landmarks.

    Args:
        avatar: the avatar.
        points: canonical landmarks, from `canonical_landmarks`.
    """

    def __init__(self, avatar: Avatar, points: Float32[Array, "70 3"]) -> None:
        spatial = require("scipy.spatial", extra="train")
        _, vertices = spatial.cKDTree(avatar.canonical.T).query(points)
        self._avatar = avatar
        self._rest = avatar.rest[:, vertices]
        self._expression = avatar.expression_basis[:, :, vertices]
        self._pose = avatar.pose_basis[:, :, vertices]
        self._weights = avatar.skin_weights[:, vertices]

    def pose_vertices(
        self, expression: Float32[Array, " E"], pose: Float32[Array, "15"]
    ) -> Float32[Array, "70 3"]:
        """The landmarks deformed by the forward map of `Avatar`, model units."""
        shaped = (
            self._rest
            + np.tensordot(expression, self._expression, axes=1)
            + np.tensordot(pose_feature(pose), self._pose, axes=1)
        )
        transforms = skinning_transforms(
            pose, self._avatar.joints(expression), self._avatar.bone_count
        )
        blended = np.einsum("jv,jab->vab", self._weights, transforms[:, :3])
        return np.asarray(
            np.einsum("vab,bv->va", blended[..., :3], shaped) + blended[..., 3], dtype=np.float32
        )
