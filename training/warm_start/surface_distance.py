"""Signed distance to a head surface, the union of its parts, and the nearest surface point."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from imavatar_deploy.arrays import Array, Float32, Float64, Int64, Integer
from imavatar_deploy.optional import require

from .head_surface import HeadSurface

SPHERE_RADIUS = 1.12
"""The bust ends in this sphere, inside the published renderer's bounding sphere of 1.2."""


@dataclass(frozen=True)
class SurfaceQuery:
    """Distance and nearest surface point of N query points."""

    distance: Float32[Array, " N"]  # to the union of the parts, cut by the sphere; negative inside
    faces: Int64[Array, " N"]  # nearest face of the part that determines the distance
    barycentric: Float32[Array, "N 3"]  # nearest point on that face


def query_surface(subject: HeadSurface, points: Float32[Array, "N 3"]) -> SurfaceQuery:
    """Signed distance of points in canonical space, model units, and their nearest surface points.

    Outside, the nearest part determines the distance; inside overlapping parts, the part in which
    the point is deepest. Signs are from winding numbers, so parts need not be clean meshes (Barill
    et al. 2018, Fast Winding Numbers for Soups and Clouds).
    """
    igl = require("igl", extra="train")
    vertices = subject.canonical.astype(np.float64)
    queries = points.astype(np.float64)
    distance = np.full(len(points), np.inf)
    faces = np.zeros(len(points), dtype=np.int64)
    nearest = np.zeros((len(points), 3))
    part_of_face = subject.parts[subject.faces[:, 0]]
    for part in np.unique(part_of_face):
        own = np.flatnonzero(part_of_face == part)
        signed, index, closest, _ = igl.signed_distance(
            queries, vertices, subject.faces[own], igl.SIGNED_DISTANCE_TYPE_FAST_WINDING_NUMBER
        )
        wins = signed < distance
        distance[wins] = signed[wins]
        faces[wins] = own[index[wins]]
        nearest[wins] = closest[wins]
    barycentric = shares_at(vertices, subject.faces[faces], nearest)
    cut = np.maximum(distance, np.linalg.norm(queries, axis=1) - SPHERE_RADIUS)
    return SurfaceQuery(cut.astype(np.float32), faces, barycentric.astype(np.float32))


def shares_at(
    vertices: Float64[Array, "V 3"],
    triangles: Integer[Array, "N 3"],
    points: Float64[Array, "N 3"],
) -> Float64[Array, "N 3"]:
    """Barycentric weights of one point on each triangle, convex even on degenerate triangles."""
    igl = require("igl", extra="train")
    corners = vertices[triangles].transpose(1, 0, 2)
    barycentric = igl.barycentric_coordinates(
        points, *(np.ascontiguousarray(corner) for corner in corners)
    )
    clean = np.clip(np.nan_to_num(barycentric, nan=1.0 / 3.0), 0.0, 1.0)
    return np.asarray(clean / clean.sum(axis=1, keepdims=True))


def openness(subject: HeadSurface, reach: tuple[float, ...] = (0.02, 0.07)) -> Float32[Array, " V"]:
    """Ambient light at each vertex: 1 on convex surfaces, towards 0 in folds.

    This is distance-field occlusion: the distance to the surface at points along the normal,
    relative to that of a plane.

    Args:
        reach: distances of the points, model units.
    """
    blocked = np.zeros(len(subject.rest), dtype=np.float32)
    for step in reach:
        probes = subject.canonical + np.float32(step) * subject.normals
        blocked += np.clip(1.0 - query_surface(subject, probes).distance / step, 0.0, 1.0) / len(
            reach
        )
    return 1.0 - blocked
