"""Export an avatar from Python, and look at what it lost.

Shows `export_avatar`, `ExportSettings` and `read_fidelity`. The settings are coarse, so that the
example takes seconds; leave out all but `formats` for the real thing. Every export is compared with
the networks it came from; one that misses its tolerances is withheld with a `QualityError`. A
coarse one needs tolerances of its own, a TOML file with what differs from the defaults.

    python examples/07_export_an_avatar.py [FOLDER]

Needs: pip install 'imavatar-deploy[cpu,export]'. Writes 07_avatar/, an avatar folder that every
command takes (imavatar-run, imavatar-verify, ...), and 07_avatar.png.
"""

import sys
from pathlib import Path

import cv2
import numpy as np

from imavatar_deploy.exporters import ExportSettings, FidelitySettings, export_avatar
from imavatar_deploy.fidelity import read_fidelity
from imavatar_deploy.runtime import Player

OUT = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "out"
if OUT.is_file() or sys.argv[-1].startswith("-"):
    sys.exit(__doc__)
TOLERANCES = """
[baked]
psnr = 24.0
worst_psnr = 20.0
ssim = 0.9
normal_angle = 5.0
worst_iou = 0.9
mouth_psnr = 15.0
"""

OUT.mkdir(parents=True, exist_ok=True)
tolerances = OUT / "07_tolerances.toml"
tolerances.write_text(TOLERANCES)
settings = ExportSettings(
    formats=("player",),  # EXPORT_FORMATS has all names
    resolution=64,  # cells a side of the extraction
    faces=8_000,
    student=None,  # the tiny network that a CPU draws with takes a minute to train
    overwrite=True,
    proof=FidelitySettings(size=32, tolerances=tolerances),
)
report = export_avatar("sample", OUT / "07_avatar", settings, say=print)

print("tolerances missed:", report.problems() or "none")
baked = read_fidelity(OUT / "07_avatar").stage("baked").measures  # what the folder keeps of it
print(f"implicit -> baked: {baked['psnr']:.1f} dB, normals {baked['normal_angle']:.1f} degrees")
pose = np.zeros(15)
pose[1] = 0.4  # turn the head, radians
with Player(OUT / "07_avatar", size=256, shading="pixel", background="#ffffff") as player:
    images = [player.render(np.zeros(50), turn) for turn in (-pose, np.zeros(15), pose)]
cv2.imwrite(str(OUT / "07_avatar.png"), np.hstack(images)[..., 2::-1])
