"""The runtime's commands, gathered for `pyproject.toml`."""

from __future__ import annotations

from .bench.command import bench
from .run import run
from .send import send
from .verify import verify

__all__ = ["bench", "run", "send", "verify"]
