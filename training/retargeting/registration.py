"""Registration: the place of each vertex of one head on the surface of another.

The heads may differ in size, place, shape and topology.

1. Both mouths are opened, as closed lips would lie on each other.
2. The joints of jaw and eyes, which every head has, give scale, rotation and translation.
3. The target's shape basis deforms it onto the source, by iterated closest points.
4. Every vertex takes the nearest point of the source. It is reliable where it is close and its
   normal has a similar direction. Eyes are registered to eyes alone.

Limits: along a smooth surface the shape of the whole head alone determines the place of a point.
Where two heads differ by more than the shape basis can express, features such as the corners of
the mouth may be misplaced.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from imavatar_deploy.arrays import Array, Bool, Float64, Int64, Integer
from imavatar_deploy.conventions import EXPRESSION_SIZE, JAW, POSE_SIZE
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.optional import require
from imavatar_deploy.rendering.posing import vertex_normals

from ..warm_start.surface_distance import shares_at

ITERATIONS = 12
"""Iterations of the deformation, after which it has converged."""

SHAPE_DIRECTIONS = 100
"""Directions of the shape basis in use; later ones are below a millimetre."""

SHAPE_NOISE = 1e-3
"""Expected distance of the surfaces in metres; it costs as much as a shape coefficient of 1."""

RELIABLE_DISTANCE = 0.01
"""Largest distance of a reliable point, metres at the size of a human head."""

MIN_NORMAL_COSINE = 0.5
"""Smallest cosine between the normals at a reliable point."""

JAW_OPENING = 0.2
"""Opening of the jaw in radians, as in IMavatar's canonical pose, for the same reason."""

EYE_BONES = (3, 4)


@dataclass(frozen=True)
class Registration:
    """Points of the source's surface for V vertices of the target."""

    corners: Int64[Array, "V 3"]
    """Vertices of the source's triangle at each point."""
    shares: Float64[Array, "V 3"]
    """Their barycentric weights."""
    reliable: Bool[Array, " V"]
    """Whether the point is close and faces the same way."""
    linear: Float64[Array, "3 3"]
    """Rotation and scale from the source to the target."""
    distance: float
    """Median distance in metres of the deformed target; 0 where the topology is the same."""

    def transfer(self, displacements: Float64[Array, "*n U 3"]) -> Float64[Array, "*n V 3"]:
        """Transfer displacements of the source's U vertices to the target's, in its scale."""
        at_points = np.einsum("...vkc,vk->...vc", displacements[..., self.corners, :], self.shares)
        return np.asarray(at_points @ self.linear.T)


def register(source: HeadModel, target: HeadModel) -> Registration:
    """Register the target's vertices on the source: one to one where the topology is the same."""
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
    basis = target.shape_basis[:, :, :SHAPE_DIRECTIONS].astype(float)
    surface = _open_jaw(source)
    start = _open_jaw(target)
    deformed = start
    for _ in range(ITERATIONS):
        placed = scale * deformed @ rotation.T + shift
        _, point, reliable = _nearest(source, surface, target, placed)
        scale, rotation, shift = _similarity(deformed[reliable], point[reliable])
        goal = (point - shift) @ rotation / scale
        deformed = start + basis @ _shape(basis[reliable], (goal - start)[reliable])
    placed = scale * deformed @ rotation.T + shift
    corners, point, reliable = _nearest(source, surface, target, placed)
    distance = (
        float(np.median(np.linalg.norm(point - placed, axis=1)[reliable]))
        if reliable.any()
        else np.inf
    )
    return Registration(
        corners, shares_at(surface, corners, point), reliable, rotation.T / scale, distance
    )


def _open_jaw(head: HeadModel) -> Float64[Array, "V 3"]:
    """Vertices of the head with its mouth open."""
    pose = np.zeros(POSE_SIZE, dtype=np.float32)
    pose[JAW.start] = JAW_OPENING
    return head.vertices(np.zeros(EXPRESSION_SIZE, dtype=np.float32), pose).astype(float)


def _joints(head: HeadModel) -> Float64[Array, "3 3"]:
    """Joints of jaw and eyes at rest; the place of the neck's joint differs between models."""
    return np.asarray((head.joint_regressor @ head.template)[2:], dtype=float)


def _similarity(
    points: Float64[Array, "N 3"], onto: Float64[Array, "N 3"]
) -> tuple[float, Float64[Array, "3 3"], Float64[Array, "3"]]:
    """Scale, rotation and translation that best map `points` onto `onto` (Umeyama 1991)."""
    middle = points.mean(axis=0)
    target_middle = onto.mean(axis=0)
    left, size, right = np.linalg.svd((onto - target_middle).T @ (points - middle))
    sign = np.diag([1.0, 1.0, np.sign(np.linalg.det(left @ right))])
    rotation = left @ sign @ right
    scale = float((size * np.diag(sign)).sum() / ((points - middle) ** 2).sum())
    return scale, rotation, target_middle - scale * rotation @ middle


def _shape(
    basis: Float64[Array, "N 3 S"], displacements: Float64[Array, "N 3"]
) -> Float64[Array, " S"]:
    """Shape coefficients of the nearest displacements, regularised towards zero."""
    columns = basis.reshape(displacements.size, basis.shape[2])
    damping = SHAPE_NOISE**2 * np.eye(basis.shape[2])
    return np.asarray(
        np.linalg.solve(columns.T @ columns + damping, columns.T @ displacements.ravel())
    )


def _parts(head: HeadModel) -> Int64[Array, " V"]:
    """Part of each vertex: 0 for the skin, 1 and 2 for the eyes, -1 for the inside of the mouth.

    The inside of the mouth is known where the file names the groups of its vertices.
    """
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
    source: HeadModel,
    surface: Float64[Array, "U 3"],
    target: HeadModel,
    placed: Float64[Array, "V 3"],
) -> tuple[Int64[Array, "V 3"], Float64[Array, "V 3"], Bool[Array, " V"]]:
    """Nearest points on the source, part by part.

    Args:
        surface: the source's vertices.
        placed: the target's vertices.

    Returns:
        Corners of the triangle at each point, the points, and whether they are reliable.
    """
    of_source = _parts(source)
    of_target = _parts(target)
    igl = require("igl", extra="train")
    corners = np.zeros((len(placed), 3), dtype=np.int64)
    point = placed.copy()
    reliable = np.zeros(len(placed), dtype=bool)
    normals = vertex_normals(placed.astype(np.float32), target.faces)
    for part in (0, 1, 2):
        faces = source.faces[(of_source[source.faces] == part).all(axis=1)].astype(np.int64)
        own = np.flatnonzero(of_target == part)
        if not len(faces) or not len(own):
            continue
        squared, face, nearest = igl.point_mesh_squared_distance(placed[own], surface, faces)
        facing = np.einsum("vc,vc->v", normals[own], _unit(_area_normals(surface, faces))[face])
        corners[own] = faces[face]
        point[own] = nearest
        reliable[own] = (squared < RELIABLE_DISTANCE**2) & (facing > MIN_NORMAL_COSINE)
    return corners, point, reliable


def _area_normals(
    vertices: Float64[Array, "V 3"], faces: Integer[Array, "F 3"]
) -> Float64[Array, "F 3"]:
    """Normals of the triangles, of twice the length of their areas."""
    a, b, c = (vertices[faces[:, corner]] for corner in range(3))
    return np.asarray(np.cross(b - a, c - a))


def _unit(vectors: Float64[Array, "N 3"]) -> Float64[Array, "N 3"]:
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-30))
