"""Cut the bust where pictures of a head end, by three planes."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from imavatar_deploy.arrays import Array, Bool, Float32
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.model.surface.field import Field
from imavatar_deploy.model.surface.mesh import Mesh
from imavatar_deploy.progress import Advance

from .mesh_cleanup import HeadPoints, canonical_points
from .settings import ExportSettings
from .unseen import PICTURE_MARGIN

FLATNESS = 1e-3
"""Distance from a plane within which vertices belong to it, model units (0.25 mm)."""

RIM = 0.03
"""Width of the strip along the cut that is filled, model units (7 mm).

The outermost pixels of pictures hardly determine it, and rags begin there.
"""

NORMALS = np.array([[-1, 0, 0], [1, 0, 0], [0, -1, 0]], dtype=np.float32)
"""Outward normals of the left, right and lower plane."""


@dataclass(frozen=True)
class Bounds:
    """Half-space below the head and on both sides of it where the surface ends."""

    left: float
    """Smallest x, model units."""
    right: float
    """Largest x."""
    bottom: float
    """Smallest y."""

    def beyond(self, points: Float32[Array, "N 3"]) -> Float32[Array, " N"]:
        """Distance of points from the planes, positive outside."""
        return np.asarray(self._planes(points).max(axis=1))

    def flat(self, points: Float32[Array, "N 3"]) -> Bool[Array, " N"]:
        """Which points lie on a plane."""
        return np.asarray(self.beyond(points) > -FLATNESS)

    def within(self, points: Float32[Array, "N 3"]) -> Float32[Array, "N 3"]:
        """Points, those beyond a plane moved onto it."""
        low = np.array([self.left, self.bottom, -np.inf], dtype=np.float32)
        high = np.array([self.right, np.inf, np.inf], dtype=np.float32)
        return points.clip(low, high)

    def onto(
        self, points: Float32[Array, "N 3"], near: Float32[Array, "N 3"]
    ) -> Float32[Array, "N 3"]:
        """Points, moved onto the plane that is nearest to the points `near`."""
        plane = self._planes(near).argmax(axis=1)
        coordinate = np.array([0, 0, 1])[plane]
        moved = points.copy()
        position = np.array([self.left, self.right, self.bottom], dtype=np.float32)
        moved[np.arange(len(points)), coordinate] = position[plane]
        return moved

    def normals(self, points: Float32[Array, "N 3"]) -> Float32[Array, "N 3"]:
        """Outward normal of the plane that is nearest to each point."""
        return np.asarray(NORMALS[self._planes(points).argmax(axis=1)])

    def _planes(self, points: Float32[Array, "N 3"]) -> Float32[Array, "N 3"]:
        """Distances beyond the left, right and lower plane."""
        x, y, _ = points.T
        distances = np.stack([self.left - x, x - self.right, self.bottom - y], axis=1)
        return distances.astype(np.float32)


NO_BOUNDS = Bounds(-np.inf, np.inf, -np.inf)


def picture_bounds(head: HeadPoints) -> Bounds:
    """The left, right and lower edge of the assumed training pictures.

    Args:
        head: the head model in canonical space.
    """
    points = head.points[head.on_head]
    low, high = points.min(axis=0), points.max(axis=0)
    half = PICTURE_MARGIN * float((high - low)[:2].max()) / 2.0
    x, y, _ = (low + high) / 2.0
    return Bounds(float(x) - half, float(x) + half, float(y) - half)


def bounded_field(field: Field, head: HeadModel, settings: ExportSettings) -> Field:
    """The field, cut at the `picture_bounds` if the settings say so."""
    if not settings.unseen.cut_bust:
        return field
    return CutField(
        field.sdf, field.radius, field.device, bounds=picture_bounds(canonical_points(head))
    )


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
