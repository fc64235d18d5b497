"""Piece: closed surfaces with a colour and a label, and the solids they are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.optional import require

from ..warm_start.head_surface import vertex_normals

Float = NDArray[np.float32]
Faces = NDArray[np.int64]

SIDES = 12
"""Corners around a tube."""


@dataclass(frozen=True)
class SolidMesh:
    """One or more closed surfaces, in the subject's rest pose and in model units."""

    vertices: Float  # [V, 3]
    faces: Faces  # [F, 3] counter-clockwise seen from outside
    parts: NDArray[np.int64]  # [V] from 0
    colour: Float  # [V, 3] unlit
    label: str  # a name of `labels.LABELS`


@dataclass(frozen=True)
class HeadAnchors:
    """Where a subject's body is, for pieces to be fitted to."""

    rest: Float  # [V, 3]
    anchors: Float  # [V, 3] the same vertices on OpenHead's template

    def place(self, *point: float) -> Float:
        """[3] where the subject has what OpenHead's template has nearest to a point."""
        return np.asarray(
            self.rest[
                np.argmin(np.linalg.norm(self.anchors - np.array(point, dtype=np.float32), axis=1))
            ]
        )


def at(*point: float) -> Float:
    """A point or an offset, `[3]`."""
    return np.array(point, dtype=np.float32)


def solid(field: Float, low: Float, step: float) -> tuple[Float, Faces]:
    """The zero level set of a field `[X, Y, Z]` that is negative inside, sampled from `low` at `step`."""
    measure = require("skimage.measure", extra="train")
    vertices, faces, _, _ = measure.marching_cubes(field, 0.0, spacing=(step,) * 3)
    vertices, faces = vertices.astype(np.float32) + low, faces.astype(np.int64)
    return vertices, outward(vertices, faces)


def outward(vertices: Float, faces: Faces) -> Faces:
    """The faces of a closed surface, turned so that its volume is positive."""
    a, b, c = (vertices[faces[:, corner]].astype(np.float64) for corner in range(3))
    return faces if np.einsum("fc,fc->", a, np.cross(b, c)) > 0 else faces[:, ::-1].copy()


def grid(low: Float, high: Float, step: float) -> tuple[Float, Float, Float]:
    """Coordinates of a lattice with its corner at `low`, each `[X, Y, Z]`."""
    axes = [
        np.arange(first, last + step, step, dtype=np.float32)
        for first, last in zip(low, high, strict=True)
    ]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    return x, y, z


def tube(path: Float, radius: float, *, closed: bool) -> tuple[Float, Faces]:
    """A round tube along a path `[P, 3]`, either a ring or with capped ends."""
    ahead = np.roll(path, -1, axis=0) - np.roll(path, 1, axis=0)
    if not closed:
        ahead[0], ahead[-1] = path[1] - path[0], path[-1] - path[-2]
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


def _tube_faces(rings: int, closed: bool) -> Faces:
    faces = []
    for ring in range(rings if closed else rings - 1):
        for side in range(SIDES):
            a, b = ring * SIDES + side, ring * SIDES + (side + 1) % SIDES
            c, d = (a + SIDES) % (rings * SIDES), (b + SIDES) % (rings * SIDES)
            faces += [(a, b, c), (b, d, c)]
    if not closed:
        last = (rings - 1) * SIDES
        faces += [(0, side + 1, side) for side in range(1, SIDES - 1)]
        faces += [(last, last + side, last + side + 1) for side in range(1, SIDES - 1)]
    return np.asarray(faces, dtype=np.int64)


def gathered(
    surfaces: Sequence[tuple[Float, Faces]], colour: Sequence[float], label: str
) -> SolidMesh:
    """Surfaces of one colour as one piece."""
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


def combed(
    surface: tuple[Float, Faces],
    strands: Float,
    relief: float,
    dark: Sequence[float],
    light: Sequence[float],
) -> SolidMesh:
    """A body of hair: locks `[V]` in -1..1 raise its surface and brighten it."""
    vertices, faces = surface
    raised = vertices + relief * strands[:, None] * vertex_normals(vertices, faces)
    share = np.clip(0.5 + 0.55 * strands, 0.0, 1.0)[:, None]
    colour = np.array(dark) * (1.0 - share) + np.array(light) * share
    zero = np.zeros(len(vertices), dtype=np.int64)
    return SolidMesh(raised.astype(np.float32), faces, zero, colour.astype(np.float32), "hair")
