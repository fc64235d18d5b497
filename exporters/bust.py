"""Cut the bust by three planes: below the head and on both sides of it.

`seen_bounds` computes where they lie from the views of the training; `picture_bounds` assumes it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from imavatar_deploy.arrays import Array, Bool, Float, Float32
from imavatar_deploy.model.surface.field import Field
from imavatar_deploy.model.surface.mesh import Mesh
from imavatar_deploy.progress import Advance

from .mesh_cleanup import HeadPoints

PICTURE_MARGIN = 2.0
"""Assumed side of training pictures, in longer sides of the head.

Crops of tracked videos show 1.65, the pictures of the bundled sample 1.7. A cut above what pictures
show removes seen surface, one below it only keeps more of the unseen.
"""

FLATNESS = 1e-3
"""Distance from a plane within which vertices belong to it, model units (0.25 mm)."""

RIM = 0.03
"""Width of the strip along the cut that is filled, model units (7 mm).

The outermost pixels of pictures hardly determine it, and rags begin there.
"""

UPRIGHT = np.array([[-1, 0, 0], [1, 0, 0], [0, -1, 0]], dtype=np.float32)
"""Outward normals of upright planes on the left and right, and of a level one below."""


class Plane(NamedTuple):
    """The plane of the points p with normal . p = offset."""

    normal: tuple[float, float, float]
    """Unit normal, outward."""
    offset: float
    """Distance from the origin, model units."""


@dataclass(frozen=True)
class Bounds:
    """Planes below the head and on both sides of it at which the surface ends."""

    planes: tuple[Plane, ...] = ()

    @classmethod
    def upright(cls, left: float, right: float, bottom: float) -> Bounds:
        """Planes at a smallest and a largest x and at a smallest y."""
        return cls.of(UPRIGHT, np.array([-left, right, -bottom], dtype=np.float64))

    @classmethod
    def of(cls, normals: Float[Array, "P 3"], offsets: Float[Array, " P"]) -> Bounds:
        """Planes with these unit normals and offsets."""
        rows = zip(normals.tolist(), offsets.tolist(), strict=True)
        return cls(tuple(Plane((x, y, z), offset) for (x, y, z), offset in rows))

    def beyond(self, points: Float32[Array, "N 3"]) -> Float32[Array, " N"]:
        """Distance of points from the planes, positive outside."""
        return np.asarray(self._distances(points).max(axis=1, initial=-np.inf))

    def flat(self, points: Float32[Array, "N 3"]) -> Bool[Array, " N"]:
        """Which points lie on a plane."""
        return np.asarray(self.beyond(points) > -FLATNESS)

    def within(self, points: Float32[Array, "N 3"]) -> Float32[Array, "N 3"]:
        """Points, those beyond a plane moved onto it.

        Planes that meet have normals at angles of at most 90 degrees, so that a move onto one plane
        leaves a point within those before it.
        """
        moved = points.copy()
        for plane in self.planes:
            normal = np.array(plane.normal, dtype=np.float32)
            excess = np.maximum(moved @ normal - np.float32(plane.offset), 0.0)
            moved -= excess[:, None] * normal
        return moved

    def onto(
        self, points: Float32[Array, "N 3"], near: Float32[Array, "N 3"]
    ) -> Float32[Array, "N 3"]:
        """Points, moved onto the plane that is nearest to the points `near`."""
        if not self.planes:
            return points
        nearest = self._distances(near).argmax(axis=1)
        rows = np.arange(len(points))
        distance = self._distances(points)[rows, nearest]
        return np.asarray(points - distance[:, None] * self.normals(near))

    def normals(self, points: Float32[Array, "N 3"]) -> Float32[Array, "N 3"]:
        """Outward normal of the plane that is nearest to each point."""
        normals = np.array([plane.normal for plane in self.planes], dtype=np.float32)
        return np.asarray(normals[self._distances(points).argmax(axis=1)])

    def _distances(self, points: Float32[Array, "N 3"]) -> Float32[Array, "N P"]:
        """Distances beyond each of the P planes."""
        normals = np.array([plane.normal for plane in self.planes], dtype=np.float32)
        offsets = np.array([plane.offset for plane in self.planes], dtype=np.float32)
        return np.asarray(points @ normals.reshape(-1, 3).T - offsets)


NO_BOUNDS = Bounds()


def picture_bounds(head: HeadPoints) -> Bounds:
    """The left, right and lower edge of assumed training pictures, of `PICTURE_MARGIN`.

    Args:
        head: the head model in canonical space.
    """
    points = head.points[head.on_head]
    low, high = points.min(axis=0), points.max(axis=0)
    half = PICTURE_MARGIN * float((high - low)[:2].max()) / 2.0
    x, y, _ = (low + high) / 2.0
    return Bounds.upright(float(x) - half, float(x) + half, float(y) - half)


def bounded_field(field: Field, bounds: Bounds) -> Field:
    """The field, cut at the bounds."""
    if bounds == NO_BOUNDS:
        return field
    return CutField(field.sdf, field.radius, field.device, bounds=bounds)


def clipped(mesh: Mesh, bounds: Bounds) -> Mesh:
    """The mesh without its faces beyond the bounds; those that cross a plane end on it."""
    outside = bounds.beyond(mesh.vertices) > 0
    kept = mesh.with_faces(np.asarray(~outside[mesh.faces].all(axis=1)))
    return Mesh(bounds.within(kept.vertices), kept.faces)


@dataclass
class CutField(Field):
    """A field whose surface is closed by flat faces at the bounds.

    Training leaves rags along the lower edge of the shoulders, where no picture reaches.
    """

    bounds: Bounds = field(default_factory=lambda: NO_BOUNDS)
    """Where the surface ends."""

    def values(self, points: Float32[Array, "N 3"], advance: Advance) -> Float32[Array, " N"]:
        """Return the field at points, positive beyond the bounds."""
        return np.maximum(super().values(points, advance), self.bounds.beyond(points))

    def values_and_gradients(
        self, points: Float32[Array, "N 3"], advance: Advance
    ) -> tuple[Float32[Array, " N"], Float32[Array, "N 3"]]:
        """Return the field and its gradient at points, as `values` does."""
        values, gradients = super().values_and_gradients(points, advance)
        beyond = self.bounds.beyond(points)
        cut = beyond > values
        gradients[cut] = self.bounds.normals(points[cut])
        return np.maximum(values, beyond), gradients
