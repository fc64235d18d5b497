"""Motion: observations that come late, twice, in disorder or not at all -> a smooth pose at any moment."""

from __future__ import annotations

from .adjust import Adjustment, read_adjustment
from .calibration import Neutral, read_neutral
from .dropout import DROPOUTS
from .head_motion import HEADS
from .motion import Moment, Motion
from .one_euro import Smoothing
from .settings import Settings

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
