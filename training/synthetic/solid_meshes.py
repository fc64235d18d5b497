"""Closed surfaces with a colour and a label, and the shapes that accessories are made of.

These are level sets, tubes and bodies of hair.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from imavatar_deploy.arrays import Array, Float32, Int64
from imavatar_deploy.optional import require

from ..warm_start.head_surface import vertex_normals

SIDES = 12
"""Corners around a tube."""


@dataclass(frozen=True)
class SolidMesh:
    """One or more closed surfaces, in the subject's rest pose and in model units."""

    vertices: Float32[Array, "V 3"]
    faces: Int64[Array, "F 3"]  # counter-clockwise as seen from outside
    parts: Int64[Array, " V"]  # index of the surface that a vertex belongs to
    colour: Float32[Array, "V 3"]  # unlit
    label: str  # a key of `labels.LABELS`


@dataclass(frozen=True)
class HeadAnchors:
    """The vertices of a subject and of OpenHead's template, by which accessories are fitted."""

    rest: Float32[Array, "V 3"]
    anchors: Float32[Array, "V 3"]  # the same vertices on OpenHead's template

    def place(self, *point: float) -> Float32[Array, "3"]:
        """Position on the subject of the template's vertex nearest to a point."""
        offset = self.anchors - np.array(point, dtype=np.float32)
        return np.asarray(self.rest[np.argmin(np.linalg.norm(offset, axis=1))])


def at(*point: float) -> Float32[Array, "3"]:
    """Return a point or an offset as an array."""
    return np.array(point, dtype=np.float32)


def zero_level_set(
    field: Float32[Array, "X Y Z"], low: Float32[Array, "3"], step: float
) -> tuple[Float32[Array, "V 3"], Int64[Array, "F 3"]]:
    """Vertices and faces of the zero level set of a field that is negative inside.

    Args:
        low: the corner of the lattice on which the field is sampled.
        step: spacing of the lattice.
    """
    measure = require("skimage.measure", extra="train")
    vertices, faces, _, _ = measure.marching_cubes(field, 0.0, spacing=(step,) * 3)
    vertices = vertices.astype(np.float32) + low
    return vertices, outward(vertices, faces.astype(np.int64))


def outward(vertices: Float32[Array, "V 3"], faces: Int64[Array, "F 3"]) -> Int64[Array, "F 3"]:
    """Orient the faces of a closed surface so that its volume is positive."""
    a, b, c = (vertices[faces[:, corner]].astype(np.float64) for corner in range(3))
    return faces if np.einsum("fc,fc->", a, np.cross(b, c)) > 0 else faces[:, ::-1].copy()


def grid(
    low: Float32[Array, "3"], high: Float32[Array, "3"], step: float
) -> tuple[Float32[Array, "X Y Z"], Float32[Array, "X Y Z"], Float32[Array, "X Y Z"]]:
    """Coordinates x, y and z of a lattice with its corner at `low`."""
    axes = [
        np.arange(first, last + step, step, dtype=np.float32)
        for first, last in zip(low, high, strict=True)
    ]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    return x, y, z


def tube(
    path: Float32[Array, "N 3"], radius: float, *, closed: bool
) -> tuple[Float32[Array, "V 3"], Int64[Array, "F 3"]]:
    """Vertices and faces of a round tube along a path.

    Args:
        closed: join the ends to a ring, instead of capping them.
    """
    ahead = np.roll(path, -1, axis=0) - np.roll(path, 1, axis=0)
    if not closed:
        ahead[0] = path[1] - path[0]
        ahead[-1] = path[-1] - path[-2]
    ahead /= np.linalg.norm(ahead, axis=1, keepdims=True)
    aside = np.cross(ahead, (0.31, 0.87, 0.38))
    aside /= np.linalg.norm(aside, axis=1, keepdims=True)
    third = np.cross(ahead, aside)
    turn = np.linspace(0.0, 2.0 * np.pi, SIDES, endpoint=False)
    rings = path[:, None] + radius * (
        np.cos(turn)[:, None] * aside[:, None] + np.sin(turn)[:, None] * third[:, None]
    )
    vertices = rings.reshape(-1, 3).astype(np.float32)
    faces = _tube_faces(len(path), closed)
    return vertices, outward(vertices, faces)


def _tube_faces(rings: int, closed: bool) -> Int64[Array, "F 3"]:
    faces = []
    for ring in range(rings if closed else rings - 1):
        for side in range(SIDES):
            a = ring * SIDES + side
            b = ring * SIDES + (side + 1) % SIDES
            c = (a + SIDES) % (rings * SIDES)
            d = (b + SIDES) % (rings * SIDES)
            faces += [(a, b, c), (b, d, c)]
    if not closed:
        last = (rings - 1) * SIDES
        faces += [(0, side + 1, side) for side in range(1, SIDES - 1)]
        faces += [(last, last + side, last + side + 1) for side in range(1, SIDES - 1)]
    return np.asarray(faces, dtype=np.int64)


def merge_surfaces(
    surfaces: Sequence[tuple[Float32[Array, "_ 3"], Int64[Array, "_ 3"]]],
    colour: Sequence[float],
    label: str,
) -> SolidMesh:
    """Merge surfaces, vertices and faces of each, into one mesh of one colour."""
    starts = np.cumsum([0, *(len(vertices) for vertices, _ in surfaces)])
    vertices = np.concatenate([vertices for vertices, _ in surfaces]).astype(np.float32)
    return SolidMesh(
        vertices,
        np.concatenate(
            [faces + start for (_, faces), start in zip(surfaces, starts, strict=False)]
        ),
        np.repeat(np.arange(len(surfaces)), np.diff(starts)),
        np.tile(np.array(colour, dtype=np.float32), (len(vertices), 1)),
        label,
    )


def hair_mesh(
    surface: tuple[Float32[Array, "V 3"], Int64[Array, "F 3"]],
    strands: Float32[Array, " V"],
    relief: float,
    dark: Sequence[float],
    light: Sequence[float],
) -> SolidMesh:
    """Make a body of hair, whose locks raise the surface and brighten it.

    Args:
        surface: vertices and faces of the body.
        strands: relief of the locks, -1 (groove) to 1 (ridge).
        relief: height of a ridge.
        dark: colour of the grooves.
        light: colour of the ridges.
    """
    vertices, faces = surface
    raised = vertices + relief * strands[:, None] * vertex_normals(vertices, faces)
    share = np.clip(0.5 + 0.55 * strands, 0.0, 1.0)[:, None]
    colour = np.array(dark) * (1.0 - share) + np.array(light) * share
    zero = np.zeros(len(vertices), dtype=np.int64)
    return SolidMesh(raised.astype(np.float32), faces, zero, colour.astype(np.float32), "hair")
