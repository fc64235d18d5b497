"""Samples along pieces of rays, found from canonical points known nearby instead of from the bones."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from imavatar_deploy.model.head_avatar import Correspondences

from .newton import invert
from .posed_field import PosedField, Rays

STEPS = 6
TOLERANCE = 3e-6
"""Expected error at which an iteration ends; the root found is then asked for its true one."""

CONVERGED = 1e-5
"""As in the published search: distance between a root's image and its point, model units."""


class SegmentSamples(NamedTuple):
    """What N rays saw at S distances each."""

    distance: Tensor  # [N, S]
    roots: Correspondences  # of leading shape [N, S]

    def at(self, index: Tensor) -> tuple[Tensor, Correspondences]:
        """Distance and root of one sample a ray, by index `[N]`."""
        rows = torch.arange(len(index), device=index.device)
        return self.distance[rows, index], Correspondences(
            *(part[rows, index] for part in self.roots)
        )


class Bracket(NamedTuple):
    """Where N rays go from outside to inside: two samples each, the second of them with a negative distance.

    A ray whose very first sample is inside has that sample twice, and meets the surface there.
    """

    outer: Tensor  # [N] distance along the ray
    outside: Correspondences
    inner: Tensor
    inside: Correspondences

    def select(self, which: Tensor) -> Bracket:
        """Only some of them."""
        outside, inside = (
            Correspondences(*(part[which] for part in roots))
            for roots in (self.outside, self.inside)
        )
        return Bracket(self.outer[which], outside, self.inner[which], inside)

    def replaced(self, which: Tensor, other: Bracket) -> Bracket:
        """With the rays `which` (indices) as in `other`."""
        for part, values in zip(self._parts(), other._parts(), strict=True):
            part[which] = values
        return self

    def _parts(self) -> tuple[Tensor, ...]:
        return self.outer, *self.outside, self.inner, *self.inside

    def extended_outward(self, distance: Tensor, roots: Correspondences) -> Bracket:
        """With a sample before both, where both are inside."""
        starts_inside, out = self.outside.sdf <= 0.0, roots.sdf > 0.0
        moves, follows = starts_inside & roots.valid, starts_inside & roots.valid & ~out
        outer, inner = (
            torch.where(moves, distance, self.outer),
            torch.where(follows, distance, self.inner),
        )
        outside = Correspondences(
            *(_choose(moves, new, old) for new, old in zip(roots, self.outside, strict=True))
        )
        inside = Correspondences(
            *(_choose(follows, new, old) for new, old in zip(roots, self.inside, strict=True))
        )
        return Bracket(outer, outside, inner, inside)

    def _share(self) -> Tensor:
        sign_changes = (self.outside.sdf > 0.0) & (self.inside.sdf < 0.0)
        return torch.where(
            sign_changes, self.outside.sdf / (self.outside.sdf - self.inside.sdf), 1.0
        )

    def distance(self) -> Tensor:
        """[N] where a line through the two signed distances is zero."""
        return torch.lerp(self.outer, self.inner, self._share())

    def canonical(self) -> Tensor:
        """[N, 3] about where that point comes from."""
        share = torch.where(self.outside.valid, self._share(), 1.0)
        return torch.lerp(self.outside.canonical, self.inside.canonical, share[:, None])

    def narrowed(self, distance: Tensor, roots: Correspondences) -> Bracket:
        """With a sample in between in the place of the one whose sign it has."""
        nearer = roots.sdf > 0.0
        outer, inner = (
            torch.where(nearer, distance, self.outer),
            torch.where(nearer, self.inner, distance),
        )
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
    """Roots of deformed points `[N, 3]`: those next to `start` `[N, 3]`; the model's own search where there are none.

    Starting next door takes two evaluations of the forward map and one of the geometry; a search takes three roots.
    """
    if start is None:
        return field.find_canonical(points)
    solved = invert(field, points, start, steps=STEPS, tolerance=TOLERANCE)
    found = solved.converged & ((field.deform(solved.x) - points).norm(dim=1) < CONVERGED)
    kept, lost = found.nonzero()[:, 0], (~found).nonzero()[:, 0]
    sdf = torch.ones_like(points[:, 0])
    sdf[kept] = field.sdf(solved.x[kept])
    roots = Correspondences(solved.x, sdf, found)
    if len(lost):
        for part, searched in zip(roots, field.find_canonical(points[lost]), strict=True):
            part[lost] = searched
    return roots


def sample(field: PosedField, rays: Rays, distance: Tensor, start: Tensor | None) -> SegmentSamples:
    """Roots at the distances `[N, S]` of N rays, from canonical points `[N, 3]` or `[N, S, 3]` nearby."""
    shape = distance.shape
    points = rays.origin + distance[..., None] * rays.directions[:, None]
    if start is not None:
        start = (start if start.dim() == 3 else start[:, None]).expand_as(points).flatten(end_dim=1)
    roots = roots_near(field, points.flatten(end_dim=1), start)
    return SegmentSamples(
        distance, Correspondences(*(torch.unflatten(part, 0, shape) for part in roots))
    )
