"""An export format of one's own: STL, for a 3D printer.

Shows `ExportFormat` and `register_format`. A format is one function that writes files into the
avatar folder and one that checks them; the export extracts and bakes the surface, and withholds the
folder when a check fails.

    python examples/06_own_export_format.py [FOLDER]

Needs: pip install 'imavatar-deploy[cpu,export]'. Writes 06_print/ with head.stl, in millimetres.
"""

import sys
from pathlib import Path

import numpy as np

from imavatar_deploy.exporters import ExportFormat, ExportSettings, export_avatar, register_format
from imavatar_deploy.fidelity import Tolerance, compare

OUT = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "out"
if OUT.is_file() or sys.argv[-1].startswith("-"):
    sys.exit(__doc__)
TRIANGLE = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
MILLIMETRES = 1000 / 4  # a model unit is a quarter of a metre


def write(folder, subject, progress):
    """Write the head as the networks know it best, in canonical space with the mouth ajar."""
    avatar = subject.bake.avatar  # arrays: canonical [3, V] in model units, faces [F, 3], ...
    corners = avatar.canonical.T[avatar.faces] * MILLIMETRES  # [F, 3, 3]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    triangles = np.zeros(len(corners), TRIANGLE)
    triangles["normal"] = normals / np.linalg.norm(normals, axis=1, keepdims=True).clip(1e-12)
    triangles["corners"] = corners
    header = b"head".ljust(80) + np.uint32(len(triangles)).tobytes()
    (folder / "head.stl").write_bytes(header + triangles.tobytes())
    return {"stl": {"triangles": len(triangles), "units": "millimetres"}}


def check(folder):
    """Read the file back: its normals must have unit length."""
    triangles = np.fromfile(folder / "head.stl", TRIANGLE, offset=84)
    lengths = {"normal lengths": np.linalg.norm(triangles["normal"], axis=1)}
    expected = {"normal lengths": np.ones(len(triangles))}
    return [compare("stl", expected, lengths, {"normal lengths": Tolerance(1e-3)})]


register_format(ExportFormat("stl", "a mesh for 3D printers", (), write, check))

settings = ExportSettings(formats=("stl",), resolution=64, faces=None, overwrite=True)
report = export_avatar("sample", OUT / "06_print", settings, say=print)
print(f"{report.surface['faces']} triangles, checks passed: {not report.problems()}")
