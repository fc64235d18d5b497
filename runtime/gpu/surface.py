"""Normal kernels: area vectors of the faces, gathered per vertex, with the detail that a mesh does not have."""

from __future__ import annotations

from .arrays import Floats, Floats2, Ints, Ints2
from .library import kernel, wp


@kernel
def cross(vertices: Floats2, faces: Ints2, crosses: Floats2) -> None:
    """Twice the area times the normal of one face."""
    face = wp.tid()
    a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
    ux, uy, uz = vertices[b, 0] - vertices[a, 0], vertices[b, 1] - vertices[a, 1], vertices[b, 2] - vertices[a, 2]
    vx, vy, vz = vertices[c, 0] - vertices[a, 0], vertices[c, 1] - vertices[a, 1], vertices[c, 2] - vertices[a, 2]
    crosses[face, 0] = uy * vz - uz * vy
    crosses[face, 1] = uz * vx - ux * vz
    crosses[face, 2] = ux * vy - uy * vx


@kernel
def gather(
    crosses: Floats2, incident: Ints, first: Ints, detail: Floats2, weights: Floats2, bones: Floats, normals: Floats2
) -> None:
    """The unit normal of one vertex: that of the mesh, plus the detail `[3, V]` turned by the bones.

    Args:
        incident: `[3 F]`, the faces around vertex v at first[v]..first[v + 1].
    """
    vertex = wp.tid()
    x, y, z = float(0.0), float(0.0), float(0.0)
    for entry in range(first[vertex], first[vertex + 1]):
        face = incident[entry]
        x += crosses[face, 0]
        y += crosses[face, 1]
        z += crosses[face, 2]
    length = wp.sqrt(x * x + y * y + z * z)
    scale = float(0.0)
    if length > 0.0:
        scale = 1.0 / length
    x, y, z = x * scale, y * scale, z * scale
    dx, dy, dz = detail[0, vertex], detail[1, vertex], detail[2, vertex]
    for j in range(weights.shape[0]):
        g, weight = 12 * j, weights[j, vertex]
        x += weight * (bones[g] * dx + bones[g + 1] * dy + bones[g + 2] * dz)
        y += weight * (bones[g + 4] * dx + bones[g + 5] * dy + bones[g + 6] * dz)
        z += weight * (bones[g + 8] * dx + bones[g + 9] * dy + bones[g + 10] * dz)
    length = wp.sqrt(x * x + y * y + z * z)
    scale = float(0.0)
    if length > 0.0:
        scale = 1.0 / length
    normals[vertex, 0] = x * scale
    normals[vertex, 1] = y * scale
    normals[vertex, 2] = z * scale
