"""Tracers: intersect rays with the surface of a model in one frame."""

from __future__ import annotations

from .raster_guided import RasterTracer
from .ray_march import MarchTracer
from .tracer import Tracer, TraceResult

TRACERS: dict[str, type[Tracer]] = {tracer.name: tracer for tracer in (RasterTracer, MarchTracer)}
"""Tracers by name; the first is the default of forward variants."""

__all__ = ["TRACERS", "MarchTracer", "RasterTracer", "TraceResult", "Tracer"]
