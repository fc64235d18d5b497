"""Registration: where each vertex of one head lies on the surface of another of any size, place, shape and topology.

1. Both open their mouths: closed lips would lie on one another.
2. The joints of jaw and eyes, which every head has, give scale, rotation and place.
3. The target's own shape basis bends it onto the source, nearest surface by nearest surface.
4. Every vertex then takes the nearest point of the source whose normal looks the same way; eyes look among eyes alone.

What this cannot do: tell where along a smooth surface a point belongs, but by the whole head's shape. Where two heads
differ more than the shape basis can say, the corner of a mouth may lie beside the corner of the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.conventions import EXPRESSION_SIZE, JAW, POSE_SIZE
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.optional import require
from imavatar_deploy.rendering.posing import vertex_normals

from ..warm_start.surface_distance import shares_at

Double = NDArray[np.float64]
Integers = NDArray[np.int64]

ROUNDS = 12
"""Of bending; the surfaces have come to rest by then."""

SHAPES = 100
"""Directions of the shape basis that bend; later ones are below a millimetre."""

SHAPE_NOISE = 1e-3
"""Metres by which surfaces are expected to miss each other; against it a shape coefficient of 1 is weighed."""

NEAR = 0.01
"""Metres beyond which, at a human head's size, two points are not the same place."""

ALIKE = 0.5
"""Least cosine between normals that face the same way."""

OPEN = 0.2
"""Radians of jaw, as in IMavatar's canonical pose, for the same reason."""

EYE_BONES = (3, 4)


@dataclass(frozen=True)
class Registration:
    """For V vertices of the target: a point of the source's surface, and how its displacements become the target's."""

    corners: Integers  # [V, 3] vertices of the source around the point
    shares: Double  # [V, 3] their weights
    trusted: NDArray[np.bool_]  # [V] a point was found
    turn: Double  # [3, 3] the source's directions -> the target's, scale included
    distance: float
    """Median metres between the target, bent, and the source; 0 where the vertices are the same."""

    def carried(self, moved: Double) -> Double:
        """[..., V, 3] the displacements `[..., U, 3]` of the source, at the target's vertices and in its size."""
        at = np.einsum("...vkc,vk->...vc", moved[..., self.corners, :], self.shares)
        return np.asarray(at @ self.turn.T)


def register(source: HeadModel, target: HeadModel) -> Registration:
    """Find the target's vertices on the source: one to one where the topology is the same."""
    count = len(target.template)
    if len(source.template) == count and np.array_equal(source.faces, target.faces):
        itself = np.repeat(np.arange(count)[:, None], 3, axis=1)
        scale = _similarity(source.template.astype(float), target.template.astype(float))[0]
        return Registration(
            itself,
            np.eye(1, 3).repeat(count, 0),
            np.ones(count, dtype=bool),
            scale * np.eye(3),
            0.0,
        )
    return _by_surface(source, target)


def _by_surface(source: HeadModel, target: HeadModel) -> Registration:
    scale, rotation, shift = _similarity(_joints(target), _joints(source))
    basis = target.shape_basis[:, :, :SHAPES].astype(float)
    surface, start = _opened(source), _opened(target)
    bent = start
    for _ in range(ROUNDS):
        placed = scale * bent @ rotation.T + shift
        _, point, trusted = _nearest(source, surface, target, placed)
        scale, rotation, shift = _similarity(bent[trusted], point[trusted])
        wanted = (point - shift) @ rotation / scale
        bent = start + basis @ _shape(basis[trusted], (wanted - start)[trusted])
    placed = scale * bent @ rotation.T + shift
    corners, point, trusted = _nearest(source, surface, target, placed)
    distance = (
        float(np.median(np.linalg.norm(point - placed, axis=1)[trusted]))
        if trusted.any()
        else np.inf
    )
    return Registration(
        corners, shares_at(surface, corners, point), trusted, rotation.T / scale, distance
    )


def _opened(head: HeadModel) -> Double:
    """[V, 3] the head with its mouth open."""
    pose = np.zeros(POSE_SIZE, dtype=np.float32)
    pose[JAW.start] = OPEN
    return head.vertices(np.zeros(EXPRESSION_SIZE, dtype=np.float32), pose).astype(float)


def _joints(head: HeadModel) -> Double:
    """[3, 3] jaw and eyes at rest: the neck's joint is each modeller's own choice."""
    return np.asarray((head.joint_regressor @ head.template)[2:], dtype=float)


def _similarity(points: Double, onto: Double) -> tuple[float, Double, Double]:
    """Scale, rotation [3, 3] and shift [3] that carry `points` nearest to `onto` (Umeyama)."""
    middle, there = points.mean(axis=0), onto.mean(axis=0)
    left, size, right = np.linalg.svd((onto - there).T @ (points - middle))
    sign = np.diag([1.0, 1.0, np.sign(np.linalg.det(left @ right))])
    rotation = left @ sign @ right
    scale = float((size * np.diag(sign)).sum() / ((points - middle) ** 2).sum())
    return scale, rotation, there - scale * rotation @ middle


def _shape(basis: Double, wanted: Double) -> Double:
    """[S] coefficients that bend nearest to `wanted`, each held to about one."""
    columns = basis.reshape(wanted.size, basis.shape[2])
    held = SHAPE_NOISE**2 * np.eye(basis.shape[2])
    return np.asarray(np.linalg.solve(columns.T @ columns + held, columns.T @ wanted.ravel()))


def _parts(head: HeadModel) -> Integers:
    """[V] 0 for the skin, 1 and 2 for the eyes, -1 for what lies inside the mouth, where the file says."""
    part = np.zeros(len(head.template), dtype=np.int64)
    for index, bone in enumerate(EYE_BONES):
        part[head.weights[:, bone] > 0.5] = index + 1
    inside = np.array(
        [("teeth" in group or "tongue" in group) for group in head.vertex_groups], dtype=bool
    )
    if len(inside):
        part[inside] = -1
    return part


def _nearest(
    source: HeadModel, surface: Double, target: HeadModel, placed: Double
) -> tuple[Integers, Double, NDArray[np.bool_]]:
    """[V, 3] corners of the nearest triangle, [V, 3] the point on it, and [V] whether to trust it; part by part."""
    of_source, of_target = _parts(source), _parts(target)
    igl = require("igl", extra="train")
    corners, point = np.zeros((len(placed), 3), dtype=np.int64), placed.copy()
    trusted = np.zeros(len(placed), dtype=bool)
    normals = vertex_normals(placed.astype(np.float32), target.faces)
    for part in (0, 1, 2):
        faces = source.faces[(of_source[source.faces] == part).all(axis=1)].astype(np.int64)
        own = np.flatnonzero(of_target == part)
        if not len(faces) or not len(own):
            continue
        squared, face, nearest = igl.point_mesh_squared_distance(placed[own], surface, faces)
        facing = np.einsum("vc,vc->v", normals[own], _unit(_across(surface, faces))[face])
        corners[own], point[own] = faces[face], nearest
        trusted[own] = (squared < NEAR**2) & (facing > ALIKE)
    return corners, point, trusted


def _across(vertices: Double, faces: NDArray[np.integer[Any]]) -> Double:
    """[F, 3] normals twice as long as the triangles' areas."""
    a, b, c = (vertices[faces[:, corner]] for corner in range(3))
    return np.asarray(np.cross(b - a, c - a))


def _unit(vectors: Double) -> Double:
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-30))
