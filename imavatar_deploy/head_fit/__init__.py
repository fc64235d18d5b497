"""Head models fitted to the landmarks of images, on numpy alone: one frame, or all of a video.

    from imavatar_deploy.head_fit import FrameFitter, fit_sequence

    fit = fit_sequence(landmarks, head, intrinsics, (width, height))  # [T, 478, 2] pixels
    fit.shape, fit.expression, fit.pose, fit.translation

    fitter = FrameFitter(head.for_subject(fit.shape), intrinsics, (width, height))
    fitter.fit(landmarks[0]).expression  # [50]; the next call starts from this fit

- `landmark_points` states where on a head model's surface each of the 478 landmarks of
  `imavatar_deploy.vision` lies, `landmark_points_68` the same for iBUG's 68: `LandmarkPoints`.
- `fit_sequence` solves all frames of a video together (`SequenceFit`, `SequenceSettings`);
  `TorsoMotion` and `Silhouettes` are what it uses beside landmarks.
- `FrameFitter` follows a face live (`FrameFit`, `FitSettings`); `estimate_shape` gives it the
  subject's shape from a few dozen frames.

Lengths are in model units (4 a metre), angles in radians; the camera looks along -Z and does not
turn. `intrinsics` are `[4]`: fx, fy, cx, cy as fractions of the picture.
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
