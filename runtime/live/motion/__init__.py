"""Motion: observations that come late, twice, in disorder or not at all -> a smooth pose at any moment."""

from __future__ import annotations

from .calibration import Neutral, read_neutral
from .filters import Smoothing
from .jitter_buffer import DROPOUTS
from .pipeline import Moment, Motion
from .settings import HEADS, Adjustment, Settings, read_adjustment

__all__ = [
    "DROPOUTS",
    "HEADS",
    "Adjustment",
    "Moment",
    "Motion",
    "Neutral",
    "Settings",
    "Smoothing",
    "read_adjustment",
    "read_neutral",
]
