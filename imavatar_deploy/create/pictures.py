"""Frames of the clip beside the same frames of the avatar."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from imavatar_deploy.arrays import Array, UInt8
from imavatar_deploy.video.decode import VideoReader

Picture = UInt8[Array, "H W 3"]
"""An RGB image."""

SIDE = 320
"""Side of a picture in the report, pixels."""


def video_frames(video: Path, indices: Sequence[int]) -> dict[int, Picture]:
    """Decode some frames of a video.

    Args:
        indices: numbers of the frames, from 0; numbers behind the end are left out.

    Raises:
        InputError: the file is not a readable video.
    """
    required = set(indices)
    pictures: dict[int, Picture] = {}
    with VideoReader(video) as reader:
        for frame in reader.frames():
            if frame.index in required:
                pictures[frame.index] = frame.image()
            if len(pictures) == len(required):
                break
    return pictures


def clip_frames(track: Path, indices: Sequence[int]) -> dict[int, Picture]:
    """Read some pictures of a video of a dataset.

    Args:
        track: the video's `flame_params.json`.
        indices: numbers of the frames, from 0.
    """
    entries = json.loads(track.read_text(encoding="utf-8"))["frames"]
    pictures: dict[int, Picture] = {}
    for index in indices:
        name = Path(entries[index]["file_path"]).name.removesuffix(".png")
        picture = cv2.imread(str(track.parent / "image" / f"{name}.png"), cv2.IMREAD_COLOR)
        if picture is not None:
            pictures[index] = np.ascontiguousarray(picture[..., ::-1])
    return pictures


def pairs(track: Path, preview: Path, indices: Sequence[int], side: int = SIDE) -> list[Picture]:
    """The clip above the avatar, one picture of `[2 side, side]` a frame.

    Raises:
        InputError: the preview is not a readable video.
    """
    above = clip_frames(track, indices)
    below = video_frames(preview, indices)
    return [
        np.concatenate([square(above[index], side), square(below[index], side)])
        for index in indices
        if index in above and index in below
    ]


def square(picture: Picture, side: int) -> Picture:
    """The picture in another size."""
    small = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)
    return np.asarray(small, dtype=np.uint8)
