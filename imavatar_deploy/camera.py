"""Camera: a pinhole camera in the published dataset's convention, default framing and orbiting."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .arrays import Array, Float32
from .avatar import Avatar
from .checks import as_float32
from .conventions import BONES
from .errors import InputError
from .kinematics import rotations

ORTHONORMALITY_TOLERANCE = 1e-2
"""Largest accepted entry of |R R^T - 1|: trackers write rotations with few digits."""

MARGIN = 1.35
"""The default view shows this many times the longer side of the head: room to turn, and for hair in
motion."""

RECORDED_FOCAL = 1.0
"""Assumed focal length of a picture as a camera records it, in its longer sides: a field of view of
53 degrees, between that of a phone (65 degrees) and a portrait lens."""

SQUARE_FOCAL = 3.0
"""Assumed focal length of a square picture, in its sides: it has been cut around a head, as the
published data have, and shows 19 degrees."""

LENS_TOLERANCE = 0.05
"""Relative difference of fx and fy up to which a lens is that of a square picture. The published
files state up to 3.4 %; the nearest usual shape of a picture, 5:4, differs by 25 %."""

SQUARE_TOLERANCE = 0.02
"""Relative difference of the sides of a picture up to which it counts as square."""


def default_focal(width: int, height: int) -> float:
    """Return the focal length in pixels that is assumed where a picture does not state it.

    Landmarks of a face hardly determine it. `RECORDED_FOCAL` times the longer side, or
    `SQUARE_FOCAL` times the side of a square picture.
    """
    longer, shorter = max(width, height), min(width, height)
    is_square = longer - shorter <= SQUARE_TOLERANCE * longer
    return (SQUARE_FOCAL if is_square else RECORDED_FOCAL) * longer


@dataclass(frozen=True)
class Camera:
    """A pinhole camera that looks along its own -Z with +Y up.

    A point x of model space lands at column `cx W - fx W x_c / z_c` and row
    `cy H + fy H y_c / z_c`, where (x_c, y_c, z_c) = R x + t and z_c < 0 in front of the camera.
    Pixel centres are at **integer** coordinates, as in the published ray generator, which adds no
    half.

    Raises:
        InputError: a value is not finite, the matrix does not begin with a rotation, or a focal
            length is not positive.
    """

    world_to_camera: Float32[Array, "3 4"]
    """Rotation and translation, model units."""
    intrinsics: Float32[Array, "4"]
    """fx, fy, cx, cy as fractions of the image's width and height; fx and fy are positive."""

    def __post_init__(self) -> None:
        object.__setattr__(
            self, "world_to_camera", as_float32("world_to_camera", self.world_to_camera, (3, 4))
        )
        object.__setattr__(self, "intrinsics", as_float32("intrinsics", self.intrinsics, (4,)))
        rotation = self.world_to_camera[:, :3]
        if (
            np.abs(rotation @ rotation.T - np.eye(3)).max() > ORTHONORMALITY_TOLERANCE
            or np.linalg.det(rotation) < 0
        ):
            raise InputError(
                f"world_to_camera must begin with a rotation, got {rotation.tolist()}; "
                "check its axes"
            )
        if (self.intrinsics[:2] <= 0).any():
            raise InputError(
                "camera focal lengths must be positive fractions of the image, "
                f"got {self.intrinsics[:2].tolist()}"
            )

    @classmethod
    def from_dataset(cls, world_mat: Any, intrinsics: Any) -> Camera:
        """Construct a camera from the values of a `flame_params.json`.

        The file stores fx with a negative sign. An `intrinsics[3]` above 1 means pixels of a
        512-pixel image, the older form of the file.

        Args:
            world_mat: `[3, 4]` world to camera, or `[4, 4]` with the row 0 0 0 1.
            intrinsics: `[4]`.

        Raises:
            InputError: the values are not those of a camera.
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
        """Construct a camera in front of a point.

        Args:
            centre: `[3]` the point, model units.
            distance: from the point to the camera, model units.
            extent: width of the visible part of the plane through the point, model units.
            yaw: radians by which the camera is turned about the vertical axis through the point.
        """
        cos = np.cos(yaw)
        sin = np.sin(yaw)
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
    def centre(self) -> Float32[Array, "3"]:
        """Position of the camera in model space, `[3]`."""
        return np.asarray(
            -self.world_to_camera[:, :3].T @ self.world_to_camera[:, 3], dtype=np.float32
        )

    def image_matrix(self, width: int, height: int) -> Float32[Array, "3 4"]:
        """Return the projection M to pixels, `[3, 4]`.

        (column w, row w, w) = M [x; 1] with w = -z_c, the depth in front of the camera.
        """
        fx, fy, cx, cy = self.intrinsics * np.array(
            [width, height, width, height], dtype=np.float32
        )
        to_pixels = np.array([[fx, 0.0, -cx], [0.0, -fy, -cy], [0.0, 0.0, -1.0]], dtype=np.float32)
        return np.ascontiguousarray(to_pixels @ self.world_to_camera)


def front_camera(avatar: Avatar, vertices: Float32[Array, "V 3"]) -> Camera:
    """Return the default view: from +Z, at the distance of the published cameras.

    It frames the vertices that follow the neck, jaw or eye bones, or all where there are none.

    Args:
        vertices: `[V, 3]` of the neutral face, model units.
    """
    follows = avatar.skin_weights[-len(BONES) + 1 :].sum(axis=0) > 0.5
    head = vertices[follows] if follows.any() else vertices
    low = head.min(axis=0)
    high = head.max(axis=0)
    extent = MARGIN * float((high - low)[:2].max())
    return Camera.looking_at((low + high) / 2, extent=max(extent, 1e-3))


def picture_aspect(camera: Camera) -> float:
    """Return width / height of the picture that a camera was made for.

    Pixels are square, so fx W = fy H. A lens within `LENS_TOLERANCE` of a square picture's is taken
    for one: trackers estimate fx and fy apart.
    """
    fx, fy = camera.intrinsics[:2].tolist()
    aspect = fy / fx
    return 1.0 if abs(aspect - 1) <= LENS_TOLERANCE else aspect


def with_square_pixels(camera: Camera, width: int, height: int) -> Camera:
    """Adapt a camera to an image of another shape than that of its own picture.

    Nothing is stretched and nothing is cut: the whole picture is in the image, which shows more of
    the scene along the side that the picture leaves empty. At the shape of the picture the camera
    stays as it is.
    """
    aspect = picture_aspect(camera)
    across = min(1.0, aspect * height / width)
    down = min(1.0, width / (aspect * height))
    fx, fy, cx, cy = camera.intrinsics
    fitted = [fx * across, fy * down, 0.5 + (cx - 0.5) * across, 0.5 + (cy - 0.5) * down]
    return replace(camera, intrinsics=np.array(fitted, dtype=np.float32))


def orbited(camera: Camera, *, yaw: float, pitch: float, zoom: float) -> Camera:
    """Turn a camera about the point in the middle of its view, and enlarge its image.

    The point lies as far in front of the camera as the origin of model space is away.

    Args:
        yaw: radians about the model's vertical axis; positive moves the camera to its right.
        pitch: radians; positive moves the camera up.
        zoom: enlargement; 2 shows everything twice as large.
    """
    if (yaw, pitch, zoom) == (0.0, 0.0, 1.0):
        return camera
    rotation = camera.world_to_camera[:, :3]
    translation = camera.world_to_camera[:, 3]
    pivot = np.array([0.0, 0.0, -np.linalg.norm(camera.centre)], dtype=np.float32)
    turned = _about(0, pitch) @ rotation @ _about(1, -yaw)
    focus = rotation.T @ (pivot - translation)
    focal = np.array([zoom, zoom, 1.0, 1.0], dtype=np.float32)
    return Camera(np.column_stack([turned, pivot - turned @ focus]), camera.intrinsics * focal)


def _about(axis: int, angle: float) -> Float32[Array, "3 3"]:
    """Return the rotation matrix about one of the coordinate axes."""
    return np.asarray(rotations(angle * np.eye(3, dtype=np.float32)[axis])[0])
