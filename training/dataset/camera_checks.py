"""Camera checks: cameras inside the head, heads outside the picture, bad poses and masks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from imavatar_deploy.conventions import BOUNDING_RADIUS, JAW
from imavatar_deploy.dataset.video import TRACK_FILE, Video

from .findings import ERROR, WARNING, Finding
from .frame_summary import FrameSummary

MIN_CAMERA_DISTANCE = BOUNDING_RADIUS + 0.1
"""Smallest distance of a camera from the origin, model units; a nearer one is inside the bounding
sphere."""

MIN_SHARE_IN_PICTURE = 0.6
"""Smallest share of the head's vertices in the picture."""

MIN_SHARE_IN_MASK = 0.7
"""Smallest median share of the head's vertices in the mask."""

MAX_JAW_ANGLE = 0.9
"""Largest opening of the jaw, radians; anatomy ends at about 0.7."""

MIN_MASK_SHARE = 0.02
"""Smallest share of a picture that a useful mask covers."""

SYSTEMATIC_KINDS = ("behind", "uncovered", "camera")
"""Kinds of findings that cast doubt on all frames."""


def check_cameras(video: Video, summaries: Sequence[FrameSummary]) -> list[Finding]:
    """Findings about single cameras, poses and masks, and about all masks of a video together."""
    findings = [*_cameras(video)]
    inside = bool(findings)
    findings += [*_poses(video), *_masks(video, summaries)]
    if not inside:
        findings += _behind(video, summaries)
        findings += _out_of_picture(video, summaries)
        findings += _outside_mask(video, summaries)
    return findings


def _cameras(video: Video) -> Iterator[Finding]:
    for frame, camera in enumerate(video.track.cameras):
        distance = float(np.linalg.norm(camera.centre))
        if distance < MIN_CAMERA_DISTANCE:
            yield Finding(
                ERROR,
                "camera",
                f"{video.folder / TRACK_FILE}: the camera of frame {video.track.names[frame]} is "
                f"{distance:.1f} model units from the head's centre, inside the bounding sphere of "
                f"radius {BOUNDING_RADIUS}; is world_mat in metres? model units are metres x 4",
            )


def _poses(video: Video) -> Iterator[Finding]:
    for frame, pose in enumerate(video.track.pose):
        jaw = float(np.linalg.norm(pose[JAW]))
        if jaw > MAX_JAW_ANGLE:
            yield Finding(
                WARNING,
                "pose",
                f"{video.folder / TRACK_FILE}: the jaw of frame {video.track.names[frame]} is "
                f"turned by {np.degrees(jaw):.0f} degrees, more than a jaw can; did the tracker "
                "fail there?",
            )


def _masks(video: Video, summaries: Sequence[FrameSummary]) -> Iterator[Finding]:
    for summary in summaries:
        if summary.area < MIN_MASK_SHARE or summary.area == 1.0:
            share = (
                "the whole picture"
                if summary.area == 1.0
                else f"only {summary.area:.1%} of the picture"
            )
            yield Finding(
                WARNING,
                "mask",
                f"{video.file('mask', summary.frame)} covers {share}; did the matting fail there?",
            )


def _behind(video: Video, summaries: Sequence[FrameSummary]) -> Iterator[Finding]:
    for name in (video.track.names[summary.frame] for summary in summaries if summary.behind):
        yield Finding(
            ERROR,
            "behind",
            f"{video.folder / TRACK_FILE}: the head of frame {name} is behind its camera, which "
            "looks along -z; change the sign of the z translation in world_mat",
        )


def _out_of_picture(video: Video, summaries: Sequence[FrameSummary]) -> Iterator[Finding]:
    for summary in summaries:
        if summary.in_picture < MIN_SHARE_IN_PICTURE:
            yield Finding(
                ERROR if summary.in_picture == 0 else WARNING,
                "out of picture",
                f"{video.file('image', summary.frame)} shows {summary.in_picture:.0%} of the head "
                "in its pose and camera, and the rest is outside the picture; do the intrinsics in "
                f"{TRACK_FILE} fit the crop?",
            )


def _outside_mask(video: Video, summaries: Sequence[FrameSummary]) -> Iterator[Finding]:
    inside = [summary.inside for summary in summaries if not np.isnan(summary.inside)]
    if inside and np.median(inside) < MIN_SHARE_IN_MASK:
        yield Finding(
            ERROR,
            "uncovered",
            f"{video.folder / 'mask'} does not fit {TRACK_FILE}: in half of the frames no more "
            f"than {np.median(inside):.0%} of the posed head lies within the mask; check "
            "intrinsics, crop and head model",
        )
