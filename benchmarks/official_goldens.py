"""Reads renders of the official code from the reference data, and compares others with them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.camera import Camera
from imavatar_deploy.fidelity.image_metrics import iou, normal_angle, psnr

RUN_FOLDER = "experiments/openhead/IMavatar/train0/train"
"""Folder of the rendered checkpoint in the reference data."""


def golden_camera(data: Mapping[str, NDArray[Any]], size: int) -> Camera:
    """Camera of a golden.

    Args:
        size: pixels a side of the image that the intrinsics belong to.
    """
    fx, fy, cx, cy = (
        data["intrinsics"][index] / size for index in ((0, 0), (1, 1), (0, 2), (1, 2))
    )
    world_to_camera = np.linalg.inv(data["cam_pose"] if "cam_pose" in data else np.eye(4))[:3]
    if "camera_center" in data:
        world_to_camera[:, 3] = -np.asarray(data["camera_center"])
    return Camera(world_to_camera, np.array([abs(fx), fy, cx, cy]))


@dataclass(frozen=True)
class OfficialFrame:
    """One render of the official code, a square image."""

    name: str
    size: int
    camera: Camera
    expression: NDArray[np.float32]  # [50]
    pose: NDArray[np.float32]  # [15]
    rgb: NDArray[np.float32]  # [H, W, 3] in 0..1
    normal: NDArray[np.float32]  # [H, W, 3]
    mask: NDArray[np.bool_]  # [H, W]
    seconds: float  # time of the official code on two threads

    @classmethod
    def read(cls, golden: Path) -> OfficialFrame:
        with np.load(golden) as data:
            size = int(data["img_res"])
            return cls(
                golden.stem.removeprefix("f_render_"),
                size,
                golden_camera(data, size),
                data["expression"],
                data["flame_pose"],
                (data["rgb_values"].reshape(size, size, 3) + 1.0) / 2.0,
                data["normal_values"].reshape(size, size, 3),
                data["network_object_mask"].reshape(size, size),
                float(data["seconds"]),
            )


def official_frames(reference: Path) -> Iterator[OfficialFrame]:
    for golden in sorted((reference / "golden").glob("f_render_*.npz")):
        yield OfficialFrame.read(golden)


@dataclass(frozen=True)
class Fidelity:
    """Metrics of a render against the official one of the same frame."""

    psnr: float  # dB inside the common mask
    iou: float
    normal_angle: float  # median, degrees

    @classmethod
    def of(
        cls,
        official: OfficialFrame,
        rgb: NDArray[Any],
        normal: NDArray[Any],
        mask: NDArray[np.bool_],
    ) -> Fidelity:
        common = official.mask & mask
        angles = normal_angle(normal, official.normal, common)
        return cls(
            psnr(rgb, official.rgb, common), iou(mask, official.mask), float(np.median(angles))
        )
