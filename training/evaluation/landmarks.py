"""Landmarks of an avatar: the head model's landmarks on the avatar's surface, posed, in pixels."""

from __future__ import annotations

import numpy as np
import torch

from imavatar_deploy.arrays import Array, Float32, Int32
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

SLIDES = 3
"""Steps along the surface towards the point that is nearest to a landmark."""

SLIDE_NEWTON_STEPS = 3
"""Newton steps after each of them; it leaves the surface by little."""


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


def nearest_on_surface(
    model: ForwardAvatarModel, points: torch.Tensor, frame: Frame
) -> torch.Tensor:
    """The points of the canonical surface that are nearest to `points`, `[N, 3]`.

    A point reaches the surface along the gradient of the signed distance, and slides on it until
    the way back to where it started is normal to the surface. Of all surface points on its way it
    keeps the nearest.
    """
    code = model.geometry_code(frame)
    nearest = x = _onto_surface(model, points, code, NEWTON_STEPS)
    for _ in range(SLIDES):
        _, slope = _sdf(model, x, code)
        normal = slope / slope.norm(dim=1, keepdim=True).clamp_min(1e-12)
        back = points - x
        along = back - (back * normal).sum(dim=1, keepdim=True) * normal
        x = _onto_surface(model, x + along, code, SLIDE_NEWTON_STEPS)
        closer = (x - points).norm(dim=1) < (nearest - points).norm(dim=1)
        nearest = torch.where(closer[:, None], x, nearest)
    return nearest


def _onto_surface(
    model: ForwardAvatarModel, points: torch.Tensor, code: torch.Tensor | None, steps: int
) -> torch.Tensor:
    """Move canonical points along the gradient of the signed distance onto the surface."""
    for _ in range(steps):
        sdf, slope = _sdf(model, points, code)
        step = sdf[:, None] * slope / slope.square().sum(dim=1, keepdim=True).clamp_min(1e-12)
        points = points - step * (MAX_STEP / step.norm(dim=1, keepdim=True).clamp_min(MAX_STEP))
    return points


def _sdf(
    model: ForwardAvatarModel, points: torch.Tensor, code: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Signed distance `[N]` at canonical points, and its gradient `[N, 3]`."""
    with torch.enable_grad():
        x = points.detach().requires_grad_()
        sdf = model.geometry(x, code).sdf
        (slope,) = torch.autograd.grad(sdf.sum(), x)
    return sdf.detach(), slope


class BakedLandmarks:
    """Landmarks of a baked avatar: the points of its surface nearest to the canonical landmarks.

    Args:
        avatar: the avatar.
        points: canonical landmarks, from `canonical_landmarks`.
    """

    def __init__(self, avatar: Avatar, points: Float32[Array, "70 3"]) -> None:
        corners, weights = nearest_on_mesh(avatar, points)
        self._avatar = avatar
        self._rest, self._expression, self._pose, self._weights = (
            np.einsum("...nk,nk->...n", field[..., corners], weights)
            for field in (
                avatar.rest,
                avatar.expression_basis,
                avatar.pose_basis,
                avatar.skin_weights,
            )
        )

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


def nearest_on_mesh(
    avatar: Avatar, points: Float32[Array, "N 3"]
) -> tuple[Int32[Array, "N 3"], Float32[Array, "N 3"]]:
    """The points of the canonical mesh nearest to `points`.

    Returns:
        The corners of the face of each, and its barycentric coordinates.
    """
    igl = require("igl", extra="train")
    vertices = np.ascontiguousarray(avatar.canonical.T, dtype=np.float64)
    faces = np.ascontiguousarray(avatar.faces, dtype=np.int64)
    _, face, nearest = igl.point_mesh_squared_distance(points.astype(np.float64), vertices, faces)
    corners = faces[face]
    a, b, c = (np.ascontiguousarray(vertices[corners[:, k]]) for k in range(3))
    weights = igl.barycentric_coordinates(nearest, a, b, c)
    return corners.astype(np.int32), weights.astype(np.float32)
