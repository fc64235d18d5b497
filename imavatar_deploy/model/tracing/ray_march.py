"""MarchTracer: the tracer of the paper, a correspondence search per sample ("Ray tracing")."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from imavatar_deploy.conventions import TRACER_SUMMARIES
from imavatar_deploy.model.frame import Frame, RayBundle
from imavatar_deploy.model.head_avatar import Correspondences, HeadAvatarModel

from .tracer import Crossing, Tracer, TraceResult, cross

STRIDE = 10
"""Samples evaluated at once on a ray. A ray ends with the block that contains its surface."""

RAYS = 4096
"""Rays traced at once; bounds the memory for the 100 samples of each."""


class MarchSamples(NamedTuple):
    """Samples of N rays at S distances."""

    distance: Tensor  # [N, S]
    roots: Correspondences  # leading shape [N, S]; +1 and invalid where not evaluated

    def at(self, index: Tensor) -> tuple[Tensor, Correspondences]:
        """Return distance and root of one sample per ray, by index `[N]`."""
        rows = torch.arange(len(index), device=index.device)
        return self.distance[rows, index], Correspondences(
            *(part[rows, index] for part in self.roots)
        )


class MarchTracer(Tracer):
    """Uniform samples in the bounding sphere, then the secant method at the first change of sign.

    A ray that starts inside the surface meets it where it enters the sphere. (The published code
    uses the last sample of the ray as the previous one in this case, which misplaces the point.)

    Args:
        samples: number of samples per ray, including both ends of its segment in the sphere.
        secant_steps: number of steps of the secant method.
    """

    name = "march"
    summary = TRACER_SUMMARIES[name]

    def __init__(self, samples: int = 100, secant_steps: int = 8) -> None:
        self.samples = samples
        self.secant_steps = secant_steps

    @torch.no_grad()
    def trace(
        self,
        model: HeadAvatarModel,
        frame: Frame,
        view: RayBundle,
        *,
        foreground: Tensor | None = None,
    ) -> TraceResult:
        """Intersect rays with the model as described in `Tracer.trace`."""
        if foreground is None:
            foreground = torch.ones(len(view), dtype=torch.bool, device=view.directions.device)
        parts = torch.split(torch.arange(len(view), device=foreground.device), RAYS)
        traced = [self._trace(model, frame, view.select(part), foreground[part]) for part in parts]
        return TraceResult(*(torch.cat(parts) for parts in zip(*traced, strict=True)))

    def _trace(
        self, model: HeadAvatarModel, frame: Frame, view: RayBundle, foreground: Tensor
    ) -> TraceResult:
        crossing = cross(view)
        samples = self._sample(model, frame, view, crossing, foreground)
        negative = samples.roots.sdf < 0.0
        hit = negative.any(dim=1)
        distance, roots = samples.at(samples.roots.sdf.argmin(dim=1))
        distance = torch.where(crossing.inside, distance, crossing.closest)
        surface = (hit & foreground).nonzero()[:, 0]
        first = negative.to(torch.uint8).argmax(dim=1)
        distance[surface] = self._refine(model, frame, view, samples, surface, first[surface])
        moved = ((hit & foreground) | ~crossing.inside).nonzero()[:, 0]
        deformed = view.at(distance).detach()
        moved_roots = model.find_canonical(deformed[moved], frame)
        for part, values in zip(roots, moved_roots, strict=True):
            part[moved] = values
        return TraceResult(roots.canonical, deformed, roots.sdf, hit, roots.valid)

    def _sample(
        self,
        model: HeadAvatarModel,
        frame: Frame,
        view: RayBundle,
        crossing: Crossing,
        foreground: Tensor,
    ) -> MarchSamples:
        """Sample rays from near to far; foreground rays end after the first negative sample."""
        like = view.directions
        fractions = torch.linspace(0.0, 1.0, self.samples, dtype=like.dtype, device=like.device)
        distance = crossing.near[:, None] + fractions * (crossing.far - crossing.near)[:, None]
        points = (view.origin + distance[..., None] * view.directions[:, None]).detach()
        roots = Correspondences(
            points.clone(), torch.ones_like(distance), torch.zeros_like(distance, dtype=torch.bool)
        )
        going = crossing.inside.nonzero()[:, 0]
        for columns in torch.split(torch.arange(self.samples, device=like.device), STRIDE):
            block = model.find_canonical(points[going[:, None], columns].flatten(end_dim=1), frame)
            for part, values in zip(roots, block, strict=True):
                part[going[:, None], columns] = values.reshape(
                    len(going), len(columns), *values.shape[1:]
                )
            stopped = foreground[going] & (roots.sdf[going[:, None], columns] < 0.0).any(dim=1)
            going = going[~stopped]
        return MarchSamples(distance, roots)

    def _refine(
        self,
        model: HeadAvatarModel,
        frame: Frame,
        view: RayBundle,
        samples: MarchSamples,
        rays: Tensor,
        first: Tensor,
    ) -> Tensor:
        """Return the distance of the surface before the `first` negative sample of each ray."""
        view = view.select(rays)
        samples = MarchSamples(
            samples.distance[rays], Correspondences(*(part[rays] for part in samples.roots))
        )
        outside, before = samples.at((first - 1).clamp(min=0))
        inside, after = samples.at(first)
        outer, inner = before.sdf, after.sdf
        distance = _secant(outside, inside, outer, inner)
        for _ in range(self.secant_steps):
            sdf = model.find_canonical(view.at(distance).detach(), frame).sdf
            outside = torch.where(sdf > 0.0, distance, outside)
            outer = torch.where(sdf > 0.0, sdf, outer)
            inside = torch.where(sdf < 0.0, distance, inside)
            inner = torch.where(sdf < 0.0, sdf, inner)
            distance = _secant(outside, inside, outer, inner)
        return distance


def _secant(outside: Tensor, inside: Tensor, outer: Tensor, inner: Tensor) -> Tensor:
    """Return the zero `[N]` of the line through (outside, outer > 0) and (inside, inner < 0).

    The result is `inside` for a ray that starts inside, where both distances are equal.
    """
    share = outer / (outer - inner)
    return torch.where(outside < inside, outside + share * (inside - outside), inside)
