"""A baked avatar beside the official code's renders of the same checkpoint, per frame.

    python benchmarks/official_frames.py AVATAR REFERENCE

AVATAR is an export of the official-layout checkpoint in REFERENCE, the folder of data from the
official code, with its goldens `f_render_*.npz`. Columns: PSNR inside the common mask, mask IoU,
median normal angle, and the time of both.
"""

from __future__ import annotations

import sys
from pathlib import Path

from official_goldens import Fidelity, OfficialFrame, official_frames

from imavatar_deploy.avatar_io import open_avatar
from imavatar_deploy.runtime import Player


def measure(avatar: Path, official: OfficialFrame) -> tuple[Fidelity, float]:
    """Render a frame from the baked avatar per pixel; returns its fidelity and the seconds."""
    frame = official.expression, official.pose, official.camera
    with Player(avatar, size=official.size, shading="pixel", antialias="none") as player:
        player.render(*frame)
        image, stage_times = player.render_timed(*frame)
        normals = player.normals(*frame)
    fidelity = Fidelity.of(official, image[..., :3] / 255.0, normals, image[..., 3] > 0)
    return fidelity, sum(stage_times.values())


def main(avatar: Path, reference: Path) -> None:
    faces = len(open_avatar(avatar).avatar.faces)
    print(f"{avatar}: {faces} faces, full texture network per pixel")
    print("| frame | PSNR in the common mask | mask IoU | median normal angle | baked | official |")
    print("|---|---|---|---|---|---|")
    for official in official_frames(reference):
        row, seconds = measure(avatar, official)
        print(
            f"| {official.name} | {row.psnr:.1f} dB | {row.iou:.4f} | {row.normal_angle:.2f}° "
            f"| {1e3 * seconds:.1f} ms | {official.seconds:.0f} s |"
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
