"""RadianceFieldModel: models whose pixels are integrals of colour and density along rays.

Volume rendering (NeRF, Mildenhall et al. 2020, equation 3) with samples at distances t_i:

    C = sum_i T_i a_i c_i + (1 - sum_i T_i a_i) background
    a_i = 1 - exp(-sigma_i (t_i+1 - t_i)),    T_i = product of 1 - a_j over j < i

The geometry network gives a level l, and the density is a softplus of -l. Meshes, normals and the
loss on empty space take the zero of l for the surface, as those of the other backward variants do.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .backward_avatar import SEARCH_CHUNK, BackwardAvatarModel
from .frame import Frame, RayBundle
from .layers import smooth
from .tracing.tracer import cross

DENSITY = 1e4
"""Density per unit of negative level, 1 / model unit^2. At the level zero a ray is absorbed within
0.014 model units (4 mm)."""

FLOOR = 0.01
"""Share of the drawn samples that is spread over the whole ray, also where the density is zero."""


class RayIntegral(NamedTuple):
    """What N rays see of a radiance field."""

    colour: Tensor  # [N, 3] times opacity, without the background
    opacity: Tensor  # [N] in 0..1
    distance: Tensor  # [N] mean distance of what the ray sees, without gradients; 0 if nothing


class RadianceFieldModel(BackwardAvatarModel):
    """A `BackwardAvatarModel` that is rendered by integrals along rays.

    The texture network takes the direction towards the camera where it takes the normal of other
    variants. `colour`, which meshes use, passes the normal: the colour that is seen from there.
    """

    def integrate(
        self,
        view: RayBundle,
        frame: Frame,
        samples: int,
        *,
        jitter: Tensor | None = None,
        noise: Tensor | None = None,
        mixed: bool = False,
    ) -> RayIntegral:
        """Integrate colour and density along the rays of a view.

        `samples / 2` evenly spaced samples without gradients find where the density is, and
        `samples / 4` are drawn from there for the integral.

        Args:
            view: N rays.
            frame: parameters of the frame.
            samples: number of samples, as of the ray marcher.
            jitter: `[N]` offset of the drawn samples in 0..1; None for 0.5.
            noise: `[N, 53]`, added to the condition of the texture network.
            mixed: evaluate the texture network in bfloat16.
        """
        crossing = cross(view)
        inside = crossing.inside.nonzero()[:, 0]
        rays = view.select(inside)
        far = crossing.far[inside]
        offset = torch.full_like(far, 0.5) if jitter is None else jitter[inside]
        distances = self._distances(rays, frame, samples, crossing.near[inside], far, offset)
        count = distances.shape[1]
        points = rays.origin + distances[..., None] * rays.directions[:, None]
        canonical, geometry = self.evaluate(points.flatten(end_dim=1), frame)
        condition = self.condition(frame.expression, frame.pose)
        if noise is not None:
            condition = (condition + noise[inside]).repeat_interleave(count, dim=0)
        towards = -self.head_directions(rays.directions, frame).repeat_interleave(count, dim=0)
        with torch.autocast(canonical.device.type, torch.bfloat16, enabled=mixed):
            colours = self.texture(canonical, towards, condition, geometry.feature)
        steps = torch.cat([distances, far[:, None]], dim=1).diff(dim=1)
        weights = ray_weights(density(geometry.sdf).reshape(-1, count), steps)
        opacity = weights.sum(dim=1)
        mean = (weights * distances).sum(dim=1).detach() / opacity.detach().clamp(min=1e-6)
        colour = (weights[..., None] * colours.to(weights).reshape(-1, count, 3)).sum(dim=1)
        everywhere = len(view)
        return RayIntegral(
            colour.new_zeros(everywhere, 3).index_add(0, inside, colour),
            opacity.new_zeros(everywhere).index_add(0, inside, opacity),
            mean.new_zeros(everywhere).index_add(0, inside, mean),
        )

    def head_directions(self, directions: Tensor, frame: Frame) -> Tensor:
        """Directions `[N, 3]` as the canonical space sees them; by default unchanged."""
        return directions

    @torch.no_grad()
    def _distances(
        self,
        view: RayBundle,
        frame: Frame,
        samples: int,
        near: Tensor,
        far: Tensor,
        offset: Tensor,
    ) -> Tensor:
        """Distances `[N, samples / 4]` of the samples of the integral, ascending."""
        fractions = torch.linspace(0.0, 1.0, max(2, samples // 2) + 1).to(near)
        edges = near[:, None] + fractions * (far - near)[:, None]
        middle = (edges[:, 1:] + edges[:, :-1]) / 2.0
        points = (view.origin + middle[..., None] * view.directions[:, None]).flatten(end_dim=1)
        levels = [self.evaluate(part, frame)[1].sdf for part in torch.split(points, SEARCH_CHUNK)]
        weights = ray_weights(density(torch.cat(levels)).reshape_as(middle), edges.diff(dim=1))
        return draw_distances(edges, weights, max(2, samples // 4), offset)


def density(level: Tensor) -> Tensor:
    """Density per model unit of a level of the geometry network.

    It has a gradient up to a level of about 0.1. A steeper one is lost where the field is empty.
    """
    return DENSITY * smooth(-level)


def ray_weights(densities: Tensor, steps: Tensor) -> Tensor:
    """Return the weights T_i a_i `[N, S]` of samples of `densities` that are `steps` apart."""
    thickness = densities * steps
    before = thickness.cumsum(dim=1) - thickness
    weights: Tensor = torch.exp(-before) * -torch.expm1(-thickness)
    return weights


def draw_distances(edges: Tensor, weights: Tensor, count: int, offset: Tensor) -> Tensor:
    """Draw ascending distances `[N, count]` on rays, in proportion to the weights of intervals.

    Weights are spread to neighbouring intervals first, as in mip-NeRF (Barron et al. 2021): the
    density can be on either side of a sample.

    Args:
        edges: `[N, S + 1]` ends of the intervals.
        weights: `[N, S]`.
        count: number of distances.
        offset: `[N]` position of the draws in 0..1; one for all draws of a ray.
    """
    padded = torch.nn.functional.pad(weights, (1, 1))
    pairs = torch.maximum(padded[:, 1:], padded[:, :-1])
    spread = (pairs[:, 1:] + pairs[:, :-1]) / 2.0 + FLOOR / weights.shape[1]
    cumulated = (spread / spread.sum(dim=1, keepdim=True)).cumsum(dim=1)
    ends = torch.nn.functional.pad(cumulated, (1, 0))
    positions = (torch.arange(count).to(offset) + offset[:, None]) / count
    index = torch.searchsorted(cumulated, positions).clamp(max=weights.shape[1] - 1)
    low, high = ends.gather(1, index), ends.gather(1, index + 1)
    share = ((positions - low) / (high - low).clamp(min=1e-12)).clamp(0.0, 1.0)
    left, right = edges.gather(1, index), edges.gather(1, index + 1)
    return left + share * (right - left)
