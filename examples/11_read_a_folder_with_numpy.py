"""Read an avatar folder with NumPy alone.

Shows that the format is open: arrays.safetensors is a header in JSON and raw numbers. Nothing of
imavatar_deploy is imported; the head is posed by expressions (not by bones, which need a page
more) and drawn as a relief.

    python examples/11_read_a_folder_with_numpy.py [FOLDER] [AVATAR]

Needs: numpy and opencv-python-headless; an avatar folder, by default the bundled sample of an
installed imavatar-deploy. Writes 11_relief.png: neutral, a smile, a pout.
"""

import json
import sys
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np

OUT = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "out"
if OUT.is_file() or sys.argv[-1].startswith("-"):
    sys.exit(__doc__)
PACKAGE = Path(find_spec("imavatar_deploy").origin).parent  # found, not imported
AVATAR = Path(sys.argv[2]) if len(sys.argv) > 2 else PACKAGE / "assets" / "sample_avatar"
SIZE = 256
TYPES = {"F32": "<f4", "F16": "<f2", "I32": "<i4"}

manifest = json.loads((AVATAR / "avatar.json").read_text())
data = (AVATAR / "arrays.safetensors").read_bytes()
length = int.from_bytes(data[:8], "little")
arrays = {}
for name, entry in json.loads(data[8 : 8 + length]).items():
    if name != "__metadata__":
        start, end = (8 + length + offset for offset in entry["data_offsets"])
        flat = np.frombuffer(data[start:end], TYPES[entry["dtype"]])
        arrays[name] = flat.reshape(entry["shape"]).astype(np.float32)
        print(f"{name:18}{entry['dtype']}  {entry['shape']}")
names, faces = manifest["expression_names"], arrays["faces"].astype(int)


def relief(weights):
    """[SIZE, SIZE] the face with these expressions from the front, lit from above."""
    code = np.array([weights.get(name, 0.0) for name in names], np.float32)
    vertices = (arrays["rest"] + np.tensordot(code, arrays["expression_basis"], 1)).T  # [V, 3]
    top = arrays["rest"][1].max()  # model units, 4 a metre; +Y up, the face looks along +Z
    depth = np.full((SIZE, SIZE), -1.0)
    for share in np.random.default_rng(0).dirichlet((1, 1, 1), 60):  # points of every triangle
        points = np.tensordot(share, vertices[faces].transpose(1, 0, 2), 1)  # [F, 3]
        column = np.rint(SIZE * (points[:, 0] + 0.55) / 1.1).astype(int)
        row = np.rint(SIZE * (top + 0.05 - points[:, 1]) / 1.1).astype(int)
        inside = (column >= 0) & (column < SIZE) & (row >= 0) & (row < SIZE)
        np.maximum.at(depth, (row[inside], column[inside]), points[inside, 2])
    depth = cv2.medianBlur(depth.astype(np.float32), 5)
    slope = np.gradient(depth, 1.1 / SIZE)[0]  # up and down
    return np.uint8(np.where(depth > -1.0, (140 + 90 * slope).clip(30, 255), 0))


OUT.mkdir(parents=True, exist_ok=True)
smile = {"mouthSmileLeft": 1.0, "mouthSmileRight": 1.0}
pout = {"browInnerUp": 1.0, "mouthPucker": 1.0}
images = [relief(weights) for weights in ({}, smile, pout)]
cv2.imwrite(str(OUT / "11_relief.png"), np.hstack(images))
