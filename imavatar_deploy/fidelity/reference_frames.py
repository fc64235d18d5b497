"""Reference frames: implicit renders with poses and camera, in one file of an avatar folder.

Colours and normals are rounded to a byte. An export compares with the rounded values, so that a
later check on any machine uses the same reference.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from imavatar_deploy.arrays import Array, Bool, Float32, UInt8
from imavatar_deploy.camera import Camera
from imavatar_deploy.checks import ensure_shape
from imavatar_deploy.errors import InputError
from imavatar_deploy.untrusted.npz import npz_sizes, read_npz

from .stage_metrics import FrameImages, frame_images

REFERENCE_FILE = "golden/implicit.npz"
"""Place of the reference frames in an avatar folder."""

MASK = 1
"""Bit of `regions`: the pixel shows the avatar."""

MOUTH = 2
"""Bit of `regions`: the pixel is in the mouth region."""

LEFT_OUT = 4
"""Bit of `regions`: the baked avatar shows a part there, which the implicit one does not have."""

NORMAL_LEVELS = 127.0
"""Levels of a normal's component from 0 to 1; rounding turns a normal by at most 0.2 degrees."""


@dataclass(frozen=True)
class ReferenceFrames:
    """T frames of N x N pixels with the expressions and poses that they show.

    Raises:
        InputError: the shapes of the arrays do not agree.
    """

    expression: Float32[Array, "T E"]
    pose: Float32[Array, "T 15"]
    camera: Camera
    rgb: UInt8[Array, "T N N 3"]
    normal: UInt8[Array, "T N N 3"]
    """Components -1..1 as 1..255."""
    regions: UInt8[Array, "T N N"]
    """Bits `MASK`, `MOUTH` and `LEFT_OUT`."""

    def __post_init__(self) -> None:
        ensure_shape("proof rgb", self.rgb, ("T", "N", "N", 3))
        frames, size = self.rgb.shape[:2]
        ensure_shape("proof normals", self.normal, (frames, size, size, 3))
        ensure_shape("proof regions", self.regions, (frames, size, size))
        ensure_shape("proof expressions", self.expression, (frames, "E"))
        ensure_shape("proof poses", self.pose, (frames, 15))

    @classmethod
    def blank(
        cls,
        expression: Float32[Array, "T E"],
        pose: Float32[Array, "T 15"],
        camera: Camera,
        size: int,
    ) -> ReferenceFrames:
        """Return empty frames of `size` x `size` pixels, which are yet to be rendered."""
        images = np.zeros((len(pose), size, size, 3), dtype=np.uint8)
        return cls(expression, pose, camera, images, images, images[..., 0])

    @classmethod
    def of(
        cls,
        expression: Float32[Array, "T E"],
        pose: Float32[Array, "T 15"],
        camera: Camera,
        pictures: list[FrameImages],
        mouths: list[Bool[Array, "N N"]],
    ) -> ReferenceFrames:
        """Round rendered frames to bytes.

        Args:
            pictures: T rendered frames.
            mouths: T masks `[N, N]` of the mouth region.
        """
        masks = np.stack([picture.mask for picture in pictures])
        regions = MASK * masks.astype(np.uint8) + MOUTH * (masks & np.stack(mouths)).astype(
            np.uint8
        )
        normal = np.rint(
            NORMAL_LEVELS * np.stack([picture.normal for picture in pictures]) + NORMAL_LEVELS + 1
        )
        rgb = np.rint(255.0 * np.clip(np.stack([picture.rgb for picture in pictures]), 0, 1))
        return cls(
            expression,
            pose,
            camera,
            rgb.astype(np.uint8),
            normal.clip(0, 255).astype(np.uint8),
            regions,
        )

    @property
    def size(self) -> int:
        """Side of the frames in pixels, N."""
        return int(self.rgb.shape[1])

    @property
    def cameras(self) -> tuple[Camera, ...]:
        """The camera of each frame, the same of all."""
        return (self.camera,) * len(self.pose)

    @property
    def image_matrix(self) -> Float32[Array, "T 3 4"]:
        """Projection to pixels of each frame."""
        return np.stack([camera.image_matrix(self.size, self.size) for camera in self.cameras])

    @property
    def mouths(self) -> list[Bool[Array, "N N"]]:
        """Mask of the mouth region in each frame."""
        return mouth_masks(self.regions)

    @property
    def left_out(self) -> list[Bool[Array, "N N"]]:
        """Mask of the pixels in each frame that no comparison with these frames counts."""
        return [(frame & LEFT_OUT) > 0 for frame in self.regions]

    def leaving_out(self, masks: list[Bool[Array, "N N"]]) -> ReferenceFrames:
        """Return the frames with masks of the pixels that no comparison counts.

        Args:
            masks: T masks `[N, N]`.
        """
        bits = LEFT_OUT * np.stack(masks).astype(np.uint8)
        return replace(self, regions=(self.regions & np.uint8(MASK | MOUTH)) | bits)

    def pictures(self) -> list[FrameImages]:
        """Return the frames as images in float."""
        normals = (self.normal.astype(np.float32) - (NORMAL_LEVELS + 1)) / NORMAL_LEVELS
        rows = zip(self.rgb / np.float32(255.0), normals, self.regions & MASK, strict=True)
        return [frame_images(rgb, normal, mask > 0) for rgb, normal, mask in rows]


def mouth_masks(regions: UInt8[Array, "T N N"]) -> list[Bool[Array, "N N"]]:
    """Return the mask of the mouth region in each frame."""
    return [(frame & MOUTH) > 0 for frame in regions]


def neighbour_differences(images: UInt8[Array, "T N N 3"]) -> UInt8[Array, "T N N 3"]:
    """Return the differences of neighbouring pixels, which compress twice as well as images."""
    return np.diff(images, axis=2, prepend=np.uint8(0))


def from_differences(differences: UInt8[Array, "T N N 3"]) -> UInt8[Array, "T N N 3"]:
    """Return the images of `neighbour_differences`."""
    return np.cumsum(differences, axis=2, dtype=np.uint8)


def write_reference(folder: Path, reference: ReferenceFrames) -> None:
    """Write reference frames into an avatar folder."""
    (folder / "golden").mkdir(exist_ok=True)
    with (folder / REFERENCE_FILE).open("wb") as file:
        np.savez_compressed(
            file,
            expression=reference.expression,
            pose=reference.pose,
            world_to_camera=reference.camera.world_to_camera,
            intrinsics=reference.camera.intrinsics,
            rgb=neighbour_differences(reference.rgb),
            normal=neighbour_differences(reference.normal),
            regions=reference.regions,
        )


def read_reference(path: Path) -> ReferenceFrames:
    """Read reference frames from a file.

    Raises:
        InputError: the file cannot be read or its arrays do not agree.
    """
    try:
        arrays: dict[str, Any] = dict(read_npz(path, npz_sizes(path)))
        camera = Camera(arrays.pop("world_to_camera"), arrays.pop("intrinsics"))
        for name in ("rgb", "normal"):
            arrays[name] = from_differences(arrays[name])
        return ReferenceFrames(camera=camera, **arrays)
    except Exception as error:
        raise InputError(
            f"{path} has no usable implicit renders ({error}); export the avatar again"
        ) from error
