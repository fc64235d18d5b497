"""Bake a motion into mesh sequences on several cores.

Shows `bake_sequences`: a motion as a PC2 point cache (Blender, Maya, Houdini, 3ds Max) and as a PLY
file a frame. An interrupted bake goes on with `resume=True`, to the same bytes; so do bakes on
another number of cores.

    python examples/10_bake_sequences.py [FOLDER]

Needs: pip install 'imavatar-deploy[cpu]', no torch. Writes 10_baked/ and 10_motion.png: how far
every vertex moves.
"""

import sys
from pathlib import Path

import cv2
import numpy as np

from imavatar_deploy.exporters import SEQUENCE_FORMATS, bake_sequences

OUT = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "out"
if OUT.is_file() or sys.argv[-1].startswith("-"):
    sys.exit(__doc__)

OUT.mkdir(parents=True, exist_ok=True)
print("formats:", ", ".join(SEQUENCE_FORMATS))
report = bake_sequences(
    "sample",
    "talk",
    OUT / "10_baked",
    ["ply", "pc2"],
    frames=slice(0, 60),
    fps=30.0,  # the motion keeps its speed
    jobs=2,
    overwrite=True,
)
rate = report.frames / report.seconds
print(f"{report.frames} frames of {report.vertices} vertices, {rate:.0f} a second")

cache = np.fromfile(OUT / "10_baked" / "head.pc2", "<f4", offset=32)
points = cache.reshape(report.frames, report.vertices, 3)  # metres, +Y up, facing +Z
path = 1000 * np.linalg.norm(points - points[0], axis=2).max(axis=0)  # [V] millimetres
print(f"the farthest vertex moves {path.max():.1f} mm")

neutral = points[0]
low, high = neutral[:, :2].min(axis=0), neutral[:, :2].max(axis=0)
pixels = np.rint(20 + 360 * (neutral[:, :2] - low) / (high - low).max()).astype(int)
image = np.full((400, 400, 3), 255, np.uint8)
heat = cv2.applyColorMap(np.uint8(255 * path / path.max())[:, None], cv2.COLORMAP_VIRIDIS)[:, 0]
for vertex in np.argsort(neutral[:, 2]):  # far vertices first
    column, row = int(pixels[vertex, 0]), 399 - int(pixels[vertex, 1])
    cv2.circle(image, (column, row), 4, heat[vertex].tolist(), -1)
cv2.imwrite(str(OUT / "10_motion.png"), image)
