"""Drive an avatar in real time and receive every image in a callback.

Shows `run_live`: it keeps the time, leaves out images that would be late, and calls a function of
yours with the others. Here the motion is the bundled track; `udp://:9000`, `livelink://:11111` or
an inbox of your own (example 04) take its place.

    python examples/02_drive_by_a_callback.py [FOLDER]

Needs: pip install 'imavatar-deploy[cpu]'. Writes 02_moments.png.
"""

import sys
from pathlib import Path

import cv2
import numpy as np

from imavatar_deploy.runtime import run_live

OUT = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "out"
if OUT.is_file() or sys.argv[-1].startswith("-"):
    sys.exit(__doc__)

OUT.mkdir(parents=True, exist_ok=True)
moments = []


def show(image):
    """Keep every fifth image `[H, W, 4]`; return False to end the run."""
    show.calls += 1
    if show.calls % 5 == 0:
        moments.append(image.copy())
    return len(moments) < 6


show.calls = 0
tally = run_live("sample", "talk", show, fps=25, duration=5, size=192, background="#ffffff")

strip = np.hstack(moments)[..., 2::-1]  # BGR, as OpenCV stores images
cv2.imwrite(str(OUT / "02_moments.png"), strip)
print(f"drew {tally.drawn} images in real time and kept {len(moments)}")
