"""Several videos of one subject as one track; what should be common to them must be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.errors import EditionMismatchError, InputError
from imavatar_deploy.tracks.track import FlameTrack

from .video import TRACK_FILE, Video

ROUNDING = 1e-5
"""How far apart numbers may be that are meant to be the same: trackers write few digits."""


def join_tracks(videos: Sequence[Video]) -> FlameTrack:
    """All frames of all videos, one after the other. The published loader silently takes the last video's subject.

    Raises:
        InputError: the videos differ in the subject's shape or in the camera's intrinsics.
        EditionMismatchError: they were tracked with different head models.
    """
    first = videos[0]
    for video in videos:
        _ensure_same("shape_params", video, video.track.shape, first, first.track.shape)
        _ensure_same("intrinsics", video, video.track.cameras[0].intrinsics, first, first.track.cameras[0].intrinsics)
    return FlameTrack(
        expression=np.concatenate([video.track.expression for video in videos]),
        pose=np.concatenate([video.track.pose for video in videos]),
        cameras=tuple(camera for video in videos for camera in video.track.cameras),
        fps=first.track.fps,
        edition=_common_edition(videos),
        shape=first.track.shape,
        names=tuple(name for video in videos for name in video.track.names),
    )


def _ensure_same(what: str, video: Video, values: NDArray[Any], first: Video, expected: NDArray[Any]) -> None:
    apart = np.inf if values.shape != expected.shape else np.abs(values - expected).max(initial=0.0)
    if apart > ROUNDING:
        difference = "in number" if np.isinf(apart) else f"by up to {apart:.2g}"
        raise InputError(
            f"{what} of {video.folder / TRACK_FILE} and of {first.folder / TRACK_FILE} differ {difference}: videos of "
            "one training must show one subject by one camera; choose among them with --video"
        )


def _common_edition(videos: Sequence[Video]) -> str | None:
    said = {video.track.edition: video for video in videos if video.track.edition is not None}
    if len(said) > 1:
        (one, first), (other, second) = list(said.items())[:2]
        raise EditionMismatchError(
            f"{first.folder / TRACK_FILE} was tracked with {one} and {second.folder / TRACK_FILE} with {other}, whose "
            "codes mean different faces: train on videos of one head model"
        )
    return next(iter(said), None)
