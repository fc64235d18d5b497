"""Framing: the view of an avatar when no camera is given, and square pixels in images that are not square."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.avatar import Avatar
from imavatar_deploy.camera import Camera
from imavatar_deploy.conventions import BONES
from imavatar_deploy.kinematics import rotations

MARGIN = 1.35
"""The image shows this many times the head's larger side: room to turn and for hair in motion."""


def front_camera(avatar: Avatar, vertices: NDArray[np.float32]) -> Camera:
    """A camera in front of the head (from +Z), as far as the published ones.

    The head is what follows the neck, jaw or eye bones; an avatar without such a part is framed whole.

    Args:
        vertices: `[V, 3]` of the neutral face, model units.
    """
    follows = avatar.skin_weights[-len(BONES) + 1 :].sum(axis=0) > 0.5
    head = vertices[follows] if follows.any() else vertices
    low, high = head.min(axis=0), head.max(axis=0)
    extent = MARGIN * float((high - low)[:2].max())
    return Camera.looking_at((low + high) / 2, extent=max(extent, 1e-3))


def with_square_pixels(camera: Camera, width: int, height: int) -> Camera:
    """A camera of square images, for an image that is wider or higher: nothing is stretched, more is seen."""
    shorter = min(width, height)
    fx, fy, cx, cy = camera.intrinsics
    across, down = shorter / width, shorter / height
    fitted = [fx * across, fy * down, 0.5 + (cx - 0.5) * across, 0.5 + (cy - 0.5) * down]
    return replace(camera, intrinsics=np.array(fitted, dtype=np.float32))


def orbited(camera: Camera, *, yaw: float, pitch: float, zoom: float) -> Camera:
    """A camera turned about what it looks at from its usual distance, and its picture enlarged.

    Args:
        yaw: radians about the model's vertical axis; a positive one goes to the camera's right.
        pitch: radians above.
        zoom: 2 shows everything twice as large.
    """
    if (yaw, pitch, zoom) == (0.0, 0.0, 1.0):
        return camera
    rotation, translation = camera.world_to_camera[:, :3], camera.world_to_camera[:, 3]
    pivot = np.array([0.0, 0.0, -np.linalg.norm(camera.centre)], dtype=np.float32)
    turned = _about(0, pitch) @ rotation @ _about(1, -yaw)
    focus = rotation.T @ (pivot - translation)
    focal = np.array([zoom, zoom, 1.0, 1.0], dtype=np.float32)
    return Camera(np.column_stack([turned, pivot - turned @ focus]), camera.intrinsics * focal)


def _about(axis: int, angle: float) -> NDArray[np.float32]:
    """[3, 3] rotation about one of the axes."""
    return np.asarray(rotations(angle * np.eye(3, dtype=np.float32)[axis])[0])
