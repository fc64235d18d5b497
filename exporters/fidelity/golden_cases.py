"""What each graph must compute: the networks' own answers on surface points and proof poses.

The truth never goes through the bake: colours come from the whole texture network, vertices from the forward map with
the deformation network inside it, normals from those vertices in float64.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from imavatar_deploy.fidelity.golden import GoldenCase, golden_rows
from imavatar_deploy.fidelity.parity import Tolerance
from imavatar_deploy.model import ImplicitAvatar
from imavatar_deploy.model.surface.field import chunks
from imavatar_deploy.model.surface.mesh import Mesh
from imavatar_deploy.student import Student

from ..bake import Bake
from ..student.network import PlainStudent
from .reference_poses import ReferencePoses, proof_poses

Float = NDArray[np.float32]

FRAMES = (1, 2, 3, -1)
"""The proof poses of the animation's case: three corners, and a talk frame where there are any."""

TOLERANCE = Tolerance(1e-4)
"""Of colours (0..1), model units (4 a metre) and unit normals alike."""

NORMAL_TOLERANCES = {"float32": TOLERANCE, "float16": Tolerance(1e-2)}
"""Storage -> of unit normals. Half a thousandth of a displacement turns the smallest faces by up to half a degree."""

ROUNDING = 2e-7
"""Model units by which the float32 vertices of two programs differ: one or two steps at a head's size."""


def golden_cases(
    source: ImplicitAvatar,
    bake: Bake,
    *,
    storage: str = "float32",
) -> dict[str, GoldenCase]:
    """One case for each graph, by name; `storage` is that of the avatar's bulk arrays."""
    poses = proof_poses(source.edition)
    with torch.inference_mode():
        return {
            "texture": _texture(source, bake, poses),
            "deformation": _deformation(source, bake),
            "animate": _animate(source, bake, poses, NORMAL_TOLERANCES[storage]),
        }


def student_case(source: ImplicitAvatar, bake: Bake, student: Student) -> GoldenCase:
    """The student's own colours, computed by torch, where the full network's are known.

    `lessons` tells how alike the two are.
    """
    feature = student.features[golden_rows(len(student.features))]
    with torch.inference_mode():
        texture = _texture(source, bake, proof_poses(source.edition)).inputs
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
    normal = _normals(source, bake, _deformed(source, bake, poses, frame), poses, frame)[rows]
    condition = poses.condition[frame]
    colour = source.texture(
        _points(source, bake)[rows],
        _tensor(source, normal),
        _tensor(source, condition),
        bake.feature[torch.from_numpy(rows)],
    )
    inputs = {
        "code": bake.avatar.texture_code[rows],
        "normal": normal,
        "condition": condition[None],
    }
    return _case(inputs, {"rgb": colour.cpu().numpy()})


def _deformation(source: ImplicitAvatar, bake: Bake) -> GoldenCase:
    points = _points(source, bake)[golden_rows(bake.avatar.vertex_count)]
    answer = source.deformation(points)._asdict()
    return _case(
        {"points": points.cpu().numpy()},
        {name: field.cpu().numpy() for name, field in answer.items()},
    )


def _animate(
    source: ImplicitAvatar, bake: Bake, poses: ReferencePoses, normals_within: Tolerance
) -> GoldenCase:
    meshes = [_deformed(source, bake, poses, frame) for frame in FRAMES]
    normals = [
        _normals(source, bake, mesh, poses, frame)
        for mesh, frame in zip(meshes, FRAMES, strict=True)
    ]
    nudged = [
        _normals(source, bake, _nudged(mesh), poses, frame)
        for mesh, frame in zip(meshes, FRAMES, strict=True)
    ]
    unsure = float(np.abs(np.stack(nudged) - np.stack(normals)).max())
    outputs = {
        "vertices": np.stack([mesh.vertices.T for mesh in meshes]),
        "normals": np.stack([n.T for n in normals]),
    }
    case = _case(
        {"expression": poses.expression[list(FRAMES)], "pose": poses.pose[list(FRAMES)]}, outputs
    )
    return replace(
        case,
        tolerances={
            **case.tolerances,
            "normals": Tolerance(max(normals_within.absolute, 2.0 * unsure)),
        },
    )


def _nudged(mesh: Mesh) -> Mesh:
    """The mesh as another program's rounding may leave it.

    It tells how far normals can be trusted: where the faces round a vertex nearly cancel, as in the edge of a thin
    plate of hair, rounding alone turned one of 25,000 by 2e-4. Nothing that an export computes enters this allowance.
    """
    noise = np.random.default_rng(0).normal(0.0, ROUNDING, mesh.vertices.shape)
    return replace(mesh, vertices=mesh.vertices + noise.astype(np.float32))


def _deformed(source: ImplicitAvatar, bake: Bake, poses: ReferencePoses, frame: int) -> Mesh:
    """The vertices through the forward map of the networks."""
    expression, pose = _tensor(source, poses.expression[frame]), _tensor(source, poses.pose[frame])
    points = _points(source, bake)
    deformed = [source.deform(points[part], expression, pose) for part in chunks(len(points))]
    return Mesh(torch.cat(deformed).cpu().numpy(), bake.avatar.faces)


def _normals(
    source: ImplicitAvatar, bake: Bake, mesh: Mesh, poses: ReferencePoses, frame: int
) -> Float:
    """[V, 3] unit normals of the deformed mesh, the surface's detail turned with the skin added, in float64."""
    expression, pose = _tensor(source, poses.expression[frame]), _tensor(source, poses.pose[frame])
    bones = source.transforms(expression, pose)[:, :, :3].double().cpu().numpy()
    normals = mesh.vertex_normals() + np.einsum(
        "jv,jrc,cv->vr", bake.avatar.skin_weights, bones, bake.avatar.normal_detail
    )
    return np.asarray(normals / np.linalg.norm(normals, axis=1, keepdims=True), dtype=np.float32)


def _points(source: ImplicitAvatar, bake: Bake) -> Tensor:
    return _tensor(source, np.ascontiguousarray(bake.avatar.canonical.T))


def _tensor(source: ImplicitAvatar, array: Float) -> Tensor:
    return torch.from_numpy(array).to(source.canonical_pose.device)


def _case(inputs: dict[str, Float], outputs: dict[str, Float]) -> GoldenCase:
    return GoldenCase(inputs, outputs, dict.fromkeys(outputs, TOLERANCE))
