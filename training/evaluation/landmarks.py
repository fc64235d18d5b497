"""Where an avatar carries the head model's landmarks: canonical landmark -> its own surface -> deformed -> pixels."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from imavatar_deploy.avatar import Avatar, canonical_pose
from imavatar_deploy.camera import Camera
from imavatar_deploy.conventions import EXPRESSION_SIZE, UNITS_PER_METRE
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.kinematics import pose_feature, skinning_transforms
from imavatar_deploy.model.forward_avatar import ForwardAvatarModel
from imavatar_deploy.model.frame import Frame
from imavatar_deploy.optional import require

from ..landmarks import landmarks
from .metric import Points

STEPS = 8
"""Newton steps onto the surface; a landmark starts millimetres from it."""
LONGEST_STEP = 0.05
"""Model units (12 mm): a field that is no distance must not throw a point away."""


def canonical_landmarks(head: HeadModel) -> Points:
    """[70, 3] the head model's landmarks in canonical space, model units.

    Raises:
        InputError: nobody knows the landmarks of this head model.
    """
    neutral = np.zeros(EXPRESSION_SIZE, dtype=np.float32)
    return np.asarray(
        UNITS_PER_METRE * head.vertices(neutral, canonical_pose())[landmarks(head)],
        dtype=np.float32,
    )


def project(points: Points, camera: Camera, size: int) -> Points:
    """[N, 2] columns and rows of points `[N, 3]` in a square image."""
    homogeneous = (
        np.column_stack([points, np.ones(len(points))]) @ camera.image_matrix(size, size).T
    )
    return np.asarray(homogeneous[:, :2] / homogeneous[:, 2:], dtype=np.float32)


def onto_surface(model: ForwardAvatarModel, points: torch.Tensor, frame: Frame) -> torch.Tensor:
    """[N, 3] canonical points moved along the gradient of the signed distance onto its zero level."""
    code = model.geometry_code(frame)
    for _ in range(STEPS):
        with torch.enable_grad():
            x = points.detach().requires_grad_()
            sdf = model.geometry(x, code).sdf
            (slope,) = torch.autograd.grad(sdf.sum(), x)
        step = (
            sdf.detach()[:, None] * slope / slope.square().sum(dim=1, keepdim=True).clamp_min(1e-12)
        )
        points = x.detach() - step * (
            LONGEST_STEP / step.norm(dim=1, keepdim=True).clamp_min(LONGEST_STEP)
        )
    return points


class BakedLandmarks:
    """The landmarks of a baked avatar: the mesh's vertices nearest to them in canonical space.

    Args:
        points: `[70, 3]` see `canonical_landmarks`.
    """

    def __init__(self, avatar: Avatar, points: Points) -> None:
        spatial = require("scipy.spatial", extra="train")
        _, chosen = spatial.cKDTree(avatar.canonical.T).query(points)
        self._avatar = avatar
        self._rest = avatar.rest[:, chosen]
        self._expression = avatar.expression_basis[:, :, chosen]
        self._pose = avatar.pose_basis[:, :, chosen]
        self._weights = avatar.skin_weights[:, chosen]

    def posed(self, expression: NDArray[np.float32], pose: NDArray[np.float32]) -> Points:
        """[70, 3] deformed, model units (the forward map of `Avatar`)."""
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
