"""Held-out frames: pictures of the person that a refined student is measured on, in a folder.

A refined student is fitted to pictures and no longer follows the implicit renders. Its reference is
therefore a few small pictures that the refinement did not use.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from imavatar_deploy.arrays import Array, Bool, Float32, UInt8
from imavatar_deploy.avatar_io import AvatarFolder
from imavatar_deploy.checks import ensure_shape
from imavatar_deploy.errors import InputError
from imavatar_deploy.untrusted.npz import npz_sizes, read_npz

from .reference_frames import MASK, from_differences, mouth_masks, neighbour_differences
from .stage_metrics import FrameImages, frame_images

HELD_OUT_FILE = "golden/held_out.npz"
"""Place of the held-out frames in an avatar folder; it has them if its student is refined."""

REFINED_SHEET = "golden/refined.jpg"
"""Place of a sheet of held-out frames beside the distilled and the refined student; an avatar
folder has it if a refinement was tried."""

HELD_OUT = "held-out images"
"""Name of the reference of the stage `refined`."""


@dataclass(frozen=True)
class HeldOutFrames:
    """T pictures of N x N pixels with the expressions, poses and cameras that they show.

    Raises:
        InputError: the shapes of the arrays do not agree.
    """

    expression: Float32[Array, "T E"]
    pose: Float32[Array, "T 15"]
    image_matrix: Float32[Array, "T 3 4"]
    """Projections to the pixels of the pictures, see `Camera.image_matrix`."""
    rgb: UInt8[Array, "T N N 3"]
    regions: UInt8[Array, "T N N"]
    """Bits `reference_frames.MASK` and `MOUTH`."""

    def __post_init__(self) -> None:
        ensure_shape("held-out rgb", self.rgb, ("T", "N", "N", 3))
        frames, size = self.rgb.shape[:2]
        ensure_shape("held-out regions", self.regions, (frames, size, size))
        ensure_shape("held-out expressions", self.expression, (frames, "E"))
        ensure_shape("held-out poses", self.pose, (frames, 15))
        ensure_shape("held-out image matrices", self.image_matrix, (frames, 3, 4))

    @property
    def size(self) -> int:
        """Side of the pictures in pixels, N."""
        return int(self.rgb.shape[1])

    @property
    def mouths(self) -> list[Bool[Array, "N N"]]:
        """Mask of the mouth region in each picture."""
        return mouth_masks(self.regions)

    def pictures(self) -> list[FrameImages]:
        """Return the pictures in float. Their normals are not known and not a number."""
        rows = zip(self.rgb / np.float32(255.0), self.regions & MASK, strict=True)
        unknown = np.full(self.rgb.shape[1:], np.nan, dtype=np.float32)
        return [frame_images(rgb, unknown, mask > 0) for rgb, mask in rows]


def write_held_out(folder: Path, frames: HeldOutFrames) -> None:
    """Write held-out frames into an avatar folder."""
    (folder / "golden").mkdir(exist_ok=True)
    with (folder / HELD_OUT_FILE).open("wb") as file:
        arrays = {**vars(frames), "rgb": neighbour_differences(frames.rgb)}
        np.savez_compressed(file, **arrays)


def read_held_out(path: Path) -> HeldOutFrames:
    """Read held-out frames from a file.

    Raises:
        InputError: the file cannot be read or its arrays do not agree.
    """
    try:
        arrays: dict[str, Any] = dict(read_npz(path, npz_sizes(path)))
        arrays["rgb"] = from_differences(arrays["rgb"])
        return HeldOutFrames(**arrays)
    except Exception as error:
        raise InputError(
            f"{path} has no usable held-out frames ({error}); export the avatar again"
        ) from error


def is_refined(folder: AvatarFolder) -> bool:
    """Return whether the folder's student is refined on images."""
    return HELD_OUT_FILE in folder.manifest["files"]
