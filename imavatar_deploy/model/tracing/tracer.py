"""Tracer: the interface of tracers, and the intersection of rays with the bounding sphere."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from imavatar_deploy.conventions import BOUNDING_RADIUS
from imavatar_deploy.model.frame import Frame, RayBundle
from imavatar_deploy.model.head_avatar import HeadAvatarModel


class TraceResult(NamedTuple):
    """Surface points of N rays, without gradients."""

    canonical: Tensor  # [N, 3] of the hit, or of the smallest signed distance on the ray
    deformed: Tensor  # [N, 3] the same point on the ray
    sdf: Tensor  # [N] signed distance at the point
    hit: Tensor  # [N] bool: the ray meets the surface
    valid: Tensor  # [N] bool: `canonical` deforms to `deformed`; other points are not supervised


class Tracer(ABC):
    """Finds surface points on rays; one instance serves many frames of one model."""

    name: ClassVar[str]
    """Name in `tracing.TRACERS`."""
    summary: ClassVar[str]
    """One line for `--help`."""

    def refresh(self, model: HeadAvatarModel) -> None:  # noqa: B027 - most tracers have nothing to refresh
        """Recompute what the tracer derives from the model's weights; by default nothing."""

    @abstractmethod
    def trace(
        self,
        model: HeadAvatarModel,
        frame: Frame,
        view: RayBundle,
        *,
        foreground: Tensor | None = None,
    ) -> TraceResult:
        """Intersect the rays of `view` with `model` in `frame`.

        Args:
            model: the model.
            frame: parameters of the frame.
            view: N rays.
            foreground: `[N]` bool ground-truth mask, used in training. For rays outside of it the
                result is the point of smallest signed distance, as published, even where `hit` is
                true.
        """


# The bounding sphere


class Crossing(NamedTuple):
    """Intersection of N rays with a sphere: distances along the rays, model units."""

    near: torch.Tensor  # [N]
    far: torch.Tensor  # [N]
    closest: torch.Tensor  # [N] nearest to the centre of the sphere
    inside: torch.Tensor  # [N] bool: the ray meets the sphere in front of the camera


def cross(view: RayBundle, radius: float = BOUNDING_RADIUS) -> Crossing:
    """Intersect rays with the sphere of `radius` about the origin, in front of the camera."""
    origin = view.origin.detach()
    closest = -(view.directions @ origin)
    squared = closest.square() - (origin @ origin - radius**2)
    half = squared.clamp(min=0.0).sqrt()
    near = (closest - half).clamp(min=0.0)
    far = (closest + half).clamp(min=0.0)
    return Crossing(near, far, closest, (squared > 0.0) & (far > near))
