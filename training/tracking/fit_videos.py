"""Fit of the head model to the prepared videos of one person: one shape for all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from imavatar_deploy.arrays import Array, Bool, Float32, Int64
from imavatar_deploy.atomic import atomic_file
from imavatar_deploy.conventions import UNITS_PER_METRE
from imavatar_deploy.errors import InputError
from imavatar_deploy.head_fit import (
    LandmarkPoints,
    SequenceFit,
    SequenceSettings,
    Silhouettes,
    TorsoMotion,
    fit_sequence,
    landmark_points,
    landmark_points_68,
)
from imavatar_deploy.head_fit.landmark_model import POSE_FEATURES
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.progress import Progress, silent
from imavatar_deploy.tracks import FlameTrack
from imavatar_deploy.untrusted.npz import read_npz

from .prepared_video import PreparedVideo
from .result import FIT_ARRAYS

PAUSE = 100.0
"""Seconds between two videos that are fitted together: nothing is smoothed across."""

POOR_FIT = 3.0
"""Error of a frame, in multiples of the video's median, from which it is dropped..."""
MIN_POOR_FIT = 0.008
"""...if it is at least this share of the side: 4 pixels at 512."""

BESIDE_OCCLUDED = 1.2
"""Error of a frame beside occluded ones, in multiples of the video's median, above which it is
taken for occluded, too: a hand comes and goes in several frames..."""
MIN_BESIDE_OCCLUDED = 0.003
"""...if it is at least this share of the side: 1.5 pixels at 512."""

FRAME_ARRAYS = ("expression", "pose", "translation", "errors", "point_errors", "weights")
"""Fields of `SequenceFit` with one row for a frame."""


@dataclass(frozen=True, eq=False)
class FitInput:
    """What the frames of one video give to the fit."""

    landmarks: Float32[Array, "T L 3"]
    confidences: Float32[Array, " T"]
    times: Any
    torso: TorsoMotion | None
    silhouettes: Silhouettes | None
    initial: SequenceFit | None


@dataclass(frozen=True, eq=False)
class KnownPerson:
    """What all videos of one person have in common."""

    shape: Float32[Array, " S"]
    offsets: Float32[Array, "K L 3"] | None
    """Displacements of the landmarks, see `SequenceFit`; None to estimate them in each video."""

    def for_landmarks(self, count: int) -> KnownPerson:
        """Return the person without displacements of another set of landmarks."""
        known = self.offsets is not None and self.offsets.shape[1] == count
        return self if known else replace(self, offsets=None)


def points_for(head: HeadModel, count: int) -> LandmarkPoints:
    """Places of 68 or 478 landmarks on a head model."""
    return landmark_points_68(head) if count == 68 else landmark_points(head)


def fit_videos(
    inputs: Sequence[FitInput],
    head: HeadModel,
    intrinsics: Float32[Array, "4"],
    size: int,
    *,
    person: KnownPerson | None,
    irises: bool = False,
    progress: Progress = silent,
) -> list[SequenceFit]:
    """Fit every video; all have one shape, and landmarks at the same places of the head.

    Args:
        inputs: the frames of each video.
        head: head model without a subject's shape.
        intrinsics: of the square pictures.
        size: their side, pixels.
        person: what is known of the person; estimated where None.
        irises: the centres of the irises are located in the pictures, see `SequenceSettings`.
        progress: shows the progress.
    """
    settings = SequenceSettings(irises=irises)
    count = inputs[0].landmarks.shape[1]
    points = points_for(head, count)
    if person is not None:
        person = person.for_landmarks(count)
    if person is None and len(inputs) > 1:
        person = _same_person(inputs, head, intrinsics, size, points, settings, progress)
    return [
        fit_sequence(
            part.landmarks,
            head,
            intrinsics,
            (size, size),
            times=part.times,
            confidences=part.confidences,
            shape=None if person is None else person.shape,
            offsets=None if person is None else person.offsets,
            initial=part.initial,
            torso=part.torso,
            silhouettes=part.silhouettes,
            points=points,
            settings=settings,
            progress=progress,
        )
        for part in inputs
    ]


def _same_person(
    inputs: Sequence[FitInput],
    head: HeadModel,
    intrinsics: Float32[Array, "4"],
    size: int,
    points: LandmarkPoints,
    settings: SequenceSettings,
    progress: Progress,
) -> KnownPerson:
    """The person of a fit of all videos, one after the other.

    Landmarks that each video displaces for itself have the heads of two videos differ in size by
    two percent, and training blurs them.
    """
    times, start = [], 0.0
    for part in inputs:
        times.append(part.times - part.times[0] + start)
        start = float(times[-1][-1]) + PAUSE
    outlines = [part.silhouettes for part in inputs if part.silhouettes is not None]
    fit = fit_sequence(
        np.concatenate([part.landmarks for part in inputs]),
        head,
        intrinsics,
        (size, size),
        times=np.concatenate(times),
        confidences=np.concatenate([part.confidences for part in inputs]),
        silhouettes=Silhouettes.joined(outlines) if len(outlines) == len(inputs) else None,
        points=points,
        settings=settings,
        progress=progress,
    )
    return KnownPerson(fit.shape, fit.offsets)


def poorly_fitted(fit: SequenceFit, size: int) -> Bool[Array, " T"]:
    """Frames whose landmarks no face of this person can have, or that have none."""
    usual = float(np.nanmedian(fit.errors))
    limit = max(POOR_FIT * usual, MIN_POOR_FIT * size)
    return np.asarray(~(fit.errors <= limit))


def beside_occluded(
    fit: SequenceFit, frames: Int64[Array, " T"], occluded: Int64[Array, " M"], size: int
) -> Bool[Array, " T"]:
    """Frames next to occluded ones that fit worse than usual, and those next to them.

    Args:
        fit: the fit of the frames.
        frames: their numbers in the video, ascending.
        occluded: numbers of the frames that were dropped as occluded.
        size: side of the pictures, pixels.
    """
    usual = float(np.nanmedian(fit.errors))
    worse = fit.errors > max(BESIDE_OCCLUDED * usual, MIN_BESIDE_OCCLUDED * size)
    selected = np.zeros(len(frames), dtype=bool)
    for gap in np.unique(np.searchsorted(frames, occluded)).tolist():
        for run in (range(gap - 1, -1, -1), range(gap, len(frames))):
            for index in run:
                if not worse[index]:
                    break
                selected[index] = True
    return selected


def select_frames(fit: SequenceFit, kept: Any) -> SequenceFit:
    """The frames of a fit at some indices."""
    return replace(fit, **{name: getattr(fit, name)[kept] for name in FRAME_ARRAYS})


def save_fit(fit: SequenceFit, path: Path) -> None:
    """Keep a fit in the work folder."""
    arrays: dict[str, Any] = {name: getattr(fit, name) for name in FIT_ARRAYS}
    with atomic_file(path) as partial, partial.open("wb") as file:
        np.savez(file, notes=np.array(fit.notes, dtype="U"), **arrays)


def load_fit(path: Path, frames: int) -> SequenceFit | None:
    """Read a fit of the work folder; None where there is none of this many frames."""
    try:
        stored = read_npz(path, FIT_ARRAYS)
        arrays: dict[str, Any] = {name: stored[name] for name in FIT_ARRAYS}
        fit = SequenceFit(**arrays)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return fit if len(fit) == frames else None


# A start from another tracker


def initial_fit(
    track: FlameTrack,
    prepared: PreparedVideo,
    kept: Any,
    frames: int,
    head: HeadModel,
    intrinsics: Float32[Array, "4"],
    size: int,
) -> SequenceFit:
    """Return another tracker's parameters for the frames that are kept.

    Translations are computed anew, because its camera is that of another crop.

    Args:
        track: of every frame of the video, or of the frames that are kept.
        prepared: the video.
        kept: indices of the frames that are kept.
        frames: number of frames of the video.
        head: head model without a subject's shape.
        intrinsics: of the square pictures.
        size: their side, pixels.

    Raises:
        InputError: the track has another number of frames.
    """
    sources = prepared.source_frames[kept]
    if len(track) == frames:
        rows = sources
    elif len(track) == len(sources):
        rows = np.arange(len(sources))
    else:
        raise InputError(
            f"the track to start from has {len(track)} frames: expected the {frames} of the video, "
            f"or the {len(sources)} of the dataset"
        )
    shape = np.zeros(head.shape_basis.shape[2], dtype=np.float32)
    shape[: len(track.shape)] = track.shape[: len(shape)]
    subject = head.for_subject(shape)
    landmarks = prepared.landmarks[kept]
    points = points_for(head, landmarks.shape[1])
    translation = np.zeros((len(rows), 3), dtype=np.float32)
    for index, row in enumerate(rows):
        vertices = subject.vertices(track.expression[row], track.pose[row])
        posed = UNITS_PER_METRE * points.positions(vertices, head.faces)
        translation[index] = _translation(posed, landmarks[index, :, :2] / size, intrinsics)
    none = np.zeros((len(rows), landmarks.shape[1]), dtype=np.float32)
    return SequenceFit(
        shape=shape,
        expression=track.expression[rows],
        pose=track.pose[rows],
        translation=translation,
        errors=none[:, 0],
        point_errors=none,
        weights=none,
        offsets=np.zeros((POSE_FEATURES, landmarks.shape[1], 3), dtype=np.float32),
    )


def _translation(
    posed: Float32[Array, "L 3"], places: Float32[Array, "L 2"], intrinsics: Float32[Array, "4"]
) -> Float32[Array, "3"]:
    """Translation that brings points to their places in the picture, by least squares.

    (u - cx) (z + tz) + fx (x + tx) = 0 and (v - cy) (z + tz) - fy (y + ty) = 0.
    """
    fx, fy, cx, cy = intrinsics.astype(np.float64)
    across, down = (places.astype(np.float64) - [cx, cy]).T
    x, y, z = posed.astype(np.float64).T
    zero, one = np.zeros_like(x), np.ones_like(x)
    rows = np.concatenate(
        [
            np.stack([fx * one, zero, across], axis=1),
            np.stack([zero, -fy * one, down], axis=1),
        ]
    )
    right = np.concatenate([-across * z - fx * x, -down * z + fy * y])
    return np.asarray(np.linalg.lstsq(rows, right, rcond=None)[0], dtype=np.float32)
