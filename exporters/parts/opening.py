"""Opening of an opening of the skin, the mouth or an eye, in the front view of canonical space."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from imavatar_deploy.arrays import Array, Float32, Float64
from imavatar_deploy.model import ImplicitAvatar
from imavatar_deploy.model.surface.mesh import Mesh

COLUMNS = 41
"""Number of columns in which an outline is stated."""

ROUNDS = 6
"""Rounds in which both edges of an outline are moved until they meet."""

DEGREE = 6
"""Degree of the polynomial that the displacement of an edge is over the columns.

Single columns are noisy, and an edge of lips or lids is smooth.
"""

OVERLAP = 0.006
"""Height by which the edges overlap when they meet, model units (1.5 mm)."""


@dataclass(frozen=True)
class Opening:
    """Closed outline between an upper and a lower edge, which meet in two corners."""

    x: Float64[Array, " N"]
    """Columns, increasing, from corner to corner."""
    upper: Float64[Array, " N"]
    """Height of the upper edge in each column."""
    lower: Float64[Array, " N"]
    """Height of the lower edge in each column."""
    behind: float
    """Smallest z of the surface that is opened."""

    @classmethod
    def through(
        cls, upper: Float32[Array, "M 3"], lower: Float32[Array, "M 3"], depth: float
    ) -> Opening:
        """Return the outline through points of both edges, with both corners in each.

        Args:
            upper: points of the upper edge with increasing x.
            lower: points of the lower edge with increasing x; the corners are those of `upper`.
            depth: of the opening behind its rearmost point.
        """
        corners = upper[[0, -1], 0].astype(np.float64)
        share = 0.5 - 0.5 * np.cos(np.linspace(0.0, np.pi, COLUMNS))
        x = corners[0] + share * (corners[1] - corners[0])
        edges = [_curve(points.astype(np.float64), x) for points in (upper, lower)]
        behind = float(min(upper[:, 2].min(), lower[:, 2].min()) - depth)
        return cls(x, np.maximum(*edges), np.minimum(*edges), behind)

    def signed(self, points: Float32[Array, "N 3"]) -> Float64[Array, " N"]:
        """Height outside the outline, negative inside; only points in front of `behind` count."""
        x, y, z = points.astype(np.float64).T
        above = y - np.interp(x, self.x, self.upper)
        below = np.interp(x, self.x, self.lower) - y
        beside = np.maximum(self.x[0] - x, x - self.x[-1])
        signed = np.maximum(np.maximum(above, below), beside)
        return np.where(z > self.behind, signed, 1.0)

    def nearest(self, points: Float32[Array, "N 3"]) -> Float32[Array, "N 3"]:
        """Points near the outline, moved onto it vertically."""
        moved = points.copy()
        upper, lower = (np.interp(points[:, 0], self.x, edge) for edge in (self.upper, self.lower))
        nearer = np.abs(points[:, 1] - upper) < np.abs(points[:, 1] - lower)
        moved[:, 0] = points[:, 0].clip(self.x[0], self.x[-1])
        moved[:, 1] = np.where(nearer, upper, lower)
        return moved

    def widened(self, upper: float, lower: float) -> Opening:
        """Return the opening with its edges moved apart, less towards the corners.

        Args:
            upper: height by which the upper edge is moved up in the middle.
            lower: height by which the lower edge is moved down in the middle.
        """
        middle, half = (self.x[0] + self.x[-1]) / 2.0, (self.x[-1] - self.x[0]) / 2.0
        share = 1.0 - ((self.x - middle) / half) ** 4
        return replace(self, upper=self.upper + upper * share, lower=self.lower - lower * share)

    def meeting(
        self,
        mesh: Mesh,
        avatar: ImplicitAvatar,
        expression: Float32[Array, " E"],
        pose: Float32[Array, "15"],
        *,
        limit: float,
    ) -> Opening:
        """Return the outline whose edges meet in a frame in which the networks close the opening.

        The networks learn the motion of lips and lids from pictures. Where their edges are in
        canonical space differs from the head model by some millimetres. Each edge moves by half
        of the gap.

        Args:
            mesh: the canonical surface.
            avatar: the networks.
            expression: of the frame with a closed opening.
            pose: of that frame.
            limit: largest displacement of an edge.
        """
        start = (self.upper, self.lower)
        outline = self
        for _ in range(ROUNDS):
            heights = [
                _posed_heights(outline.x, edge, mesh, avatar, expression, pose)
                for edge in (outline.upper, outline.lower)
            ]
            gap = heights[0] - heights[1] + OVERLAP
            edges = [
                _smooth_shift(outline.x, first, edge + half * gap, limit)
                for first, edge, half in zip(
                    start, (outline.upper, outline.lower), (-0.5, 0.5), strict=True
                )
            ]
            outline = replace(outline, upper=np.maximum(*edges), lower=np.minimum(*edges))
        return outline


def _curve(points: Float64[Array, "M 3"], x: Float64[Array, " N"]) -> Float64[Array, " N"]:
    """Height of a smooth curve through points in the front view."""
    fit = np.polynomial.Polynomial.fit(points[:, 0], points[:, 1], len(points) - 1)
    return np.asarray(fit(x), dtype=np.float64)


def _smooth_shift(
    x: Float64[Array, " N"],
    start: Float64[Array, " N"],
    edge: Float64[Array, " N"],
    limit: float,
) -> Float64[Array, " N"]:
    """An edge whose displacement from `start` is smooth, limited, and zero in the corners."""
    middle, half = (x[0] + x[-1]) / 2.0, (x[-1] - x[0]) / 2.0
    taper = 1.0 - ((x - middle) / half) ** 4
    shift = np.nan_to_num(edge - start).clip(-limit, limit)
    fit = np.polynomial.Polynomial.fit(x, shift, DEGREE, w=taper + 1e-3)
    return np.asarray(start + taper * fit(x).clip(-limit, limit), dtype=np.float64)


def _posed_heights(
    x: Float64[Array, " N"],
    y: Float64[Array, " N"],
    mesh: Mesh,
    avatar: ImplicitAvatar,
    expression: Float32[Array, " E"],
    pose: Float32[Array, "15"],
) -> Float64[Array, " N"]:
    """Heights of points of the surface in a frame, given in the front view."""
    points = torch.from_numpy(front_points(mesh, x, y)).to(avatar.canonical_pose)
    with torch.inference_mode():
        posed = avatar.deform(
            points, torch.from_numpy(expression).to(points), torch.from_numpy(pose).to(points)
        )
    return np.asarray(posed[:, 1].cpu().numpy(), dtype=np.float64)


def front_points(
    mesh: Mesh, x: Float64[Array, " N"], y: Float64[Array, " N"]
) -> Float32[Array, "N 3"]:
    """Foremost points of a mesh at places of the front view.

    Where there is none, the depth is that of the nearest vertex in front.
    """
    target = np.stack([x, y], axis=1)
    corners = mesh.vertices.astype(np.float64)[mesh.faces]
    low, high = target.min(axis=0), target.max(axis=0)
    seen = (corners[..., :2].max(axis=1) >= low) & (corners[..., :2].min(axis=1) <= high)
    a, b, c = np.moveaxis(corners[seen.all(axis=1)], 1, 0)
    first, second = b[:, :2] - a[:, :2], c[:, :2] - a[:, :2]
    area = first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]
    area = np.where(np.abs(area) < 1e-14, np.inf, area)
    offset = target[:, None] - a[None, :, :2]
    u = (offset[..., 0] * second[:, 1] - offset[..., 1] * second[:, 0]) / area
    v = (first[:, 0] * offset[..., 1] - first[:, 1] * offset[..., 0]) / area
    z = a[:, 2] + u * (b[:, 2] - a[:, 2]) + v * (c[:, 2] - a[:, 2])
    inside = (u >= -1e-9) & (v >= -1e-9) & (u + v <= 1.0 + 1e-9) & np.isfinite(area)
    z = np.where(inside, z, -np.inf).max(axis=1, initial=-np.inf)
    missing = ~np.isfinite(z)
    if missing.any():
        front = mesh.vertices[mesh.vertices[:, 2] >= mesh.vertices[:, 2].mean() - 1e-6]
        distance = np.linalg.norm(target[missing, None] - front[None, :, :2], axis=2)
        z[missing] = front[distance.argmin(axis=1), 2]
    return np.stack([x, y, z], axis=1).astype(np.float32)
