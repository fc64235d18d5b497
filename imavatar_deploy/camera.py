"""Camera: the published dataset's own convention, and a sensible view when none is given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.checks import as_float32
from imavatar_deploy.errors import InputError

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
        object.__setattr__(self, "world_to_camera", as_float32("world_to_camera", self.world_to_camera, (3, 4)))
        object.__setattr__(self, "intrinsics", as_float32("intrinsics", self.intrinsics, (4,)))
        rotation = self.world_to_camera[:, :3]
        if np.abs(rotation @ rotation.T - np.eye(3)).max() > ORTHONORMAL or np.linalg.det(rotation) < 0:
            raise InputError(f"world_to_camera must begin with a rotation, got {rotation.tolist()}; check its axes")
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
    def looking_at(cls, centre: Any, *, distance: float = 4.0, extent: float = 2.0, yaw: float = 0.0) -> Camera:
        """A camera `distance` units in front of `centre` that shows `extent` units, turned by `yaw` radians."""
        cos, sin = np.cos(yaw), np.sin(yaw)
        rotation = np.array([[cos, 0.0, -sin], [0.0, 1.0, 0.0], [sin, 0.0, cos]], dtype=np.float32)
        translation = -rotation @ as_float32("centre", centre, (3,)) - np.array([0.0, 0.0, distance], dtype=np.float32)
        focal = distance / extent
        return cls(np.column_stack([rotation, translation]), np.array([focal, focal, 0.5, 0.5], dtype=np.float32))

    @property
    def centre(self) -> NDArray[np.float32]:
        """[3] the camera's position in model space."""
        return np.asarray(-self.world_to_camera[:, :3].T @ self.world_to_camera[:, 3], dtype=np.float32)

    def image_matrix(self, width: int, height: int) -> NDArray[np.float32]:
        """[3, 4] projective map: (column w, row w, w) = M [x; 1] with w = -z_c, the depth in front of the camera."""
        fx, fy, cx, cy = self.intrinsics * np.array([width, height, width, height], dtype=np.float32)
        to_pixels = np.array([[fx, 0.0, -cx], [0.0, -fy, -cy], [0.0, 0.0, -1.0]], dtype=np.float32)
        return np.ascontiguousarray(to_pixels @ self.world_to_camera)
