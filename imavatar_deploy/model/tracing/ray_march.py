"""March: the paper's tracer, which searches a correspondence for every sample of every ray ("Ray tracing")."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from imavatar_deploy.model.frame import Frame, RayBundle
from imavatar_deploy.model.head_avatar import Correspondences, HeadAvatarModel

from .tracer import Crossing, Tracer, TraceResult, cross

STRIDE = 10
"""Samples looked at together along a ray; a ray that has found its surface is not followed further."""

RAYS = 4096
"""Rays followed at once: bounds the memory, 100 samples of each being kept."""


class MarchSamples(NamedTuple):
    """What N rays saw at S distances."""

    distance: Tensor  # [N, S]
    roots: Correspondences  # of leading shape [N, S]; +1 and not valid where nobody looked

    def at(self, index: Tensor) -> tuple[Tensor, Correspondences]:
        """Distance and root of one sample a ray, by index `[N]`."""
        rows = torch.arange(len(index), device=index.device)
        return self.distance[rows, index], Correspondences(
            *(part[rows, index] for part in self.roots)
        )


class MarchTracer(Tracer):
    """Uniform samples through the bounding sphere, then the secant method at the first change of sign.

    A ray that starts inside the surface meets it where it enters the sphere. (The published code then takes the ray's
    last sample for the previous one, and the secant goes astray.)

    Args:
        samples: of each ray, both ends of its way through the sphere included.
        secant_steps: after which the surface is where the secant says.
    """

    name = "march"
    summary = "search every sample of every ray, as published; slow"

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
        """See `Tracer.trace`."""
        wanted = torch.ones(len(view), dtype=torch.bool, device=view.directions.device)
        wanted = wanted if foreground is None else foreground
        rays = torch.split(torch.arange(len(view), device=wanted.device), RAYS)
        traced = [self._trace(model, frame, view.select(some), wanted[some]) for some in rays]
        return TraceResult(*(torch.cat(parts) for parts in zip(*traced, strict=True)))

    def _trace(
        self, model: HeadAvatarModel, frame: Frame, view: RayBundle, wanted: Tensor
    ) -> TraceResult:
        crossing = cross(view)
        samples = self._sample(model, frame, view, crossing, wanted)
        negative = samples.roots.sdf < 0.0
        hit = negative.any(dim=1)
        distance, roots = samples.at(samples.roots.sdf.argmin(dim=1))
        distance = torch.where(crossing.inside, distance, crossing.closest)
        surface = (hit & wanted).nonzero()[:, 0]
        first = negative.to(torch.uint8).argmax(dim=1)
        distance[surface] = self._refine(model, frame, view, samples, surface, first[surface])
        anew = ((hit & wanted) | ~crossing.inside).nonzero()[:, 0]
        deformed = view.at(distance).detach()
        for part, found in zip(roots, model.find_canonical(deformed[anew], frame), strict=True):
            part[anew] = found
        return TraceResult(roots.canonical, deformed, roots.sdf, hit, roots.valid)

    def _sample(
        self,
        model: HeadAvatarModel,
        frame: Frame,
        view: RayBundle,
        crossing: Crossing,
        wanted: Tensor,
    ) -> MarchSamples:
        """Follow rays from near to far: to their first negative sample, or to the end if they are not `wanted`."""
        like = view.directions
        fractions = torch.linspace(0.0, 1.0, self.samples, dtype=like.dtype, device=like.device)
        distance = crossing.near[:, None] + fractions * (crossing.far - crossing.near)[:, None]
        points = (view.origin + distance[..., None] * view.directions[:, None]).detach()
        roots = Correspondences(
            points.clone(), torch.ones_like(distance), torch.zeros_like(distance, dtype=torch.bool)
        )
        going = crossing.inside.nonzero()[:, 0]
        for columns in torch.split(torch.arange(self.samples, device=like.device), STRIDE):
            found = model.find_canonical(points[going[:, None], columns].flatten(end_dim=1), frame)
            for part, values in zip(roots, found, strict=True):
                part[going[:, None], columns] = values.reshape(
                    len(going), len(columns), *values.shape[1:]
                )
            stopped = wanted[going] & (roots.sdf[going[:, None], columns] < 0.0).any(dim=1)
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
        """[len(rays)] distance of the surface between each ray's `first` negative sample and the one before it."""
        view = view.select(rays)
        samples = MarchSamples(
            samples.distance[rays], Correspondences(*(part[rays] for part in samples.roots))
        )
        (outside, before), (inside, after) = samples.at((first - 1).clamp(min=0)), samples.at(first)
        outer, inner = before.sdf, after.sdf
        distance = _secant(outside, inside, outer, inner)
        for _ in range(self.secant_steps):
            sdf = model.find_canonical(view.at(distance).detach(), frame).sdf
            outside, outer = (
                torch.where(sdf > 0.0, distance, outside),
                torch.where(sdf > 0.0, sdf, outer),
            )
            inside, inner = (
                torch.where(sdf < 0.0, distance, inside),
                torch.where(sdf < 0.0, sdf, inner),
            )
            distance = _secant(outside, inside, outer, inner)
        return distance


def _secant(outside: Tensor, inside: Tensor, outer: Tensor, inner: Tensor) -> Tensor:
    """[N] where a line through (outside, outer > 0) and (inside, inner < 0) is zero; `inside` for a ray starts_inside inside."""
    share = outer / (outer - inner)
    return torch.where(outside < inside, outside + share * (inside - outside), inside)
