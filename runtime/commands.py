"""The runtime's commands, gathered for `pyproject.toml`."""

from __future__ import annotations

from .bench import bench
from .run import run
from .verify import verify

__all__ = ["bench", "run", "verify"]
