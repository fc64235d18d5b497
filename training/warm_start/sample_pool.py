"""SamplePool: random points on and around a head surface, with the networks' targets there."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from imavatar_deploy.arrays import Array, Float32, Int64, read_only
from imavatar_deploy.conventions import BOUNDING_RADIUS

from .head_surface import HeadSurface
from .surface_distance import SPHERE_RADIUS, query_surface

TRUNCATION = 0.12
"""Signed distances are clamped to this magnitude."""
OFFSETS = (0.0, 0.0015, 0.004, 0.012, 0.04)
"""Standard deviations of the distance from the surface, each for an equal share of the samples."""
SPACE_SHARE = 0.12
"""Share of the samples that are spread through the bounding sphere."""


@dataclass(frozen=True)
class SamplePool:
    """N points in canonical space with their signed distance and nearest point of the surface.

    `targets` interpolates the attributes of the surface's vertices at the nearest points.
    """

    subject: HeadSurface
    points: Float32[Array, "N 3"]
    distance: Float32[Array, " N"]
    faces: Int64[Array, " N"]  # the face of the nearest point
    barycentric: Float32[Array, "N 3"]  # the nearest point on that face

    @classmethod
    def draw(cls, subject: HeadSurface, count: int, seed: int, *, focus: float = 1.0) -> SamplePool:
        """Draw `count` points, most of them near the surface, the others all over the sphere.

        Args:
            focus: exponent of the importance in the density near the surface.
        """
        rng = np.random.default_rng(seed)
        spread = int(SPACE_SHARE * count)
        near = _near_surface(subject, count - spread, focus, rng)
        points = np.concatenate([near, _in_ball(spread, rng)]).astype(np.float32)
        nearest = query_surface(subject, points)
        return cls(subject, points, nearest.distance, nearest.faces, nearest.barycentric)

    @cached_property
    def close(self) -> Int64[Array, " M"]:
        """Indices of the points close enough to the surface to have a colour and a motion."""
        inside = np.linalg.norm(self.points, axis=1) < SPHERE_RADIUS + TRUNCATION / 4
        return read_only(np.flatnonzero((np.abs(self.distance) < 3.0 * OFFSETS[2]) & inside))

    @cached_property
    def apart(self) -> Int64[Array, " M"]:
        """Indices of all other points, which keep the space around the head empty."""
        return read_only(np.setdiff1d(np.arange(len(self.points)), self.close))

    @cached_property
    def _vertices(self) -> dict[str, Tensor]:
        subject = self.subject
        arrays = {
            "normal": subject.normals,
            "expression": subject.expression,
            "pose": subject.pose.transpose(0, 2, 1),
            "weights": subject.weights,
            "colour": subject.colour,
            "flush": subject.flush,
        }
        return {name: torch.tensor(np.ascontiguousarray(array)) for name, array in arrays.items()}

    def targets(self, index: Int64[Array, " M"], names: tuple[str, ...]) -> dict[str, Tensor]:
        """Interpolate attributes at the nearest points of some samples, each `[M, ...]`.

        Args:
            index: indices of the samples.
            names: `normal`, or fields of `HeadSurface`.
        """
        corners = torch.from_numpy(self.subject.faces[self.faces[index]])
        share = torch.from_numpy(self.barycentric[index])
        return {name: _interpolate(self._vertices[name], corners, share) for name in names}

    def distances(self, index: Int64[Array, " M"]) -> Tensor:
        """Truncated signed distances `[M]` of some samples."""
        return torch.from_numpy(np.clip(self.distance[index], -TRUNCATION, TRUNCATION))


def _interpolate(values: Tensor, corners: Tensor, share: Tensor) -> Tensor:
    weighted = values[corners] * share.reshape(*share.shape, *(1,) * (values.ndim - 1))
    return weighted.sum(dim=1)


def _near_surface(
    subject: HeadSurface, count: int, focus: float, rng: np.random.Generator
) -> Float32[Array, "N 3"]:
    """Points of the surface, moved along their normals by random offsets."""
    corner = subject.canonical[subject.faces]
    sides = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    density = (
        np.linalg.norm(sides, axis=1) * subject.importance[subject.faces].mean(axis=1) ** focus
    )
    faces = rng.choice(len(density), count, p=density / density.sum())
    share = rng.dirichlet((1.0, 1.0, 1.0), count)
    on = np.einsum("nc,ncd->nd", share, corner[faces])
    normal = sides[faces] / np.maximum(np.linalg.norm(sides[faces], axis=1, keepdims=True), 1e-20)
    offset = rng.normal(size=count) * np.resize(OFFSETS, count)
    return np.asarray(on + offset[:, None] * normal, dtype=np.float32)


def _in_ball(count: int, rng: np.random.Generator) -> Float32[Array, "N 3"]:
    """Uniform points in the bounding sphere."""
    direction = rng.normal(size=(count, 3))
    radius = BOUNDING_RADIUS * rng.uniform(size=(count, 1)) ** (1.0 / 3.0)
    return np.asarray(
        radius * direction / np.linalg.norm(direction, axis=1, keepdims=True), dtype=np.float32
    )
