"""Samples on rays and brackets of the surface, searched from canonical points nearby."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from imavatar_deploy.model.head_avatar import Correspondences

from .newton import invert
from .posed_field import PosedField, Rays

NEWTON_STEPS = 6
"""Largest number of Newton steps."""

ROOT_TOLERANCE = 3e-6
"""Estimated error (model units) at which an iteration ends; the root is then verified."""

IMAGE_TOLERANCE = 1e-5
"""Distance (model units) between the image of a root and its point, as published."""


class SegmentSamples(NamedTuple):
    """Samples of N rays at S distances each."""

    distance: Tensor  # [N, S]
    roots: Correspondences  # leading shape [N, S]

    def at(self, index: Tensor) -> tuple[Tensor, Correspondences]:
        """Return distance and root of one sample per ray, by index `[N]`."""
        rows = torch.arange(len(index), device=index.device)
        return self.distance[rows, index], Correspondences(
            *(part[rows, index] for part in self.roots)
        )


class Bracket(NamedTuple):
    """Two samples on each of N rays, the first outside the surface, the second inside.

    Where the first sample of a ray is inside already, both samples are this one, and it is the
    intersection.
    """

    outer: Tensor  # [N] distance of the first sample along the ray
    outside: Correspondences  # root of the first sample
    inner: Tensor  # [N] distance of the second sample
    inside: Correspondences  # root of the second sample

    def select(self, which: Tensor) -> Bracket:
        """Return some of the brackets, by mask or indices."""
        outside, inside = (
            Correspondences(*(part[which] for part in roots))
            for roots in (self.outside, self.inside)
        )
        return Bracket(self.outer[which], outside, self.inner[which], inside)

    def replace_in_place(self, which: Tensor, other: Bracket) -> None:
        """Replace the brackets at indices `which` by those of `other`; changes these tensors."""
        for part, values in zip(self._parts(), other._parts(), strict=True):
            part[which] = values

    def _parts(self) -> tuple[Tensor, ...]:
        return self.outer, *self.outside, self.inner, *self.inside

    def extended_outward(self, distance: Tensor, roots: Correspondences) -> Bracket:
        """Return brackets in which those that start inside have an earlier first sample."""
        moves = (self.outside.sdf <= 0.0) & roots.valid
        follows = moves & ~(roots.sdf > 0.0)
        outer = torch.where(moves, distance, self.outer)
        inner = torch.where(follows, distance, self.inner)
        outside = Correspondences(
            *(_choose(moves, new, old) for new, old in zip(roots, self.outside, strict=True))
        )
        inside = Correspondences(
            *(_choose(follows, new, old) for new, old in zip(roots, self.inside, strict=True))
        )
        return Bracket(outer, outside, inner, inside)

    def _share(self) -> Tensor:
        """Return the position of the zero `[N]` between the samples, from 0 to 1."""
        sign_changes = (self.outside.sdf > 0.0) & (self.inside.sdf < 0.0)
        return torch.where(
            sign_changes, self.outside.sdf / (self.outside.sdf - self.inside.sdf), 1.0
        )

    def distance(self) -> Tensor:
        """Return the zero `[N]` of the line through the two signed distances."""
        return torch.lerp(self.outer, self.inner, self._share())

    def canonical(self) -> Tensor:
        """Return the canonical points `[N, 3]`, interpolated at that zero."""
        share = torch.where(self.outside.valid, self._share(), 1.0)
        return torch.lerp(self.outside.canonical, self.inside.canonical, share[:, None])

    def narrow(self, distance: Tensor, roots: Correspondences) -> Bracket:
        """Return brackets in which a sample in between replaces the one of the same sign."""
        nearer = roots.sdf > 0.0
        outer = torch.where(nearer, distance, self.outer)
        inner = torch.where(nearer, self.inner, distance)
        outside = Correspondences(
            *(_choose(nearer, new, old) for new, old in zip(roots, self.outside, strict=True))
        )
        inside = Correspondences(
            *(_choose(nearer, old, new) for new, old in zip(roots, self.inside, strict=True))
        )
        return Bracket(outer, outside, inner, inside)


def _choose(which: Tensor, yes: Tensor, no: Tensor) -> Tensor:
    return torch.where(which if yes.dim() == 1 else which[:, None], yes, no)


def roots_near(field: PosedField, points: Tensor, start: Tensor | None) -> Correspondences:
    """Find roots of deformed points `[N, 3]` near `start` `[N, 3]`, else by the model's search.

    Near a start this takes two evaluations of the forward map and one of the geometry network. The
    search computes three roots.
    """
    if start is None:
        return field.find_canonical(points)
    solved = invert(field, points, start, steps=NEWTON_STEPS, tolerance=ROOT_TOLERANCE)
    valid = solved.converged & ((field.deform(solved.x) - points).norm(dim=1) < IMAGE_TOLERANCE)
    solved_rows = valid.nonzero()[:, 0]
    other_rows = (~valid).nonzero()[:, 0]
    sdf = torch.ones_like(points[:, 0])
    sdf[solved_rows] = field.sdf(solved.x[solved_rows])
    roots = Correspondences(solved.x, sdf, valid)
    if len(other_rows):
        for part, values in zip(roots, field.find_canonical(points[other_rows]), strict=True):
            part[other_rows] = values
    return roots


def sample(field: PosedField, rays: Rays, distance: Tensor, start: Tensor | None) -> SegmentSamples:
    """Find roots at distances `[N, S]` of N rays, from starts `[N, 3]` or `[N, S, 3]`."""
    shape = distance.shape
    points = rays.origin + distance[..., None] * rays.directions[:, None]
    if start is not None:
        start = (start if start.dim() == 3 else start[:, None]).expand_as(points).flatten(end_dim=1)
    roots = roots_near(field, points.flatten(end_dim=1), start)
    return SegmentSamples(
        distance, Correspondences(*(torch.unflatten(part, 0, shape) for part in roots))
    )
