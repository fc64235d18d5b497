"""Reference: the implicit renders of the proof frames, with poses and camera, as a small file in an avatar folder.

Colours and normals are rounded to a byte. An export judges by what it stored, so that a later check on any machine
judges by the very same.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.camera import Camera
from imavatar_deploy.checks import ensure_shape
from imavatar_deploy.errors import InputError
from imavatar_deploy.untrusted.npz import npz_sizes, read_npz

from .stage_metrics import FrameImages, shown

Float = NDArray[np.float32]
Byte = NDArray[np.uint8]

FILE = "golden/implicit.npz"
"""Its place in an avatar folder."""

MASK, MOUTH = 1, 2
"""Bits of `regions`."""

STEPS = 127.0
"""Of a normal's component from 0 to 1; rounding to them turns a normal by 0.2 degrees."""


@dataclass(frozen=True)
class ReferenceFrames:
    """T frames of N x N pixels.

    Raises:
        InputError: the arrays do not belong together.
    """

    expression: Float  # [T, E]
    pose: Float  # [T, 15]
    camera: Camera
    rgb: Byte  # [T, N, N, 3]
    normal: Byte  # [T, N, N, 3] component -1..1 -> 1..255
    regions: Byte  # [T, N, N] bits `MASK` and `MOUTH`

    def __post_init__(self) -> None:
        ensure_shape("proof rgb", self.rgb, ("T", "N", "N", 3))
        frames, size = self.rgb.shape[:2]
        ensure_shape("proof normals", self.normal, (frames, size, size, 3))
        ensure_shape("proof regions", self.regions, (frames, size, size))
        ensure_shape("proof expressions", self.expression, (frames, "E"))
        ensure_shape("proof poses", self.pose, (frames, 15))

    @classmethod
    def blank(cls, expression: Float, pose: Float, camera: Camera, size: int) -> ReferenceFrames:
        """Frames that are still to be drawn in `size` x `size` pixels: they show nothing."""
        images = np.zeros((len(pose), size, size, 3), dtype=np.uint8)
        return cls(expression, pose, camera, images, images, images[..., 0])

    @classmethod
    def of(
        cls,
        expression: Float,
        pose: Float,
        camera: Camera,
        pictures: list[FrameImages],
        mouths: list[NDArray[np.bool_]],
    ) -> ReferenceFrames:
        """Rounded from pictures and, in each, the pixels of the mouth region `[N, N]`."""
        masks = np.stack([picture.mask for picture in pictures])
        regions = MASK * masks.astype(np.uint8) + MOUTH * (masks & np.stack(mouths)).astype(
            np.uint8
        )
        normal = np.rint(STEPS * np.stack([picture.normal for picture in pictures]) + STEPS + 1)
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
        """N."""
        return int(self.rgb.shape[1])

    @property
    def mouths(self) -> list[NDArray[np.bool_]]:
        """[N, N] for each frame, the pixels of the mouth region."""
        return [(regions & MOUTH) > 0 for regions in self.regions]

    def pictures(self) -> list[FrameImages]:
        """The frames as they can be compared."""
        normal = (self.normal.astype(np.float32) - (STEPS + 1)) / STEPS
        rows = zip(self.rgb / np.float32(255.0), normal, self.regions & MASK, strict=True)
        return [shown(rgb, turned, mask > 0) for rgb, turned, mask in rows]


def write_reference(folder: Path, reference: ReferenceFrames) -> None:
    """Store it; rows are kept as differences of neighbours, which pack twice as well."""
    (folder / "golden").mkdir(exist_ok=True)
    with (folder / FILE).open("wb") as file:
        np.savez_compressed(
            file,
            expression=reference.expression,
            pose=reference.pose,
            world_to_camera=reference.camera.world_to_camera,
            intrinsics=reference.camera.intrinsics,
            rgb=np.diff(reference.rgb, axis=2, prepend=np.uint8(0)),
            normal=np.diff(reference.normal, axis=2, prepend=np.uint8(0)),
            regions=reference.regions,
        )


def read_reference(path: Path) -> ReferenceFrames:
    """The reference in a file.

    Raises:
        InputError: it cannot be read or does not fit together.
    """
    try:
        held: dict[str, Any] = dict(read_npz(path, npz_sizes(path)))
        camera = Camera(held.pop("world_to_camera"), held.pop("intrinsics"))
        held |= {name: np.cumsum(held[name], axis=2, dtype=np.uint8) for name in ("rgb", "normal")}
        return ReferenceFrames(camera=camera, **held)
    except Exception as error:
        raise InputError(
            f"{path} has no usable implicit renders ({error}); export the avatar again"
        ) from error
