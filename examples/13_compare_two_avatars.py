"""Compare two avatars: their fidelity reports, and the same frames side by side.

Shows `read_fidelity` and the image metrics. The second avatar is by default that of example 07, a
coarse export of the same checkpoint, which is made here when it is not there yet.

    python examples/13_compare_two_avatars.py [FOLDER] [AVATAR] [AVATAR]

Needs: pip install 'imavatar-deploy[cpu]', and [export] to make the second avatar. Writes
13_side_by_side.png: first, second, and their difference, 4 times.
"""

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np

from imavatar_deploy import read_track
from imavatar_deploy.fidelity import iou, psnr, read_fidelity, ssim
from imavatar_deploy.runtime import Player

OUT = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "out"
if OUT.is_file() or sys.argv[-1].startswith("-"):
    sys.exit(__doc__)
FIRST = sys.argv[2] if len(sys.argv) > 2 else "sample"
SECOND = Path(sys.argv[3]) if len(sys.argv) > 3 else OUT / "07_avatar"

if not SECOND.exists():
    export = Path(__file__).with_name("07_export_an_avatar.py")
    subprocess.run([sys.executable, str(export), str(OUT)], check=True)

for avatar in (FIRST, SECOND):
    for stage in read_fidelity(avatar).stages:
        if not stage.not_run:
            print(f"{avatar}: {stage.start} -> {stage.end} {stage.measures['psnr']:.1f} dB")

rows = []
with (
    Player(FIRST, size=224, shading="pixel") as first,
    Player(SECOND, size=224, shading="pixel") as second,
):
    for frame in read_track("talk").select(slice(20, 200, 60)).frames():
        pair = [
            player.render(frame.expression, frame.pose, first.camera) for player in (first, second)
        ]
        a, b = (image[..., :3] / 255 for image in pair)
        masks = [image[..., 3] > 127 for image in pair]
        both = masks[0] & masks[1]
        print(
            f"frame {frame.name}: PSNR {psnr(a, b, both):.1f} dB, SSIM {ssim(a, b, both):.3f}, "
            f"mask IoU {iou(*masks):.3f}"
        )
        white = [np.where(mask[..., None], x, 1.0) for mask, x in zip(masks, (a, b), strict=True)]
        difference = 1.0 - 4.0 * np.abs(white[0] - white[1])
        rows.append(np.hstack([*white, difference.clip(0.0, 1.0)]))
picture = np.uint8(255 * np.vstack(rows))
cv2.imwrite(str(OUT / "13_side_by_side.png"), picture[..., ::-1])
