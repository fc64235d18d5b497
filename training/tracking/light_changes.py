"""Changes of the light in a video, by the brightness of the face."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from imavatar_deploy.arrays import Array, Float, Float64

from .coverage import HeadAngles

LIGHT_STEP = 0.12
"""Relative change of the face's brightness within LIGHT_SECONDS that is visible as a change of the
light; automatic exposure makes such steps."""

LIGHT_SECONDS = 1.0
"""Length of the windows before and after a moment that are compared."""

MIN_LIGHT_FRAMES = 25
"""With fewer frames the turn of the head cannot be told from a change of the light."""


def light_changes(
    brightness: Float64[Array, " T"], times: Float[Array, " T"], angles: HeadAngles
) -> Float64[Array, " T"]:
    """Return the relative step of the brightness at each frame.

    It is the difference of the medians of LIGHT_SECONDS after and before. A head that turns to and
    from a lamp changes its brightness, too: the part that follows from yaw and pitch is subtracted
    first (least squares, quadratic).
    """
    level = float(np.median(brightness))
    steps = np.zeros(len(brightness))
    if level <= 0 or len(brightness) < MIN_LIGHT_FRAMES:
        return steps
    yaw, pitch = angles.yaw / 30.0, angles.pitch / 30.0
    terms = np.column_stack([np.ones_like(yaw), yaw, pitch, yaw**2, pitch**2]).astype(np.float64)
    coefficients = np.linalg.lstsq(terms, brightness, rcond=1e-6)[0]
    rest = brightness - terms[:, 1:] @ coefficients[1:]
    starts = np.searchsorted(times, times - LIGHT_SECONDS)
    ends = np.searchsorted(times, times + LIGHT_SECONDS)
    for index in range(len(rest)):
        before, after = rest[starts[index] : index], rest[index : ends[index]]
        if min(len(before), len(after)) >= 3:
            steps[index] = abs(float(np.median(after) - np.median(before))) / level
    return steps


def light_peaks(change: Float64[Array, " T"], times: Float[Array, " T"]) -> Iterator[float]:
    """Return the moments of the largest changes, one for each run of frames above LIGHT_STEP."""
    above = np.flatnonzero(change > LIGHT_STEP)
    for run in np.split(above, np.flatnonzero(np.diff(above) > 1) + 1):
        if len(run):
            yield float(times[run[change[run].argmax()]])
