"""Fitting a head model to the landmarks of images, on numpy alone: one frame, or all of a video.

`landmark_points` tells where on a head model's surface each landmark of the face lies.
`FrameFitter` follows a face live; `fit_sequence` solves all frames of a video together.
"""

from __future__ import annotations

from .correspondences import LANDMARKS, LandmarkPoints, landmark_points, landmark_points_68
from .evidence import Silhouettes, TorsoMotion
from .frame_fit import FitSettings, FrameFit, FrameFitter
from .sequence_fit import SequenceFit, SequenceSettings, calibrate, estimate_shape, fit_sequence

__all__ = [
    "LANDMARKS",
    "FitSettings",
    "FrameFit",
    "FrameFitter",
    "LandmarkPoints",
    "SequenceFit",
    "SequenceSettings",
    "Silhouettes",
    "TorsoMotion",
    "calibrate",
    "estimate_shape",
    "fit_sequence",
    "landmark_points",
    "landmark_points_68",
]
