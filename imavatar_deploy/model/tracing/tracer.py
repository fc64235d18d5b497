"""Tracer: finds where rays meet an avatar's surface; the contract between the tracers, rendering and training."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

from torch import Tensor

from imavatar_deploy.model.frame import Frame, View
from imavatar_deploy.model.variant import Variant


class Traced(NamedTuple):
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

    def refresh(self, model: Variant) -> None:  # noqa: B027 - most tracers have nothing to refresh
        """Told that the model's weights have changed for good; what was derived from them may be made anew.

        A tracer that derives nothing ignores it.
        """

    @abstractmethod
    def trace(self, model: Variant, frame: Frame, view: View, *, foreground: Tensor | None = None) -> Traced:
        """Where the rays of `view` meet `model` as it is in `frame`.

        Args:
            foreground: `[N]` bool, ground truth; given in training. A ray outside of it is not a surface ray there:
                it keeps the point of its smallest signed distance even if it hits (as published), `hit` still says so.
        """
