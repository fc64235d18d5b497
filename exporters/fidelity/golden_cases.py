"""Golden data: inputs of each exported graph and the outputs that the networks compute for them.

The expected outputs do not depend on the bake: colours come from the full texture network, vertices
from the forward map with the deformation network, normals from these vertices in float64. Filled
vertices, of which the networks know nothing, are the exception: theirs follow the filled values.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from imavatar_deploy.arrays import Array, Float32
from imavatar_deploy.avatar import Avatar
from imavatar_deploy.avatar_io import as_stored
from imavatar_deploy.fidelity.golden import GoldenCase, golden_rows
from imavatar_deploy.fidelity.parity import Tolerance
from imavatar_deploy.model import ImplicitAvatar
from imavatar_deploy.model.surface.field import chunks
from imavatar_deploy.model.surface.mesh import Mesh
from imavatar_deploy.rendering.posing import pose_plainly
from imavatar_deploy.student import Student

from ..bake import Bake
from ..student.network import PlainStudent
from ..surface_colours import with_filled
from .reference_poses import ReferencePoses, reference_poses

FRAMES = (1, 2, 3, -1)
"""Reference poses of the animation's case: three corners, and a talk frame where there is one."""

TOLERANCE = Tolerance(1e-4)
"""Tolerance of colours (0..1), positions (model units, 4 a metre) and unit normals."""

NORMAL_TOLERANCES = {"float32": TOLERANCE, "float16": Tolerance(1e-2)}
"""Storage -> tolerance of unit normals.

Rounding displacements to float16, by half a thousandth, rotates normals by up to half a degree. The
tolerance grows to twice what the rounding of another program does to any normal, and to twice what
this storage does to all but the worst (`DETERMINED`). Those have no expected value (NaN).
"""

DETERMINED = 0.995
"""Share of the normals that are compared at least."""

ROUNDING = 2e-7
"""Difference between the float32 vertices of two programs, model units.

One or two steps of float32 at a head's size.
"""


def golden_cases(
    source: ImplicitAvatar,
    bake: Bake,
    *,
    storage: str = "float32",
) -> dict[str, GoldenCase]:
    """One case for each graph, by name.

    Args:
        source: the implicit avatar.
        bake: its baked avatar.
        storage: element type of the avatar's bulk arrays.
    """
    poses = reference_poses(source.edition)
    with torch.inference_mode():
        return {
            "texture": _texture(source, bake, poses),
            "deformation": _deformation(source, bake),
            "animate": _animate(source, bake, poses, storage),
        }


def student_case(source: ImplicitAvatar, bake: Bake, student: Student) -> GoldenCase:
    """Colours of the student, computed by torch, for the inputs of the texture graph's case.

    How well the student matches the full network is measured in `student.train`.
    """
    feature = student.features[golden_rows(len(student.features))]
    with torch.inference_mode():
        texture = _texture(source, bake, reference_poses(source.edition)).inputs
        inputs = {
            "feature": feature,
            "normal": texture["normal"],
            "condition": texture["condition"],
        }
        colour = PlainStudent(student)(*map(torch.from_numpy, inputs.values()))
    return _case(inputs, {"rgb": colour.numpy()})


def _texture(source: ImplicitAvatar, bake: Bake, poses: ReferencePoses) -> GoldenCase:
    rows = golden_rows(bake.avatar.vertex_count)
    frame = FRAMES[0]
    normal = _normals(source, bake, _deform(source, bake, poses, frame), poses, frame)[rows]
    condition = poses.condition[frame]
    colour = source.texture(
        _points(source, bake)[rows],
        _tensor(source, normal),
        _tensor(source, condition),
        bake.feature[torch.from_numpy(rows)],
    )
    ones = np.ones((len(rows), 1), dtype=np.float32)
    colour = with_filled(source, bake, colour.cpu().numpy(), rows[:, None], ones, normal, condition)
    inputs = {
        "code": bake.avatar.texture_code[rows],
        "normal": normal,
        "condition": condition[None],
    }
    return _case(inputs, {"rgb": colour})


def _deformation(source: ImplicitAvatar, bake: Bake) -> GoldenCase:
    points = _points(source, bake)[golden_rows(bake.avatar.vertex_count)]
    fields = source.deformation(points)._asdict()
    return _case(
        {"points": points.cpu().numpy()},
        {name: field.cpu().numpy() for name, field in fields.items()},
    )


def _animate(source: ImplicitAvatar, bake: Bake, poses: ReferencePoses, storage: str) -> GoldenCase:
    meshes = [_deform(source, bake, poses, frame) for frame in FRAMES]
    normals = [
        _normals(source, bake, mesh, poses, frame)
        for mesh, frame in zip(meshes, FRAMES, strict=True)
    ]
    stored = as_stored(bake.avatar, storage)

    def turned(mesh: Mesh, normal: Float32[Array, "V 3"], frame: int) -> Float32[Array, " V"]:
        other = _normals(source, bake, mesh, poses, frame)
        return np.asarray(np.abs(other - normal).max(axis=1))

    frames = list(zip(meshes, normals, FRAMES, strict=True))
    by_rounding = [turned(_with_rounding(mesh), normal, frame) for mesh, normal, frame in frames]
    by_storage = [
        turned(_moved(mesh, bake.avatar, stored, poses, frame), normal, frame)
        for mesh, normal, frame in frames
    ]
    limit = Tolerance(
        max(
            NORMAL_TOLERANCES[storage].absolute,
            2.0 * float(np.max(by_rounding)),
            2.0 * float(np.quantile(by_storage, DETERMINED)),
        )
    )
    for normal, by in zip(normals, by_storage, strict=True):
        normal[2.0 * by > limit.absolute] = np.nan
    outputs = {
        "vertices": np.stack([mesh.vertices.T for mesh in meshes]),
        "normals": np.stack([n.T for n in normals]),
    }
    case = _case(
        {"expression": poses.expression[list(FRAMES)], "pose": poses.pose[list(FRAMES)]}, outputs
    )
    return replace(case, tolerances={**case.tolerances, "normals": limit})


def _moved(mesh: Mesh, avatar: Avatar, stored: Avatar, poses: ReferencePoses, frame: int) -> Mesh:
    """The mesh moved by the difference of an avatar from the one read back after it is stored."""
    if np.array_equal(avatar.expression_basis, stored.expression_basis):
        return mesh
    before, after = (
        pose_plainly(each, poses.expression[frame], poses.pose[frame]).vertices
        for each in (avatar, stored)
    )
    return replace(mesh, vertices=mesh.vertices + (after - before))


def _with_rounding(mesh: Mesh) -> Mesh:
    """The mesh with noise of the size of another program's rounding.

    It shows which normals are determined: where the faces around a vertex nearly cancel, as at the
    edge of a thin plate of hair or in a fold of the mouth, rounding alone turns a normal. That does
    not depend on what an export computes.
    """
    noise = np.random.default_rng(0).normal(0.0, ROUNDING, mesh.vertices.shape)
    return replace(mesh, vertices=mesh.vertices + noise.astype(np.float32))


def _deform(source: ImplicitAvatar, bake: Bake, poses: ReferencePoses, frame: int) -> Mesh:
    """The mesh deformed by the forward map of the networks; filled vertices, as they are baked."""
    expression = _tensor(source, poses.expression[frame])
    pose = _tensor(source, poses.pose[frame])
    points = _points(source, bake)
    deformed = [source.deform(points[part], expression, pose) for part in chunks(len(points))]
    baked = pose_plainly(bake.avatar, poses.expression[frame], poses.pose[frame]).vertices
    vertices = np.where(bake.by_code[:, None], baked, torch.cat(deformed).cpu().numpy())
    return Mesh(vertices, bake.avatar.faces)


def _normals(
    source: ImplicitAvatar, bake: Bake, mesh: Mesh, poses: ReferencePoses, frame: int
) -> Float32[Array, "V 3"]:
    """Unit normals of the deformed mesh plus the skinned normal detail; computed in float64."""
    expression = _tensor(source, poses.expression[frame])
    pose = _tensor(source, poses.pose[frame])
    bones = source.transforms(expression, pose)[:, :, :3].double().cpu().numpy()
    normals = mesh.vertex_normals() + np.einsum(
        "jv,jrc,cv->vr", bake.avatar.skin_weights, bones, bake.avatar.normal_detail
    )
    return np.asarray(normals / np.linalg.norm(normals, axis=1, keepdims=True), dtype=np.float32)


def _points(source: ImplicitAvatar, bake: Bake) -> Tensor:
    return _tensor(source, np.ascontiguousarray(bake.avatar.canonical.T))


def _tensor(source: ImplicitAvatar, array: Float32[Array, "..."]) -> Tensor:
    return torch.from_numpy(array).to(source.canonical_pose.device)


def _case(
    inputs: dict[str, Float32[Array, "..."]], outputs: dict[str, Float32[Array, "..."]]
) -> GoldenCase:
    return GoldenCase(inputs, outputs, dict.fromkeys(outputs, TOLERANCE))
