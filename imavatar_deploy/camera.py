"""Camera: the published dataset's own convention, and a sensible view when none is given."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .avatar import Avatar
from .checks import as_float32
from .conventions import BONES
from .errors import InputError
from .kinematics import rotations

ORTHONORMAL = 1e-2
"""How far from a rotation a camera's matrix may be: trackers write few digits."""


@dataclass(frozen=True)
class Camera:
    """A pinhole camera that looks along its own -Z with +Y up.

    A point x of model space lands at column `cx W - fx W x_c / z_c` and row `cy H + fy H y_c / z_c`, where
    (x_c, y_c, z_c) = R x + t and z_c < 0 in front of the camera. Pixel centres are at **integer** coordinates, as in
    the published ray generator, which adds no half.
    """

    world_to_camera: NDArray[np.float32]
    """[3, 4]: rotation and translation, model units."""
    intrinsics: NDArray[np.float32]
    """[4]: fx, fy, cx, cy as fractions of the image's width and height; fx and fy positive."""

    def __post_init__(self) -> None:
        object.__setattr__(
            self, "world_to_camera", as_float32("world_to_camera", self.world_to_camera, (3, 4))
        )
        object.__setattr__(self, "intrinsics", as_float32("intrinsics", self.intrinsics, (4,)))
        rotation = self.world_to_camera[:, :3]
        if (
            np.abs(rotation @ rotation.T - np.eye(3)).max() > ORTHONORMAL
            or np.linalg.det(rotation) < 0
        ):
            raise InputError(
                f"world_to_camera must begin with a rotation, got {rotation.tolist()}; check its axes"
            )
        if (self.intrinsics[:2] <= 0).any():
            raise InputError(
                f"camera focal lengths must be positive fractions of the image, got {self.intrinsics[:2].tolist()}"
            )

    @classmethod
    def from_dataset(cls, world_mat: Any, intrinsics: Any) -> Camera:
        """From `world_mat` (3 x 4, world to camera) and `intrinsics` as `flame_params.json` spells them.

        The file stores fx with a negative sign; an `intrinsics[3]` above 1 means pixels of a 512-pixel image (the old
        spelling).
        """
        values = as_float32("intrinsics", intrinsics, (4,)).copy()
        if values[3] > 1.0:
            values /= 512.0
        values[0] = abs(values[0])
        rows = as_float32("world_mat", world_mat, ("n", 4), "n is 3, or 4 with the row 0 0 0 1")
        return cls(rows[:3], values)

    @classmethod
    def looking_at(
        cls, centre: Any, *, distance: float = 4.0, extent: float = 2.0, yaw: float = 0.0
    ) -> Camera:
        """A camera `distance` units in front of `centre` that shows `extent` units, turned by `yaw` radians."""
        cos, sin = np.cos(yaw), np.sin(yaw)
        rotation = np.array([[cos, 0.0, -sin], [0.0, 1.0, 0.0], [sin, 0.0, cos]], dtype=np.float32)
        translation = -rotation @ as_float32("centre", centre, (3,)) - np.array(
            [0.0, 0.0, distance], dtype=np.float32
        )
        focal = distance / extent
        return cls(
            np.column_stack([rotation, translation]),
            np.array([focal, focal, 0.5, 0.5], dtype=np.float32),
        )

    @property
    def centre(self) -> NDArray[np.float32]:
        """[3] the camera's position in model space."""
        return np.asarray(
            -self.world_to_camera[:, :3].T @ self.world_to_camera[:, 3], dtype=np.float32
        )

    def image_matrix(self, width: int, height: int) -> NDArray[np.float32]:
        """[3, 4] projective map: (column w, row w, w) = M [x; 1] with w = -z_c, the depth in front of the camera."""
        fx, fy, cx, cy = self.intrinsics * np.array(
            [width, height, width, height], dtype=np.float32
        )
        to_pixels = np.array([[fx, 0.0, -cx], [0.0, -fy, -cy], [0.0, 0.0, -1.0]], dtype=np.float32)
        return np.ascontiguousarray(to_pixels @ self.world_to_camera)


# Framing: the view of an avatar when no camera is given, and square pixels in images that are not square.


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
