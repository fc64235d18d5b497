"""Consistency checks of one video: swapped and shifted frames, outlier images, duplicates."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from imavatar_deploy.arrays import Array, Float, Float64
from imavatar_deploy.dataset.video import TRACK_FILE, Video
from imavatar_deploy.tracks.track import FlameTrack

from .findings import ERROR, WARNING, Finding
from .frame_summary import THUMBNAIL_SIDE, FrameSummary

NEIGHBOURS = 4
"""Frames to each side whose median is the usual offset of image and pose around a frame."""

OUTLIER_RATIO = 8.0
"""Deviation of an inconsistent frame, in multiples of the median deviation of the video."""

MIN_DEVIATION = 0.025
"""Smallest deviation of an inconsistent frame, as a fraction of the side: trackers and mattes are
not exact."""

LOST_SHARE = 0.2
"""Share of the head that the mask of an inconsistent frame misses, relative to those around it."""

CLEARLY_BETTER = 0.5
"""Largest deviation of the mask of a swapped frame from the other pose, relative to its deviation
from its own."""

MIN_FRAMES_FOR_FIT = 8
"""Smallest number of frames for the check of inconsistent frames."""

LAGS = tuple(range(-5, 6))
"""Frames by which images may lead (negative) or trail their poses."""

MIN_FRAMES_FOR_SHIFT = 16
"""Smallest number of frames for the check of shifted images."""

MIN_CORRELATION = 0.9
"""Correlation of image and pose at some lag from which a measure is used."""

DECORRELATION_RATIO = 0.5
"""Largest decorrelation at another lag, relative to that without a lag, that counts as a shift."""

JUMP_RATIO = 2.0
"""Distance of an outlier image from both neighbours, in multiples of the distance between them."""

UNUSUAL_RATIO = 2.5
"""Distance of an outlier image from its neighbours, in multiples of the median of the video."""

MIN_IMAGE_DISTANCE = 0.04
"""Smallest distance of an outlier image, root mean square of grey; an untracked blink has 0.02."""

POSE_NOISE = 0.03
"""Largest difference of two poses of the same image that is noise of the tracker, in radians or
units of expression divided by 5."""


def check_fit(video: Video, summaries: Sequence[FrameSummary]) -> list[Finding]:
    """Findings about frames that contradict each other."""
    steps = lag(summaries)
    if steps:
        return [_shift_finding(video, steps), *_duplicates(video, summaries)]
    inconsistent = inconsistent_frames(summaries)
    outliers = [
        index for index in outlier_images(summaries, video.track) if index not in inconsistent
    ]
    return [
        *(_inconsistent(video, summaries, index, inconsistent) for index in inconsistent),
        *(_outlier(video, summaries[index]) for index in outliers),
        *_duplicates(video, summaries),
    ]


# Inconsistent frames: the offset of mask and pose differs from that of the frames around


def inconsistent_frames(summaries: Sequence[FrameSummary]) -> list[int]:
    """Indices of frames whose mask does not fit their pose as those of their neighbours do."""
    if len(summaries) < MIN_FRAMES_FOR_FIT:
        return []
    deviation = np.abs(_from_neighbours(_offsets(summaries)))
    usual = np.nanmedian(np.where(np.isnan(deviation).all(axis=0), 0.0, deviation), axis=0)
    limit = np.maximum(OUTLIER_RATIO * usual, MIN_DEVIATION)
    inside = np.array([summary.inside for summary in summaries])[:, None]
    lost = _from_neighbours(inside)[:, 0] < -LOST_SHARE
    return [int(index) for index in np.flatnonzero((deviation > limit).any(axis=1) | lost)]


def swap_partner(
    summaries: Sequence[FrameSummary], index: int, others: Sequence[int]
) -> int | None:
    """The inconsistent frame whose mask fits the pose of frame `index`, or None.

    Such a pair of frames was swapped. The masks differ by more than the noise of trackers and
    mattes, and the other one fits clearly better: neighbours that are alike fit both poses.
    """
    usual = _median(_offsets(summaries))
    own = summaries[index]
    limit = min(2 * MIN_DEVIATION, CLEARLY_BETTER * _largest(own.measured - own.posed - usual))
    distances = {
        other: _largest(summaries[other].measured - own.posed - usual)
        for other in others
        if other != index and _largest(summaries[other].measured - own.measured) > MIN_DEVIATION
    }
    best = min(distances, key=distances.__getitem__, default=None)
    return best if best is not None and distances[best] < limit else None


def _largest(differences: Float[Array, " M"]) -> float:
    """The largest difference of a measure; 0 where all are NaN."""
    return float(np.nanmax(np.abs(differences), initial=0.0))


def _offsets(summaries: Sequence[FrameSummary]) -> Float64[Array, "T _"]:
    """Measured minus posed positions: the offset of the image to the right and down."""
    offsets = [summary.measured - summary.posed for summary in summaries]
    return np.array(offsets, dtype=np.float64)


def _from_neighbours(values: Float64[Array, "T M"]) -> Float64[Array, "T M"]:
    """Values minus the median of NEIGHBOURS before and after; NaN where all of those are NaN."""
    return np.stack([row - _median(_around(values, index)) for index, row in enumerate(values)])


def _around(values: Float64[Array, "T M"], index: int) -> Float64[Array, "_ M"]:
    return np.concatenate(
        [values[max(0, index - NEIGHBOURS) : index], values[index + 1 : index + 1 + NEIGHBOURS]]
    )


def _median(values: Float64[Array, "T M"]) -> Float64[Array, " M"]:
    """Median over frames of each column, NaN for a column without values."""
    empty = np.isnan(values).all(axis=0)
    return np.where(empty, np.nan, np.nanmedian(np.where(empty, 0.0, values), axis=0))


# Shifted images: the motion in the images correlates best with that of the poses at a lag


def lag(summaries: Sequence[FrameSummary]) -> int:
    """Number of frames by which images trail their poses (negative: lead); 0 if uncertain."""
    if len(summaries) < MIN_FRAMES_FOR_SHIFT:
        return 0
    measured = np.diff([summary.measured for summary in summaries], axis=0)
    posed = np.diff([summary.posed for summary in summaries], axis=0)
    table = np.stack([_correlation(*_pair_at_lag(measured, posed, steps)) for steps in LAGS])
    decorrelation = (1.0 - table[:, table.max(axis=0) > MIN_CORRELATION]).sum(axis=1)  # of each lag
    best = int(decorrelation.argmin())
    is_shifted = decorrelation[best] < DECORRELATION_RATIO * decorrelation[LAGS.index(0)]
    return LAGS[best] if is_shifted else 0


def _pair_at_lag(
    measured: Float[Array, "T M"], posed: Float[Array, "T M"], steps: int
) -> tuple[Float[Array, "_ M"], Float[Array, "_ M"]]:
    """Rows t + steps of `measured` and rows t of `posed`."""
    count = len(measured)
    return (
        measured[max(0, steps) : count + min(0, steps)],
        posed[max(0, -steps) : count - max(0, steps)],
    )


def _correlation(a: Float[Array, "T M"], b: Float[Array, "T M"]) -> Float[Array, " M"]:
    """Correlation of each column; 0 where one does not move or has NaNs."""
    spread = np.sqrt((a * a).sum(axis=0, dtype=np.float64) * (b * b).sum(axis=0, dtype=np.float64))
    known = np.isfinite(spread) & (spread > 0)
    return np.where(known, np.nan_to_num((a * b).sum(axis=0)) / np.where(known, spread, 1.0), 0.0)


# Outlier images: unlike both neighbours, which are alike, while the pose is like theirs


def outlier_images(summaries: Sequence[FrameSummary], track: FlameTrack) -> list[int]:
    """Indices of frames whose image interrupts a motion that their pose continues."""
    if len(summaries) < 3:
        return []
    thumbs = np.stack([summary.thumb.ravel() for summary in summaries]).astype(np.float64)
    poses = np.stack([_code(track, summary.frame) for summary in summaries])
    away, across = _distances(thumbs)
    pose_away, pose_across = _distances(poses)
    image_jumps = (away > JUMP_RATIO * across) & (
        away > np.maximum(UNUSUAL_RATIO * np.median(away), MIN_IMAGE_DISTANCE * THUMBNAIL_SIDE)
    )
    pose_jumps = pose_away > JUMP_RATIO * pose_across
    return [int(index) + 1 for index in np.flatnonzero(image_jumps & ~pose_jumps)]


def _code(track: FlameTrack, frame: int) -> Float64[Array, "68"]:
    """Pose, scaled expression and camera translation of a frame."""
    translation = track.cameras[frame].world_to_camera[:, 3]
    code = np.concatenate([track.pose[frame], 0.2 * track.expression[frame], translation])
    return np.asarray(code, dtype=np.float64)


def _distances(
    values: Float64[Array, "T M"],
) -> tuple[Float64[Array, " I"], Float64[Array, " I"]]:
    """Distances of each inner frame to its nearer neighbour, and between its neighbours."""
    steps = np.linalg.norm(np.diff(values, axis=0), axis=1)
    away = np.minimum(steps[:-1], steps[1:])
    across = np.linalg.norm(values[2:] - values[:-2], axis=1) + 1e-9
    return away, across


# Findings


def _shift_finding(video: Video, steps: int) -> Finding:
    frames = f"{abs(steps)} frame{'s' if abs(steps) > 1 else ''}"
    return Finding(
        ERROR,
        "shifted",
        f"{video.folder / 'image'} is shifted against {TRACK_FILE}: each picture fits the pose "
        f"{frames} {'earlier' if steps > 0 else 'later'} much better than its own; number the "
        "pictures as in the track",
    )


def _inconsistent(
    video: Video, summaries: Sequence[FrameSummary], index: int, others: Sequence[int]
) -> Finding:
    other = swap_partner(summaries, index, others)
    hint = "" if other is None else f"; {video.file('mask', summaries[other].frame).name} would"
    return Finding(
        ERROR,
        "inconsistent",
        f"{video.file('mask', summaries[index].frame)} does not fit the pose of its frame as its "
        f"neighbours fit theirs{hint}: are frames swapped, or did the tracker fail there?",
    )


def _outlier(video: Video, summary: FrameSummary) -> Finding:
    return Finding(
        ERROR,
        "outlier",
        f"{video.file('image', summary.frame)} is unlike the pictures before and after it, while "
        "its pose is like theirs: are frames swapped?",
    )


def _duplicates(video: Video, summaries: Sequence[FrameSummary]) -> Iterator[Finding]:
    by_digest: dict[bytes, FrameSummary] = {}
    for summary in summaries:
        first = by_digest.setdefault(summary.digest, summary)
        if first is summary:
            continue
        poses = video.track.pose[[first.frame, summary.frame]]
        expressions = video.track.expression[[first.frame, summary.frame]]
        pose = np.abs(poses[0] - poses[1]).max()
        expression = np.abs(expressions[0] - expressions[1]).max()
        same = max(pose, expression / 5) < POSE_NOISE
        hint = (
            ": the frame counts twice" if same else ", but their poses differ: one of them is wrong"
        )
        yield Finding(
            WARNING if same else ERROR,
            "duplicate",
            f"{video.file('image', summary.frame)} is the same picture as "
            f"{video.file('image', first.frame).name}{hint}",
        )
