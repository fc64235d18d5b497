"""Run an avatar's ONNX graphs without this package.

Shows what the graphs take and give. texture.onnx colours points from a code, a normal and a
condition; animate.onnx, which `--format onnx` brings, poses the head. A folder without it is shown
at rest.

    python examples/12_onnx_runtime_alone.py [FOLDER] [AVATAR]

Needs: numpy, onnxruntime, opencv-python-headless and safetensors; an avatar folder, by default the
bundled sample of an installed imavatar-deploy. Writes 12_triangles.png.
"""

import sys
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
from safetensors.numpy import load_file

OUT = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "out"
if OUT.is_file() or sys.argv[-1].startswith("-"):
    sys.exit(__doc__)
PACKAGE = Path(find_spec("imavatar_deploy").origin).parent  # found, not imported
AVATAR = Path(sys.argv[2]) if len(sys.argv) > 2 else PACKAGE / "assets" / "sample_avatar"
SIZE = 320


def run(graph, **inputs):
    """The outputs of a graph by name."""
    session = onnxruntime.InferenceSession(AVATAR / graph, providers=["CPUExecutionProvider"])
    outputs = [output.name for output in session.get_outputs()]
    return dict(zip(outputs, session.run(outputs, inputs), strict=True))


arrays = load_file(AVATAR / "arrays.safetensors")
faces = arrays["faces"]  # [F, 3]
expression, pose = np.zeros((1, 50), np.float32), np.zeros((1, 15), np.float32)
pose[0, 1], pose[0, 6] = 0.5, 0.25  # turn the head, open the jaw; radians
if (AVATAR / "animate.onnx").is_file():
    posed = run("animate.onnx", expression=expression, pose=pose)
    vertices, normals = (posed[name][0].T for name in ("vertices", "normals"))  # [3, V] -> [V, 3]
else:
    vertices = arrays["rest"].T
    a, b, c = vertices[faces].transpose(1, 0, 2)
    normals = np.zeros_like(vertices)
    for corner in faces.T:
        np.add.at(normals, corner, np.cross(b - a, c - a))
    normals = normals / np.linalg.norm(normals, axis=1, keepdims=True).clip(1e-9)
    normals = normals + arrays["normal_detail"].T  # what the mesh's own normals lack
normals = np.float32(normals / np.linalg.norm(normals, axis=1, keepdims=True).clip(1e-9))

condition = np.concatenate([expression, pose[:, 6:9]], axis=1)  # [1, 53]
colours = run("texture.onnx", code=arrays["texture_code"], normal=normals, condition=condition)
rgb = colours["rgb"]  # [V, 3] in 0..1
print(f"{AVATAR.name}: {len(rgb)} points, mean colour {rgb.mean(axis=0).round(3)}")

top, image = vertices[:, 1].max() + 0.05, np.full((SIZE, SIZE, 3), 255, np.uint8)
pixels = SIZE / 1.3 * np.column_stack([vertices[:, 0] + 0.65, top - vertices[:, 1]])
bgr = 255 * rgb[faces].mean(axis=1)[:, ::-1]
for face in np.argsort(vertices[faces, 2].mean(axis=1)):  # far triangles first
    cv2.fillConvexPoly(image, np.rint(pixels[faces[face]]).astype(np.int32), bgr[face].tolist())
OUT.mkdir(parents=True, exist_ok=True)
cv2.imwrite(str(OUT / "12_triangles.png"), image)
