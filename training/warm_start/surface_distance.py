"""Signed distance to the union of a subject's parts, and the point of the surface that answers for each query."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.optional import require

from .head_surface import HeadSurface

Float = NDArray[np.float32]

SPHERE_RADIUS = 1.12
"""The bust ends in this sphere, inside the published renderer's bounding sphere of 1.2."""


@dataclass(frozen=True)
class SurfaceQuery:
    """Answers for N query points."""

    distance: Float  # [N] to the union of the parts, cut by the sphere; negative inside
    faces: NDArray[
        np.int64
    ]  # [N] the face nearest to the query, of the part that decides the distance
    barycentric: Float  # [N, 3] where on that face


def query_surface(subject: HeadSurface, points: Float) -> SurfaceQuery:
    """Signed distance of points `[N, 3]` (canonical, model units) and the nearest point of the deciding part.

    Outside, the nearest part decides; inside overlapping parts, the one the point is deepest in. Signs come from
    winding numbers, so parts need not be clean meshes (Barill et al., Fast Winding Numbers for Soups and Clouds).
    """
    igl = require("igl", extra="train")
    vertices, queries = subject.canonical.astype(np.float64), points.astype(np.float64)
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
        distance[wins], faces[wins], nearest[wins] = signed[wins], own[index[wins]], closest[wins]
    barycentric = shares_at(vertices, subject.faces[faces], nearest)
    cut = np.maximum(distance, np.linalg.norm(queries, axis=1) - SPHERE_RADIUS)
    return SurfaceQuery(cut.astype(np.float32), faces, barycentric.astype(np.float32))


def shares_at(
    vertices: NDArray[np.float64], triangles: NDArray[np.integer[Any]], points: NDArray[np.float64]
) -> NDArray[np.float64]:
    """[N, 3] barycentric weights of a point `[N, 3]` on each triangle `[N, 3]`; slivers, too, give convex ones."""
    igl = require("igl", extra="train")
    corners = vertices[triangles].transpose(1, 0, 2)
    barycentric = igl.barycentric_coordinates(
        points, *(np.ascontiguousarray(corner) for corner in corners)
    )
    clean = np.clip(np.nan_to_num(barycentric, nan=1.0 / 3.0), 0.0, 1.0)
    return np.asarray(clean / clean.sum(axis=1, keepdims=True))


def openness(subject: HeadSurface, reach: tuple[float, ...] = (0.02, 0.07)) -> Float:
    """[V] ambient light each vertex receives: 1 in the open, towards 0 in folds (distance-field occlusion).

    Steps along the normal and compares how far the surface is with how far it would be from a plane.
    """
    blocked = np.zeros(len(subject.rest), dtype=np.float32)
    for step in reach:
        probes = subject.canonical + np.float32(step) * subject.normals
        blocked += np.clip(1.0 - query_surface(subject, probes).distance / step, 0.0, 1.0) / len(
            reach
        )
    return 1.0 - blocked
