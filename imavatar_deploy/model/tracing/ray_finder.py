"""RayFinder: one trace of the raster tracer, from a drawn mesh to the surface point of each ray.

`find_hits` refines the points of the mesh by Newton's method. It samples rays near outlines and
rays whose refinement failed. `find_smallest`, for training, sets the other rays to the point of
their smallest signed distance.
"""

from __future__ import annotations

import torch
from torch import Tensor

from imavatar_deploy.model.head_avatar import Correspondences

from .bracketing import IMAGE_TOLERANCE, Bracket, SegmentSamples, roots_near, sample
from .newton import meet
from .posed_field import PosedField, Rays
from .proxy_mesh import Guess, PosedMesh
from .tracer import Crossing, TraceResult

NEWTON_STEPS = 6
"""Largest number of Newton steps."""

ROOT_TOLERANCE = 3e-6
"""Estimated error (model units) at which an iteration ends; the published search uses 1e-5."""

LAYER_DISTANCE = 0.05
"""Distance from the mesh along a ray (model units, 12 mm) at which another layer begins."""

OUTLINE_PIXELS = 1
"""Pixels around an outline of the mesh in which a ray may meet surface missing in the mesh."""

MIN_DEPTH_JUMP = 0.05
"""Smallest difference in depth (model units) between two layers at an outline."""

OUTLINE_OFFSETS = (-0.02, 0.0, 0.02, 0.04, 0.06, 0.08)
"""Offsets of samples from the depth of an outline (model units).

The spacing is about that of the published tracer, 0.022. Most are behind: the pixel of the outline
shows the surface a little before it turns away.
"""

MISSED_SURFACE_OFFSETS = tuple(0.02 * step for step in range(-3, 40))
"""Offsets of samples from a surface of the mesh that the ray misses; most are behind."""

FOREGROUND_OFFSETS = tuple(0.08 * step for step in range(-3, 4))
"""Offsets of samples of a foreground ray without a hit, from the depth of the nearest outline."""

BACKGROUND_OFFSETS = (0.02, 0.05, 0.1, 0.18, 0.3, 0.5)
"""Offsets of samples behind the hit of a background ray; most such rays graze the surface."""

OUTWARD_STEPS = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)
"""Steps towards the camera for a ray whose first sample is inside."""

SECANT_STEPS = 8
"""Steps of the secant method, as published."""


class RayFinder:
    """Finds the surface points of N rays.

    Each ray has a current point, with its root and signed distance, and two flags. `hit`: the point
    is the nearest intersection so far. `sampled`: the ray has been sampled, and without a hit its
    point is the sample of smallest signed distance. A later search replaces a hit only by a nearer
    one, and a sample only by a smaller one. At last `find_smallest` moves the hits of background
    rays behind the surface.

    Args:
        field: the model in the frame.
        mesh: its mesh, drawn.
        rays: the rays.
        pixels: `[N, 2]` column and row of each ray.
        crossing: intersections of the rays with the bounding sphere.
    """

    def __init__(
        self, field: PosedField, mesh: PosedMesh, rays: Rays, pixels: Tensor, crossing: Crossing
    ) -> None:
        self._field = field
        self._mesh = mesh
        self._rays = rays
        self._crossing = crossing
        self._pixels = mesh.number(pixels)
        like = rays.directions
        self._distance = crossing.closest.clone()
        self._roots = Correspondences(
            torch.zeros_like(like),
            torch.ones_like(like[:, 0]),
            torch.zeros_like(like[:, 0], dtype=torch.bool),
        )
        self._hit = torch.zeros_like(self._roots.valid)
        self._sampled = torch.zeros_like(self._hit)

    def result(self) -> TraceResult:
        """Return the current points of all rays."""
        canonical, sdf, valid = self._roots
        return TraceResult(canonical, self._rays.at(self._distance), sdf, self._hit, valid)

    def find_hits(self) -> None:
        """Refine the points of the mesh; sample rays near outlines and rays without a hit."""
        own = self._mesh.at(self._pixels)
        rows = own.covered.nonzero()[:, 0]
        expected = self._rays.select(rows).distance(own.deformed[rows])
        self._meet(rows, own.canonical[rows], expected, LAYER_DISTANCE)
        front, edge = self._mesh.outline_near(self._pixels, OUTLINE_PIXELS, MIN_DEPTH_JUMP)
        self._march(edge | (own.covered & ~self._hit), self._mesh.at(front), OUTLINE_OFFSETS)
        self._march(own.covered & ~self._hit, own, MISSED_SURFACE_OFFSETS, near=False)

    def find_smallest(self, foreground: Tensor) -> None:
        """Set background rays and rays without a hit to the point of smallest signed distance."""
        missed = ~self._hit
        outline = self._mesh.nearest_outline(self._pixels)
        guess = self._mesh.at(outline) if outline is not None else self._middle()
        self._march(missed & foreground, guess, FOREGROUND_OFFSETS, near=outline is not None)
        self._march(missed & ~foreground & ~self._sampled, guess, (0.0,), near=outline is not None)
        self._minimise_sdf((self._hit & ~foreground).nonzero()[:, 0])

    def _middle(self) -> Guess:
        """Return the points of the rays nearest to the centre of the sphere, for an empty image."""
        points = self._rays.at(self._crossing.closest)
        return Guess(points, points, torch.zeros_like(self._hit))

    def _march(
        self, which: Tensor, guess: Guess, offsets: tuple[float, ...], *, near: bool = True
    ) -> None:
        """Sample rays around a guess; store their first crossing, else their smallest sample.

        Args:
            which: `[N]` mask of the rays to sample.
            guess: points of all rays.
            offsets: distances of the samples from the guess.
            near: whether the canonical points of the guess are good starts for the samples.
        """
        rows = which.nonzero()[:, 0]
        if not len(rows):
            return
        rays = self._rays.select(rows)
        middle = rays.distance(guess.deformed[rows])[:, None]
        distance = middle + rays.directions.new_tensor(offsets)
        distance = torch.maximum(distance, self._crossing.near[rows, None])
        distance = torch.minimum(distance, self._crossing.far[rows, None])
        samples = sample(self._field, rays, distance, guess.canonical[rows] if near else None)
        lowest, root = samples.at(samples.roots.sdf.argmin(dim=1))
        fresh = ~self._hit[rows] & ~(self._sampled[rows] & (self._roots.sdf[rows] <= root.sdf))
        self._store(rows[fresh], lowest[fresh], Correspondences(*(part[fresh] for part in root)))
        self._sampled[rows] = True
        first = distance.masked_fill(samples.roots.sdf >= 0.0, torch.inf).amin(dim=1)
        known = torch.where(self._hit[rows], self._distance[rows], torch.inf)
        crossed = (first < known) & self._crossing.inside[rows]
        self._cross(
            rows[crossed],
            SegmentSamples(
                distance[crossed], Correspondences(*(part[crossed] for part in samples.roots))
            ),
        )

    def _cross(self, rows: Tensor, samples: SegmentSamples) -> None:
        """Store the hits at the first change of sign; every ray has a negative sample."""
        if not len(rows):
            return
        after = (samples.roots.sdf < 0.0).to(torch.uint8).argmax(dim=1)
        bracket = Bracket(*samples.at((after - 1).clamp(min=0)), *samples.at(after))
        starts_inside = (after == 0).nonzero()[:, 0]
        if len(starts_inside):
            bracket.replace_in_place(
                starts_inside, self._outwards(rows[starts_inside], bracket.select(starts_inside))
            )
        self._meet(rows, bracket.canonical(), bracket.distance(), LAYER_DISTANCE)
        left = (~self._hit[rows]).nonzero()[:, 0]
        if len(left):
            self._narrow(rows[left], bracket.select(left))

    def _outwards(self, rows: Tensor, bracket: Bracket) -> Bracket:
        """Extend brackets that start inside towards the camera, at most to the sphere."""
        rays, near = self._rays.select(rows), self._crossing.near[rows]
        for step in OUTWARD_STEPS:
            distance = torch.maximum(bracket.outer - step, near)
            roots = roots_near(self._field, rays.at(distance), bracket.outside.canonical)
            bracket = bracket.extended_outward(distance, roots)
        return bracket

    def _narrow(self, rows: Tensor, bracket: Bracket) -> None:
        """Store hits by the secant method where Newton's fails: between lips, along folds."""
        rays = self._rays.select(rows)
        for _ in range(SECANT_STEPS):
            distance = bracket.distance()
            bracket = bracket.narrow(
                distance, roots_near(self._field, rays.at(distance), bracket.canonical())
            )
        self._store(rows, bracket.inner, bracket.inside)
        self._hit[rows] = True

    def _minimise_sdf(self, rows: Tensor) -> None:
        """Move hits to the point of smallest signed distance behind them."""
        if not len(rows):
            return
        rays = self._rays.select(rows)
        start = self._roots.canonical[rows]
        distance = self._distance[rows, None] + rays.directions.new_tensor(BACKGROUND_OFFSETS)
        distance = torch.minimum(distance, self._crossing.far[rows, None])
        samples = sample(self._field, rays, distance, start)
        lowest, root = samples.at(samples.roots.sdf.argmin(dim=1))
        lower = root.sdf < self._roots.sdf[rows]
        self._store(rows[lower], lowest[lower], Correspondences(*(part[lower] for part in root)))

    def _meet(self, rows: Tensor, start: Tensor, expected: Tensor, reach: float) -> None:
        """Store hits by Newton's method within `reach` of the `expected` distance on their rays."""
        rays = self._rays.select(rows)
        solved = meet(self._field, rays, start, steps=NEWTON_STEPS, tolerance=ROOT_TOLERANCE)
        deformed = self._field.deform(solved.x)
        distance = rays.distance(deformed)
        good = solved.converged & (rays.offset(deformed).norm(dim=1) < IMAGE_TOLERANCE)
        good &= (distance - expected).abs() < reach
        good &= (self._crossing.near[rows] <= distance) & (distance <= self._crossing.far[rows])
        good &= ~self._hit[rows] | (distance < self._distance[rows])
        rows, distance = rows[good], distance[good]
        self._store(
            rows, distance, Correspondences(solved.x[good], torch.zeros_like(distance), good[good])
        )
        self._hit[rows] = True

    def _store(self, rows: Tensor, distance: Tensor, roots: Correspondences) -> None:
        self._distance[rows] = distance
        for part, values in zip(self._roots, roots, strict=True):
            part[rows] = values
