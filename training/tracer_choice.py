"""Which tracer a run uses, and what supervises it."""

from __future__ import annotations

from collections.abc import Callable

from imavatar_deploy.model.tracing import TRACERS, MarchTracer, RasterTracer, Tracer
from imavatar_deploy.model.variant import Variant
from imavatar_deploy.model.variants import VARIANTS

from .settings import TracerSettings


def make_tracer(model: Variant, settings: TracerSettings, say: Callable[[str], None]) -> Tracer:
    """The tracer that `settings` ask for, or the marcher where the variant allows no other."""
    name = settings.name if model.direction == "forward" else "march"
    if name != settings.name:
        say(f"{model.name} maps backward, not for {settings.name}: rays are marched with {settings.samples} samples")
    if name == "march":
        return MarchTracer(samples=settings.samples)
    return RasterTracer(settings.resolution) if name == "raster" else TRACERS[name]()


def supervised(variant: str) -> bool:
    """Whether the head model's pseudo ground truth trains this variant."""
    return VARIANTS[variant].supervised
