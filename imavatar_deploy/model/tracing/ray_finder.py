"""RayFinder: one trace of the raster tracer, from what the mesh shows to where each ray meets the surface."""

from __future__ import annotations

import torch
from torch import Tensor

from imavatar_deploy.model.head_avatar import Correspondences

from .bracketing import CONVERGED, Bracket, SegmentSamples, roots_near, sample
from .newton import meet
from .posed_field import PosedField, Rays
from .proxy_mesh import Guess, PosedMesh
from .tracer import Crossing, TraceResult

STEPS = 6
TOLERANCE = 3e-6
"""Expected error (model units) at which a point is left alone; the published search is content with 1e-5."""

LAYER = 0.05
"""A point that Newton's method takes this far from the mesh along its ray (model units, 12 mm) is on another layer."""

OUTLINE = 1
"""Pixels around an outline of the mesh within which a ray may meet what the mesh lacks."""

JUMP = 0.05
"""How much nearer (model units) a layer must be than the one beside it for its outline to matter."""

AROUND_OUTLINE = (-0.02, 0.0, 0.02, 0.04, 0.06, 0.08)
"""Samples about the depth of an outline (model units), as dense as the published marcher's, 0.022 apart.

Most of them behind: the pixel of the outline shows the surface a little before it turns away.
"""

BEHIND = tuple(0.02 * step for step in range(-3, 40))
"""Samples about a surface that the mesh has and the ray does not: what it meets instead is behind it."""

AROUND_FOREGROUND = tuple(0.08 * step for step in range(-3, 4))
"""Samples of a ray that should meet the surface and does not, about the depth of the nearest outline."""

INSIDE = (0.02, 0.05, 0.1, 0.18, 0.3, 0.5)
"""Samples behind the surface on a ray that should not meet it: most of them graze it, and come out soon."""

OUTWARDS = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)
"""Steps back to the outside, for a ray of which the first sample is inside."""

SECANT_STEPS = 8
"""As published."""


class RayFinder:
    """Finds what N rays meet.

    Args:
        pixels: `[N, 2]` column and row of each ray.
    """

    def __init__(
        self, field: PosedField, mesh: PosedMesh, rays: Rays, pixels: Tensor, crossing: Crossing
    ) -> None:
        self._field, self._mesh, self._rays, self._crossing = field, mesh, rays, crossing
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

    def traced(self) -> TraceResult:
        """What has been found."""
        canonical, sdf, valid = self._roots
        return TraceResult(canonical, self._rays.at(self._distance), sdf, self._hit, valid)

    def find_hits(self) -> None:
        """Polish what the mesh shows; sample rays along outlines, and rays whose surface is not where it was shown."""
        own = self._mesh.at(self._pixels)
        rows = own.shown.nonzero()[:, 0]
        expected = self._rays.select(rows).distance(own.deformed[rows])
        self._meet(rows, own.canonical[rows], expected, LAYER)
        front, edge = self._mesh.outline_near(self._pixels, OUTLINE, JUMP)
        self._march(edge | (own.shown & ~self._hit), self._mesh.at(front), AROUND_OUTLINE)
        self._march(own.shown & ~self._hit, own, BEHIND, near=False)

    def find_smallest(self, foreground: Tensor) -> None:
        """Give rays of the background, and those that miss, the point of their smallest signed distance."""
        missed = ~self._hit
        outline = self._mesh.nearest_outline(self._pixels)
        guess = self._mesh.at(outline) if outline is not None else self._middle()
        self._march(missed & foreground, guess, AROUND_FOREGROUND, near=outline is not None)
        self._march(missed & ~foreground & ~self._sampled, guess, (0.0,), near=outline is not None)
        self._minimise_sdf((self._hit & ~foreground).nonzero()[:, 0])

    def _middle(self) -> Guess:
        """Where there is no mesh to start from: the points next to the middle of the sphere."""
        points = self._rays.at(self._crossing.closest)
        return Guess(points, points, torch.zeros_like(self._hit))

    def _march(
        self, which: Tensor, guess: Guess, offsets: tuple[float, ...], *, near: bool = True
    ) -> None:
        """Sample the rays `which` about the guess; put their first crossing, or else their smallest sample.

        Args:
            near: the guess's canonical points are good starts for the samples' roots.
        """
        rows = which.nonzero()[:, 0]
        if not len(rows):
            return
        rays = self._rays.select(rows)
        distance = rays.distance(guess.deformed[rows])[:, None] + rays.directions.new_tensor(
            offsets
        )
        distance = torch.minimum(
            torch.maximum(distance, self._crossing.near[rows, None]), self._crossing.far[rows, None]
        )
        samples = sample(self._field, rays, distance, guess.canonical[rows] if near else None)
        lowest, root = samples.at(samples.roots.sdf.argmin(dim=1))
        fresh = ~self._hit[rows] & ~(self._sampled[rows] & (self._roots.sdf[rows] <= root.sdf))
        self._put(rows[fresh], lowest[fresh], Correspondences(*(part[fresh] for part in root)))
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
        """Put the hits at the first change of sign among samples that have a negative one."""
        if not len(rows):
            return
        after = (samples.roots.sdf < 0.0).to(torch.uint8).argmax(dim=1)
        bracket = Bracket(*samples.at((after - 1).clamp(min=0)), *samples.at(after))
        starts_inside = (after == 0).nonzero()[:, 0]
        if len(starts_inside):
            bracket = bracket.replaced(
                starts_inside, self._outwards(rows[starts_inside], bracket.select(starts_inside))
            )
        self._meet(rows, bracket.canonical(), bracket.distance(), LAYER)
        left = (~self._hit[rows]).nonzero()[:, 0]
        if len(left):
            self._narrow(rows[left], bracket.select(left))

    def _outwards(self, rows: Tensor, bracket: Bracket) -> Bracket:
        """Go back, in growing steps, from samples that are all inside; to where rays enter the sphere at most."""
        rays, near = self._rays.select(rows), self._crossing.near[rows]
        for step in OUTWARDS:
            distance = torch.maximum(bracket.outer - step, near)
            roots = roots_near(self._field, rays.at(distance), bracket.outside.canonical)
            bracket = bracket.extended_outward(distance, roots)
        return bracket

    def _narrow(self, rows: Tensor, bracket: Bracket) -> None:
        """Put the hits that the secant method finds where Newton's fails: between lips, along folds."""
        rays = self._rays.select(rows)
        for _ in range(SECANT_STEPS):
            distance = bracket.distance()
            bracket = bracket.narrowed(
                distance, roots_near(self._field, rays.at(distance), bracket.canonical())
            )
        self._put(rows, bracket.inner, bracket.inside)
        self._hit[rows] = True

    def _minimise_sdf(self, rows: Tensor) -> None:
        """Move hits to the smallest distance behind them."""
        if not len(rows):
            return
        rays, start = self._rays.select(rows), self._roots.canonical[rows]
        distance = self._distance[rows, None] + rays.directions.new_tensor(INSIDE)
        samples = sample(
            self._field, rays, torch.minimum(distance, self._crossing.far[rows, None]), start
        )
        lowest, root = samples.at(samples.roots.sdf.argmin(dim=1))
        lower = root.sdf < self._roots.sdf[rows]
        self._put(rows[lower], lowest[lower], Correspondences(*(part[lower] for part in root)))

    def _meet(self, rows: Tensor, start: Tensor, expected: Tensor, reach: float) -> None:
        """Put the hits that Newton's method finds within `reach` of the `expected` distance along their rays."""
        rays = self._rays.select(rows)
        solved = meet(self._field, rays, start, steps=STEPS, tolerance=TOLERANCE)
        deformed = self._field.deform(solved.x)
        distance = rays.distance(deformed)
        good = solved.converged & (rays.offset(deformed).norm(dim=1) < CONVERGED)
        good &= (distance - expected).abs() < reach
        good &= (self._crossing.near[rows] <= distance) & (distance <= self._crossing.far[rows])
        good &= ~self._hit[rows] | (distance < self._distance[rows])
        rows, distance = rows[good], distance[good]
        self._put(
            rows, distance, Correspondences(solved.x[good], torch.zeros_like(distance), good[good])
        )
        self._hit[rows] = True

    def _put(self, rows: Tensor, distance: Tensor, roots: Correspondences) -> None:
        self._distance[rows] = distance
        for part, values in zip(self._roots, roots, strict=True):
            part[rows] = values
