"""What does not fit within one video, said in sentences: swapped and shifted frames, pictures that occur twice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.tracks.track import FlameTrack

from .findings import ERROR, WARNING, Finding
from .frame_summary import THUMB, FrameSummary
from .video import TRACK_FILE, Video

# Do pictures and poses belong together? Swapped and misplaced frames, from the sketches of one video.


Double = NDArray[np.float64]

NEIGHBOURS = 4
"""Frames to each side whose median says how picture and pose usually differ around a frame."""

OUTLIER = 8.0
"""Times the usual deviation that a frame must exceed to be called a misfit."""

LEAST_MISFIT = 0.025
"""Fraction of the picture below which nothing is called a misfit: trackers and mattes wobble."""

LOST = 0.2
"""How much less of the head than in the frames around lies within the mask of a misfit."""

MIN_FRAMES_FOR_FIT = 8
"""Fewer frames than this do not tell what is usual."""


def misfits(sketches: Sequence[FrameSummary]) -> list[int]:
    """Indices of sketches whose picture does not fit their pose as the pictures around them fit theirs."""
    if len(sketches) < MIN_FRAMES_FOR_FIT:
        return []
    deviation = _from_neighbours(_offsets(sketches))
    usual = np.nanmedian(np.where(np.isnan(deviation).all(axis=0), 0.0, deviation), axis=0)
    limit = np.maximum(OUTLIER * usual, LEAST_MISFIT)
    inside = np.array([sketch.inside for sketch in sketches])[:, None]
    lost = _signed_from_neighbours(inside)[:, 0] < -LOST
    return [int(index) for index in np.flatnonzero((deviation > limit).any(axis=1) | lost)]


def partner(sketches: Sequence[FrameSummary], index: int, others: Sequence[int]) -> int | None:
    """Which other misfit's picture fits the pose of this one, if any: those two were swapped."""
    usual = _median(_offsets(sketches))
    apart = {
        other: float(
            np.nanmax(np.abs(sketches[other].seen - sketches[index].posed - usual), initial=0.0)
        )
        for other in others
        if other != index
    }
    best = min(apart, key=apart.__getitem__, default=None)
    return best if best is not None and apart[best] < 2 * LEAST_MISFIT else None


def _offsets(sketches: Sequence[FrameSummary]) -> Double:
    """[T, 5] how much further right and down the picture is than the pose says."""
    return np.array([sketch.seen - sketch.posed for sketch in sketches], dtype=np.float64)


def _from_neighbours(values: Double) -> Double:
    return np.abs(_signed_from_neighbours(values))


def _signed_from_neighbours(values: Double) -> Double:
    """[T, K] less the median of the NEIGHBOURS before and after; NaN where nothing is known."""
    return np.stack([row - _median(_around(values, index)) for index, row in enumerate(values)])


def _around(values: Double, index: int) -> Double:
    return np.concatenate(
        [values[max(0, index - NEIGHBOURS) : index], values[index + 1 : index + 1 + NEIGHBOURS]]
    )


def _median(values: Double) -> Double:
    """Over frames, of the columns that have any value; NaN for the others."""
    empty = np.isnan(values).all(axis=0)
    return np.where(empty, np.nan, np.nanmedian(np.where(empty, 0.0, values), axis=0))


# Are all pictures of a video shifted against their poses? Told by when they move, not by where they are.


LAGS = tuple(range(-5, 6))
"""Frames by which pictures may lead (negative) or trail their poses."""

MIN_FRAMES_FOR_SHIFT = 16
"""Fewer frames than this do not tell."""

SURE = 0.9
"""Correlation of a measure's steps in picture and pose above which it is believed."""

BETTER = 0.5
"""Another lag is believed when it leaves less than this share of what does not correlate without."""


def lag(sketches: Sequence[FrameSummary]) -> int:
    """By how many frames the pictures trail their poses (negative: lead), or 0 where that is not sure."""
    if len(sketches) < MIN_FRAMES_FOR_SHIFT:
        return 0
    seen, posed = (
        np.diff([getattr(sketch, side) for sketch in sketches], axis=0)
        for side in ("seen", "posed")
    )
    table = np.stack(
        [_correlation(*_moved(seen, posed, steps)) for steps in LAGS]
    )  # [lags, measures]
    apart = (1.0 - table[:, table.max(axis=0) > SURE]).sum(axis=1)
    best = int(apart.argmin())
    return LAGS[best] if apart[best] < BETTER * apart[LAGS.index(0)] else 0


def _moved(seen: Double, posed: Double, steps: int) -> tuple[Double, Double]:
    """The rows t + steps of `seen` beside the rows t of `posed`."""
    count = len(seen)
    return seen[max(0, steps) : count + min(0, steps)], posed[
        max(0, -steps) : count - max(0, steps)
    ]


def _correlation(a: Double, b: Double) -> Double:
    """Of each column; 0 where one does not move or is not known."""
    spread = np.sqrt((a * a).sum(axis=0, dtype=np.float64) * (b * b).sum(axis=0, dtype=np.float64))
    known = np.isfinite(spread) & (spread > 0)
    return np.where(known, np.nan_to_num((a * b).sum(axis=0)) / np.where(known, spread, 1.0), 0.0)


# A picture that is unlike the ones before and after it, which are like each other, while its pose is not.


JUMP = 2.0
"""How many times further than its neighbours are apart a picture must be from both of them."""

UNUSUAL = 2.5
"""How many times further than most pictures of the video are from their neighbours."""

NOTICEABLE = 0.04
"""Root mean square of grey below which pictures do not count as unlike: an untracked blink is 0.02."""


def strangers(sketches: Sequence[FrameSummary], track: FlameTrack) -> list[int]:
    """Indices of sketches that interrupt a motion which their pose continues."""
    if len(sketches) < 3:
        return []
    pictures = np.stack([sketch.thumb.ravel() for sketch in sketches]).astype(np.float64)
    poses = np.stack([_code(track, sketch.place) for sketch in sketches])
    away, across = _leaps(pictures)
    pose_away, pose_across = _leaps(poses)
    picture_leaps = (away > JUMP * across) & (
        away > np.maximum(UNUSUAL * np.median(away), NOTICEABLE * THUMB)
    )
    pose_leaps = pose_away > JUMP * pose_across
    return [int(index) + 1 for index in np.flatnonzero(picture_leaps & ~pose_leaps)]


def _code(track: FlameTrack, place: int) -> Double:
    translation = track.cameras[place].world_to_camera[:, 3]
    code = np.concatenate([track.pose[place], 0.2 * track.expression[place], translation])
    return np.asarray(code, dtype=np.float64)


def _leaps(values: Double) -> tuple[Double, Double]:
    """Of every frame but the first and last: distance to the nearer neighbour, and between the neighbours."""
    steps = np.linalg.norm(np.diff(values, axis=0), axis=1)
    return np.minimum(steps[:-1], steps[1:]), np.linalg.norm(
        values[2:] - values[:-2], axis=1
    ) + 1e-9


SAME_POSE = 0.03
"""Radians, or expression units x 5, up to which two poses of one picture are the tracker's noise."""


def check_fit(video: Video, sketches: Sequence[FrameSummary]) -> list[Finding]:
    """Findings about frames that contradict each other."""
    steps = lag(sketches)
    if steps:
        return [_shifted(video, steps), *_twins(video, sketches)]
    bad = misfits(sketches)
    odd = [index for index in strangers(sketches, video.track) if index not in bad]
    return [
        *(_misfit(video, sketches, index, bad) for index in bad),
        *(_stranger(video, sketches[index]) for index in odd),
        *_twins(video, sketches),
    ]


def _shifted(video: Video, steps: int) -> Finding:
    frames = f"{abs(steps)} frame{'s' if abs(steps) > 1 else ''}"
    return Finding(
        ERROR,
        "shifted",
        f"{video.folder / 'image'} is shifted against {TRACK_FILE}: each picture fits the pose {frames} "
        f"{'earlier' if steps > 0 else 'later'} much better than its own; number the pictures as the track does",
    )


def _misfit(
    video: Video, sketches: Sequence[FrameSummary], index: int, bad: Sequence[int]
) -> Finding:
    other = partner(sketches, index, bad)
    hint = f" {video.file('mask', sketches[other].place).name} would" if other is not None else ""
    return Finding(
        ERROR,
        "misfit",
        f"{video.file('mask', sketches[index].place)} does not fit the pose of its frame as its neighbours fit theirs"
        f"{f';{hint}' if hint else ''}: are frames swapped, or did the tracker fail there?",
    )


def _stranger(video: Video, sketch: FrameSummary) -> Finding:
    return Finding(
        ERROR,
        "stranger",
        f"{video.file('image', sketch.place)} is unlike the pictures before and after it, while its pose is like "
        "theirs: are frames swapped?",
    )


def _twins(video: Video, sketches: Sequence[FrameSummary]) -> Iterator[Finding]:
    first: dict[bytes, FrameSummary] = {}
    for sketch in sketches:
        twin = first.setdefault(sketch.digest, sketch)
        if twin is sketch:
            continue
        pose = np.abs(video.track.pose[twin.place] - video.track.pose[sketch.place]).max()
        expression = np.abs(
            video.track.expression[twin.place] - video.track.expression[sketch.place]
        ).max()
        same = max(pose, expression / 5) < SAME_POSE
        yield Finding(
            WARNING if same else ERROR,
            "twins",
            f"{video.file('image', sketch.place)} is the same picture as {video.file('image', twin.place).name}"
            + (
                ": the frame counts twice"
                if same
                else ", but their poses differ: one of them is wrong"
            ),
        )
