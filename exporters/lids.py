"""Refine the mesh around the eyes where blendshapes bend between its vertices.

At rest a lid is a smooth surface, of which decimation keeps few faces. In a blink its margin passes
over the eyeball, and faces that reach from the lid to the eyeball fray. Edges are split where a
blendshape at their middle differs from the mean of its ends.
"""

from __future__ import annotations

import numpy as np
import torch

from imavatar_deploy.arrays import Array, Float32, Float64, Int64
from imavatar_deploy.conventions import BONES
from imavatar_deploy.model import ImplicitAvatar
from imavatar_deploy.model.surface.field import Field, chunks
from imavatar_deploy.model.surface.mesh import Mesh

from .mesh_edges import edges_of, split_edges

REACH = 0.13
"""Distance from the centre of an eye within which edges are split, model units (33 mm)."""

TOLERANCE = 8e-4
"""Deviation of a blendshape in the middle of an edge from which on it is split, model units.

It is 0.2 mm at full weight. On the bundled sample it adds 2,300 faces to 45,000; with 3e-4 it adds
7,700, and a blink looks the same.
"""

MIN_EDGE = 0.006
"""Length from which on an edge is split, model units (1.5 mm).

Rounding displacements to float16 rotates smaller faces too far: by 0.7 degrees with 1 mm on the
bundled sample, where half a degree is the tolerance; by a quarter of a degree with 1.5 mm.
"""

ROUNDS = 4
"""Largest number of times that an edge is halved."""

FACE_SHARE = 0.1
"""Share of a face budget that the lids may take."""


def refine_lids(mesh: Mesh, avatar: ImplicitAvatar, field: Field, faces: int | None) -> Mesh:
    """Split edges around the eyes, the worst first, and move their middles onto the surface.

    Args:
        mesh: the canonical surface.
        avatar: the networks.
        field: the field whose surface the mesh is.
        faces: largest number of faces; None for no limit.
    """
    for _ in range(ROUNDS):
        edges = _edges_near_eyes(mesh, avatar)
        long = np.linalg.norm(np.diff(mesh.vertices[edges], axis=1)[:, 0], axis=1) > MIN_EDGE
        edges = edges[long]
        error = _deviation(mesh, edges, avatar)
        count = int((error > TOLERANCE).sum())
        if faces is not None:
            count = min(count, (faces - len(mesh.faces)) // 2)
        if count <= 0:
            break
        mesh = split_edges(mesh, edges[np.argsort(-error, kind="stable")[:count]], field)
    return mesh


def _edges_near_eyes(mesh: Mesh, avatar: ImplicitAvatar) -> Int64[Array, "N 2"]:
    """Edges, smaller vertex first, both of whose ends lie around an eye and in front of it."""
    eyes = avatar.joints_rest[[BONES.index("eyeL"), BONES.index("eyeR")]]
    offset = mesh.vertices[:, None] - eyes
    near = ((np.linalg.norm(offset, axis=2) < REACH) & (offset[..., 2] > 0)).any(axis=1)
    edges = edges_of(mesh)
    return np.asarray(edges[near[edges].all(axis=1)], dtype=np.int64)


def _deviation(
    mesh: Mesh, edges: Int64[Array, "N 2"], avatar: ImplicitAvatar
) -> Float64[Array, " N"]:
    """Largest deviation of a blendshape in the middle of each edge, model units."""
    ends = mesh.vertices[edges]
    used, rows = np.unique(edges, return_inverse=True)
    at_vertices = _blendshapes(mesh.vertices[used], avatar)[rows.reshape(edges.shape)]
    middle = _blendshapes(ends.mean(axis=1), avatar)
    return np.asarray(
        np.linalg.norm(middle - at_vertices.mean(axis=1), axis=1).max(axis=1), dtype=np.float64
    )


def _blendshapes(points: Float32[Array, "N 3"], avatar: ImplicitAvatar) -> Float32[Array, "N 3 E"]:
    x = torch.from_numpy(points).to(avatar.canonical_pose.device)
    with torch.inference_mode():
        rows = [avatar.deformation(x[part]).expression.cpu() for part in chunks(len(x))]
    return torch.cat(rows).numpy() if rows else np.zeros((0, 3, 50), dtype=np.float32)
