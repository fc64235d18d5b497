"""Cameras and poses that cannot be: a camera inside the head, a head out of the picture, a jaw too wide."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from imavatar_deploy.conventions import BOUNDING_RADIUS, JAW

from .findings import ERROR, WARNING, Finding
from .frame_summary import FrameSummary
from .video import TRACK_FILE, Video

NEAREST = BOUNDING_RADIUS + 0.1
"""Model units from the origin within which a camera is inside the sphere that is drawn."""

MOST_OF_IT = 0.6
"""Share of the head that should be in the picture."""

COVERED = 0.7
"""Share of the head that should lie within the mask."""

WIDEST_JAW = 0.9
"""Radians; anatomy ends at about 0.7."""

SMALL = 0.02
"""Share of a picture below which a mask leaves nothing to learn from."""


SYSTEMATIC = ("behind", "uncovered", "camera")
"""Kinds of findings that put all frames in doubt."""


def check_placement(video: Video, sketches: Sequence[FrameSummary]) -> list[Finding]:
    """Findings about single cameras and poses, and about all of a video's masks together."""
    inside = list(_cameras(video))
    head = (
        []
        if inside
        else [
            *_behind(video, sketches),
            *_out_of_picture(video, sketches),
            *_uncovered(video, sketches),
        ]
    )
    return [*inside, *_poses(video), *_masks(video, sketches), *head]


def _cameras(video: Video) -> Iterator[Finding]:
    for place, camera in enumerate(video.track.cameras):
        distance = float(np.linalg.norm(camera.centre))
        if distance < NEAREST:
            yield Finding(
                ERROR,
                "camera",
                f"{video.folder / TRACK_FILE}: the camera of frame {video.track.names[place]} is {distance:.1f} model "
                f"units from the head's middle, inside the sphere of {BOUNDING_RADIUS} that is drawn; is world_mat in "
                "metres? model units are metres x 4",
            )


def _poses(video: Video) -> Iterator[Finding]:
    for place, pose in enumerate(video.track.pose):
        jaw = float(np.linalg.norm(pose[JAW]))
        if jaw > WIDEST_JAW:
            yield Finding(
                WARNING,
                "pose",
                f"{video.folder / TRACK_FILE}: the jaw of frame {video.track.names[place]} is turned by "
                f"{np.degrees(jaw):.0f} degrees, more than a jaw can; did the tracker fail there?",
            )


def _masks(video: Video, sketches: Sequence[FrameSummary]) -> Iterator[Finding]:
    for sketch in sketches:
        if sketch.area < SMALL or sketch.area == 1.0:
            share = (
                "the whole picture"
                if sketch.area == 1.0
                else f"only {sketch.area:.1%} of the picture"
            )
            yield Finding(
                WARNING,
                "mask",
                f"{video.file('mask', sketch.place)} covers {share}; did the matting fail there?",
            )


def _behind(video: Video, sketches: Sequence[FrameSummary]) -> Iterator[Finding]:
    for name in (video.track.names[sketch.place] for sketch in sketches if sketch.behind):
        yield Finding(
            ERROR,
            "behind",
            f"{video.folder / TRACK_FILE}: the head of frame {name} is behind its camera, which looks along -z; turn "
            "the sign of the z translation in world_mat",
        )


def _out_of_picture(video: Video, sketches: Sequence[FrameSummary]) -> Iterator[Finding]:
    for sketch in sketches:
        if sketch.in_picture < MOST_OF_IT:
            yield Finding(
                ERROR if sketch.in_picture == 0 else WARNING,
                "out of picture",
                f"{video.file('image', sketch.place)} shows {sketch.in_picture:.0%} of the head that its pose and "
                f"camera describe, the rest is outside; do the intrinsics in {TRACK_FILE} fit the crop?",
            )


def _uncovered(video: Video, sketches: Sequence[FrameSummary]) -> Iterator[Finding]:
    inside = [sketch.inside for sketch in sketches if not np.isnan(sketch.inside)]
    if inside and np.median(inside) < COVERED:
        yield Finding(
            ERROR,
            "uncovered",
            f"{video.folder / 'mask'} does not fit {TRACK_FILE}: in half of the frames no more than "
            f"{np.median(inside):.0%} of the posed head lies within the mask; check intrinsics, crop and head model",
        )
