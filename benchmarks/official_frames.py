"""A baked avatar beside the official code's own renders of the same checkpoint, frame by frame.

    python benchmarks/official_frames.py AVATAR REFERENCE

AVATAR is an export of the official-layout checkpoint in REFERENCE, the folder of data that the official code computed
(goldens `f_render_*.npz`). Printed for each frame: PSNR inside the common mask, mask IoU, median normal angle, and the
seconds that either needs.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from imavatar_deploy.avatar_io import open_avatar
from imavatar_deploy.camera import Camera
from imavatar_deploy.image_quality import iou, normal_angle, psnr
from imavatar_deploy.runtime import Player


@dataclass(frozen=True)
class FrameFidelity:
    """How one baked frame compares with the official render of it."""

    frame: str
    psnr: float  # dB inside the common mask
    iou: float
    normal_angle: float  # median, degrees
    seconds: float
    official_seconds: float


def measure(avatar: Path, golden: Path) -> FrameFidelity:
    """Render the golden's frame from the baked avatar, per pixel, and compare."""
    data = np.load(golden)
    size = int(data["img_res"])
    fx, fy, cx, cy = (data["intrinsics"][index] / size for index in ((0, 0), (1, 1), (0, 2), (1, 2)))
    camera = Camera(np.linalg.inv(data["cam_pose"])[:3], np.array([abs(fx), fy, cx, cy]))
    with Player(avatar, size=size, shading="pixel") as player:
        player.render(data["expression"], data["flame_pose"], camera)
        image, laps = player.render_timed(data["expression"], data["flame_pose"], camera)
        normals = player.normals(data["expression"], data["flame_pose"], camera)
    mask = data["network_object_mask"].reshape(size, size)
    common = mask & (image[..., 3] > 0)
    official = (data["rgb_values"].reshape(size, size, 3) + 1.0) / 2.0
    angles = normal_angle(normals, data["normal_values"].reshape(size, size, 3), common)
    return FrameFidelity(
        golden.stem.removeprefix("f_render_"),
        psnr(image[..., :3] / 255.0, official, common),
        iou(image[..., 3] > 0, mask),
        float(np.median(angles)),
        sum(laps.values()),
        float(data["seconds"]),
    )


def main(avatar: Path, reference: Path) -> None:
    faces = len(open_avatar(avatar).avatar.faces)
    print(f"{avatar}: {faces} faces, full texture network per pixel")
    print("| frame | PSNR in the common mask | mask IoU | median normal angle | baked | official |")
    print("|---|---|---|---|---|---|")
    for golden in sorted((reference / "golden").glob("f_render_*.npz")):
        row = measure(avatar, golden)
        print(
            f"| {row.frame} | {row.psnr:.1f} dB | {row.iou:.4f} | {row.normal_angle:.2f}° "
            f"| {1e3 * row.seconds:.1f} ms | {row.official_seconds:.0f} s |"
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
