"""Tracer: finds where rays meet an avatar's surface; the contract between the tracers, rendering and training."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from imavatar_deploy.conventions import BOUNDING_RADIUS
from imavatar_deploy.model.frame import Frame, RayBundle
from imavatar_deploy.model.head_avatar import HeadAvatarModel


class TraceResult(NamedTuple):
    """What N rays met; nothing here carries a gradient."""

    canonical: Tensor  # [N, 3] of the hit, or of the smallest signed distance found along the ray
    deformed: Tensor  # [N, 3] the same point on the ray
    sdf: Tensor  # [N] there
    hit: Tensor  # [N] bool: the ray meets the surface
    valid: Tensor  # [N] bool: `canonical` is a root of `deformed`; nothing else may be supervised there


class Tracer(ABC):
    """A way to find surfaces on rays; one instance serves many frames of one model."""

    name: ClassVar[str]
    """The row's name in `tracing.TRACERS`."""
    summary: ClassVar[str]
    """One line for `--help`."""

    def refresh(self, model: HeadAvatarModel) -> None:  # noqa: B027 - most tracers have nothing to refresh
        """Told that the model's weights have changed for good; what was derived from them may be made anew.

        A tracer that derives nothing ignores it.
        """

    @abstractmethod
    def trace(
        self,
        model: HeadAvatarModel,
        frame: Frame,
        view: RayBundle,
        *,
        foreground: Tensor | None = None,
    ) -> TraceResult:
        """Where the rays of `view` meet `model` as it is in `frame`.

        Args:
            foreground: `[N]` bool, ground truth; given in training. A ray outside of it is not a surface ray there:
                it keeps the point of its smallest signed distance even if it hits (as published), `hit` still says so.
        """


# The sphere outside of which nothing is looked for: where rays enter and leave it.


class Crossing(NamedTuple):
    """Distances along rays, model units."""

    near: torch.Tensor  # [N]
    far: torch.Tensor  # [N]
    closest: torch.Tensor  # [N] where the ray comes nearest to the sphere's centre
    inside: torch.Tensor  # [N] bool: the ray meets the sphere in front of the camera


def cross(view: RayBundle, radius: float = BOUNDING_RADIUS) -> Crossing:
    """Where the rays of `view` enter and leave the sphere of `radius` about the origin; never behind the camera."""
    origin = view.origin.detach()
    closest = -(view.directions @ origin)
    squared = closest.square() - (origin @ origin - radius**2)
    half = squared.clamp(min=0.0).sqrt()
    near, far = (closest - half).clamp(min=0.0), (closest + half).clamp(min=0.0)
    return Crossing(near, far, closest, (squared > 0.0) & (far > near))
