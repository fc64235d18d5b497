"""Motion: observations that come late, twice, out of order or not at all -> a smooth pose."""

from __future__ import annotations

from .calibration import Neutral, read_neutral
from .face_state import HEADS, Adjustment
from .jitter_buffer import DROPOUTS
from .pipeline import MotionPipeline, MotionSample
from .playback import Smoothing
from .settings import MotionSettings, read_adjustment

__all__ = [
    "DROPOUTS",
    "HEADS",
    "Adjustment",
    "MotionPipeline",
    "MotionSample",
    "MotionSettings",
    "Neutral",
    "Smoothing",
    "read_adjustment",
    "read_neutral",
]
