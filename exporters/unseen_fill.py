"""Fill values of unseen surface from the seen surface around it, harmonically over the mesh.

The filled values solve the Laplace equation on the mesh with the seen vertices as boundary: they
continue the values along the edge of the seen surface and are nowhere larger or smaller than those.
The Laplacian is that of the intrinsic Delaunay triangulation, whose weights are not negative
(Fisher et al., "An algorithm for the construction of intrinsic Delaunay triangulations", 2007).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from imavatar_deploy.arrays import Array, Bool, Float32, Float64
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.model.surface.mesh import Mesh, part_of_face
from imavatar_deploy.optional import require

from .bust import NO_BOUNDS, Bounds
from .mesh_cleanup import canonical_points

HEIGHT_FACTOR = 3.0
"""Factor of vertical lengths while values are filled.

A hairline, a nape and a collar run around a head at nearly the same height. The back of a head
thus takes its values from the sides rather than from above and below.
"""

REACH = 0.4
"""Distance from the head model up to which unseen surface takes its shape, model units (10 cm)."""

SMOOTHING = 0.02
"""Length over which the unseen shape is smoothed, model units (5 mm): the head model's faces."""


MOLLIFICATION = 1e-5
"""Slack of the triangle inequality in every face, as a share of the mean edge."""


class HarmonicFill:
    """Fills vertices of one mesh; the Laplacian is factorised once.

    A part of the mesh without any seen vertex takes the values of the nearest seen vertex.

    Args:
        mesh: the surface.
        unseen: the vertices to fill; not all of them.
        height_factor: of vertical lengths.
    """

    def __init__(
        self, mesh: Mesh, unseen: Bool[Array, " V"], height_factor: float = HEIGHT_FACTOR
    ) -> None:
        self.unseen = unseen
        self._inner = self._apart = np.flatnonzero(unseen)
        if not unseen.any():
            return
        tree = require("scipy.spatial", extra="export").cKDTree(mesh.vertices[~unseen])
        reached = _in_parts_with(mesh, ~unseen)
        self._inner = np.flatnonzero(unseen & reached)
        self._apart = np.flatnonzero(unseen & ~reached)
        self._nearest = np.flatnonzero(~unseen)[tree.query(mesh.vertices[self._apart])[1]]
        laplacian = _laplacian(mesh, height_factor)
        self._boundary = np.flatnonzero(~unseen & reached)
        self._from_boundary = laplacian[self._inner][:, self._boundary]
        self._solve = _solver(-laplacian[self._inner][:, self._inner])

    def __call__(self, values: Float32[Array, "V K"]) -> Float32[Array, "V K"]:
        """A copy of values `[V, K]` of the vertices in which the unseen ones are filled."""
        filled = values.copy()
        if len(self._inner):
            filled[self._inner] = self._solve(self._from_boundary @ values[self._boundary])
        if len(self._apart):
            filled[self._apart] = values[self._nearest]
        return filled


def head_shape(
    mesh: Mesh, harmonic: HarmonicFill, head: HeadModel, bounds: Bounds = NO_BOUNDS
) -> Mesh:
    """The mesh with its unseen vertices moved to the shape of the head model.

    Training starts at the head model and moves the surface wherever a camera looks. Elsewhere the
    field is extrapolated, and the back of a head can have a nose. The distance of the seen surface
    from the head model, such as the height of the hair, continues harmonically.

    Args:
        mesh: the surface in canonical space.
        harmonic: fills the vertices to move; all flat ones are among them.
        head: the subject's head model.
        bounds: where the surface was cut; its faces there stay flat.
    """
    unseen = harmonic.unseen
    if not unseen.any():
        return mesh
    vertices = mesh.vertices.astype(np.float64)
    foot, normal = _feet(vertices, head)
    offset = vertices - foot
    distance = (offset * normal).sum(axis=1, keepdims=True)
    filled = harmonic(distance.astype(np.float32))
    moves = unseen & (np.linalg.norm(offset, axis=1) < REACH)
    moved = np.where(moves[:, None], foot + filled * normal - vertices, 0.0)
    flat = bounds.flat(mesh.vertices)
    moved = HarmonicFill(mesh, flat, 1.0)(moved.astype(np.float32))
    target = bounds.within((vertices + moved).astype(np.float32))
    target[flat] = bounds.onto(target[flat], mesh.vertices[flat])
    return Mesh(_smooth(mesh, target.astype(np.float64), unseen & ~flat), mesh.faces)


def _feet(points: Any, head: HeadModel) -> tuple[Any, Any]:
    """The nearest point of the head model to each point `[N, 3]`, and its unit normal."""
    igl = require("igl", extra="export")
    surface = Mesh(canonical_points(head).points, head.faces)
    vertices, faces = surface.vertices.astype(np.float64), surface.faces.astype(np.int64)
    _, face, foot = igl.point_mesh_squared_distance(points, vertices, faces)
    corners = faces[face]
    weights = igl.barycentric_coordinates(foot, *(vertices[corners[:, k]] for k in range(3)))
    normal = np.einsum("nk,nkc->nc", weights, surface.vertex_normals()[corners])
    return foot, normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)


def _smooth(
    mesh: Mesh, vertices: Float64[Array, "V 3"], unseen: Bool[Array, " V"]
) -> Float32[Array, "V 3"]:
    """Moved vertices of the mesh, the unseen ones after heat has flowed over `SMOOTHING`.

    The operators are those of the mesh before the move, which has no faces without area.
    """
    igl = require("igl", extra="export")
    mass = igl.massmatrix(mesh.vertices.astype(np.float64), mesh.faces.astype(np.int64)).tocsr()
    system = (mass - SMOOTHING**2 * _laplacian(mesh, 1.0)).tocsr()[unseen]
    right = mass[unseen] @ vertices - system[:, ~unseen] @ vertices[~unseen]
    smooth = vertices.copy()
    smooth[unseen] = _solver(system[:, unseen])(right)
    return smooth.astype(np.float32)


def _laplacian(mesh: Mesh, height_factor: float) -> Any:
    """[V, V] negative semidefinite Laplacian, sparse.

    Edge lengths are mollified: among faces without area, flips of edges would not end.
    """
    igl = require("igl", extra="export")
    stretched = mesh.vertices.astype(np.float64) * [1.0, height_factor, 1.0]
    faces = mesh.faces.astype(np.int64)
    lengths = _mollified(np.asarray(igl.edge_lengths(stretched, faces)))
    lengths, faces = igl.intrinsic_delaunay_triangulation(lengths, faces)[:2]
    return igl.cotmatrix_intrinsic(lengths, faces).tocsr()


def _mollified(lengths: Float64[Array, "F 3"]) -> Float64[Array, "F 3"]:
    """Lengths of the edges of faces, longer by what the triangle inequality lacks.

    Sharp and Crane, "A Laplacian for nonmanifold triangle meshes", 2020, section 4.5.
    """
    slack = lengths.sum(axis=1, keepdims=True) - 2.0 * lengths  # l_i + l_j - l_k for each edge k
    lacking = MOLLIFICATION * lengths.mean() - slack.min(initial=np.inf)
    return np.asarray(lengths + max(0.0, float(lacking)))


def _solver(matrix: Any) -> Any:
    """Function that solves a symmetric, positive definite system for one or more columns.

    Without pivoting and with a symmetric ordering the factors stay sparse.
    """
    linalg = require("scipy.sparse.linalg", extra="export")
    if not matrix.shape[0]:
        return None
    symmetric = {"SymmetricMode": True}
    return linalg.splu(
        matrix.tocsc(), permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options=symmetric
    ).solve


def _in_parts_with(mesh: Mesh, mask: Bool[Array, " V"]) -> Bool[Array, " V"]:
    """Vertices of the connected parts that have a vertex in the mask."""
    part = np.zeros(len(mesh.vertices), dtype=np.intp)
    part[mesh.faces] = part_of_face(mesh)[:, None]
    has = np.zeros(part.max(initial=0) + 1, dtype=np.bool_)
    has[part[mask]] = True
    return np.asarray(has[part])
