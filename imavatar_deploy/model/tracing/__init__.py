"""Tracing: where rays meet an avatar's surface, one tracer a file."""

from __future__ import annotations

from .march import MarchTracer
from .tracer import Traced, Tracer

TRACERS: dict[str, type[Tracer]] = {tracer.name: tracer for tracer in (MarchTracer,)}
"""Every tracer by name."""

__all__ = ["TRACERS", "MarchTracer", "Traced", "Tracer"]
