"""Independent readers of every sequence format, as other programs read the files."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from alembic3d import Abc, AbcGeom
from pxr import Gf, Usd, UsdGeom, UsdSkel

from imavatar_deploy.arrays import Array, Float64, Int64
from imavatar_deploy.exporters.formats.gltf.reader import GlbPlayback


@dataclass(frozen=True)
class Read:
    """The content of a bake; None for what the format cannot hold."""

    vertices: Float64[Array, "T V 3"]  # metres
    faces: Int64[Array, "F 3"]
    normals: Float64[Array, "T V 3"] | None = None
    colours: Float64[Array, "T V 3"] | None = None  # sRGB in 0..1
    fps: float | None = None


def _meshes(folder: Path, suffix: str) -> Read:
    files = sorted((folder / suffix).glob(f"frame_*.{suffix}"))
    assert [file.stem for file in files] == [f"frame_{index:06d}" for index in range(len(files))]
    meshes = [trimesh.load(file, process=False, maintain_order=True) for file in files]
    colours = [
        mesh.visual.vertex_colors[:, :3] / 255 for mesh in meshes if mesh.visual.kind == "vertex"
    ]
    return Read(
        np.stack([mesh.vertices for mesh in meshes]),
        meshes[0].faces,
        np.stack([mesh.vertex_normals for mesh in meshes]),
        np.stack(colours) if colours else None,
    )


def _beside(folder: Path) -> Int64[Array, "F 3"]:
    """Faces of the mesh that a point cache moves."""
    return np.asarray(trimesh.load(folder / "head.obj", process=False, maintain_order=True).faces)


def _pc2(folder: Path) -> Read:
    data = (folder / "head.pc2").read_bytes()
    signature, version, points, start, step, samples = struct.unpack_from("<12siiffi", data)
    assert (signature, version, start, step) == (b"POINTCACHE2\0", 1, 0.0, 1.0)
    vertices = np.frombuffer(data, "<f4", offset=32).reshape(samples, points, 3)
    return Read(vertices.astype(float), _beside(folder))


def _mdd(folder: Path) -> Read:
    data = (folder / "head.mdd").read_bytes()
    frames, points = struct.unpack_from(">ii", data)
    times = np.frombuffer(data, ">f4", frames, offset=8)
    vertices = np.frombuffer(data, ">f4", offset=8 + 4 * frames).reshape(frames, points, 3)
    assert times[0] == 0
    return Read(vertices.astype(float), _beside(folder), fps=float(1 / np.diff(times).mean()))


def _abc(folder: Path) -> Read:
    archive = Abc.IArchive(str(folder / "head.abc"))
    schema = AbcGeom.IPolyMesh(archive.getTop(), "head").getSchema()
    times = [
        schema.getTimeSampling().getSampleTime(index) for index in range(schema.getNumSamples())
    ]
    assert times[0] == 0
    parameters = schema.getArbGeomParams()
    colours = AbcGeom.IC3fGeomParam(parameters, "Cd") if parameters.valid() else None
    if colours:  # Maya shows the colour set with this mark
        assert colours.getMetaData().get("mayaColorSet") == "1"
    rows = [_abc_frame(schema, colours, Abc.ISampleSelector(float(time))) for time in times]
    faces = [row[0] for row in rows]
    assert all(np.array_equal(face, faces[0]) for face in faces)
    return Read(
        np.stack([row[1] for row in rows]),
        faces[0],
        np.stack([row[2] for row in rows]),
        np.stack([row[3] for row in rows]) if colours else None,
        fps=float(1 / np.diff(times).mean()),
    )


def _abc_frame(
    schema: Any, colours: Any, moment: Any
) -> tuple[
    Int64[Array, "F 3"], Float64[Array, "V 3"], Float64[Array, "V 3"], Float64[Array, "_ _"]
]:
    # The values own the arrays that are read below.
    mesh = schema.getValue(moment)
    normals = schema.getNormalsParam().getExpandedValue(moment)
    assert set(mesh.getFaceCounts()) == {3}
    faces = np.array(list(mesh.getFaceIndices())).reshape(-1, 3)[:, ::-1]  # clockwise in Alembic
    vertices = np.array([tuple(v) for v in mesh.getPositions()])
    values = colours.getExpandedValue(moment) if colours else None
    rgb = [(c.r, c.g, c.b) for c in values.getVals()] if values else []
    return faces, vertices, np.array([tuple(v) for v in normals.getVals()]), np.array(rgb)


def _usd(folder: Path, suffix: str) -> Read:
    """Points of the scene as skinned by the USD library."""
    stage = Usd.Stage.Open(str(folder / f"head.{suffix}"))
    stage.GetSessionLayer().timeCodesPerSecond = stage.GetTimeCodesPerSecond()
    stage.SetEditTarget(stage.GetSessionLayer())
    times = np.arange(stage.GetStartTimeCode(), stage.GetEndTimeCode() + 1)
    assert UsdSkel.BakeSkinning(
        UsdSkel.Root(stage.GetDefaultPrim()), Gf.Interval(times[0], times[-1])
    )
    mesh = UsdGeom.Mesh(stage.GetPrimAtPath("/head/surface"))
    colour = mesh.GetDisplayColorPrimvar()
    colours = [np.array(colour.Get(time)) for time in times] if colour.HasValue() else []
    return Read(
        np.stack([np.array(mesh.GetPointsAttr().Get(time)) for time in times]),
        np.array(mesh.GetFaceVertexIndicesAttr().Get()).reshape(-1, 3),
        colours=srgb(np.stack(colours)) if colours else None,
        fps=stage.GetTimeCodesPerSecond(),
    )


def _glb(folder: Path) -> Read:
    """Faces read by trimesh; the clip by pygltflib and the specification's arithmetic."""
    file = GlbPlayback(folder / "head.glb")
    animation = file.structure.animations[0]
    times = file.array(animation.samplers[0].input)
    scene = trimesh.load(folder / "head.glb", process=False, maintain_order=True)
    (mesh,) = scene.geometry.values()
    assert times[0] == 0
    vertices = np.stack([file.at_key(key) for key in range(len(times))])
    return Read(vertices, np.asarray(mesh.faces), fps=float(1 / np.diff(times).mean()))


def srgb(linear: Float64[Array, "..."]) -> Float64[Array, "..."]:
    """Convert linear light to sRGB."""
    return np.where(
        linear <= 0.0031308, 12.92 * linear, 1.055 * np.maximum(linear, 0) ** (1 / 2.4) - 0.055
    )


READERS: dict[str, Callable[[Path], Read]] = {
    "obj": lambda folder: _meshes(folder, "obj"),
    "ply": lambda folder: _meshes(folder, "ply"),
    "pc2": _pc2,
    "mdd": _mdd,
    "abc": _abc,
    "glb": _glb,
    "usd": lambda folder: _usd(folder, "usd"),
    "usdz": lambda folder: _usd(folder, "usdz"),
}
