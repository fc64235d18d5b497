"""What does not fit within one video, said in sentences: swapped and shifted frames, pictures that occur twice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from . import fit
from .continuity import strangers
from .finding import ERROR, WARNING, Finding
from .shift import lag
from .sketch import Sketch
from .video import TRACK_FILE, Video

SAME_POSE = 0.03
"""Radians, or expression units x 5, up to which two poses of one picture are the tracker's noise."""


def check_fit(video: Video, sketches: Sequence[Sketch]) -> list[Finding]:
    """Findings about frames that contradict each other."""
    steps = lag(sketches)
    if steps:
        return [_shifted(video, steps), *_twins(video, sketches)]
    bad = fit.misfits(sketches)
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


def _misfit(video: Video, sketches: Sequence[Sketch], index: int, bad: Sequence[int]) -> Finding:
    other = fit.partner(sketches, index, bad)
    hint = f" {video.file('mask', sketches[other].place).name} would" if other is not None else ""
    return Finding(
        ERROR,
        "misfit",
        f"{video.file('mask', sketches[index].place)} does not fit the pose of its frame as its neighbours fit theirs"
        f"{f';{hint}' if hint else ''}: are frames swapped, or did the tracker fail there?",
    )


def _stranger(video: Video, sketch: Sketch) -> Finding:
    return Finding(
        ERROR,
        "stranger",
        f"{video.file('image', sketch.place)} is unlike the pictures before and after it, while its pose is like "
        "theirs: are frames swapped?",
    )


def _twins(video: Video, sketches: Sequence[Sketch]) -> Iterator[Finding]:
    first: dict[bytes, Sketch] = {}
    for sketch in sketches:
        twin = first.setdefault(sketch.digest, sketch)
        if twin is sketch:
            continue
        pose = np.abs(video.track.pose[twin.place] - video.track.pose[sketch.place]).max()
        expression = np.abs(video.track.expression[twin.place] - video.track.expression[sketch.place]).max()
        same = max(pose, expression / 5) < SAME_POSE
        yield Finding(
            WARNING if same else ERROR,
            "twins",
            f"{video.file('image', sketch.place)} is the same picture as {video.file('image', twin.place).name}"
            + (": the frame counts twice" if same else ", but their poses differ: one of them is wrong"),
        )
