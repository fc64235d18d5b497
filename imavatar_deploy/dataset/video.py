"""`Video`: a folder in the published layout; finding videos, joining their tracks, their head."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from imavatar_deploy.arrays import Array, Float32, Shaped
from imavatar_deploy.checks import as_float32
from imavatar_deploy.errors import EditionMismatchError, InputError, unknown_name
from imavatar_deploy.head_model import OPENHEAD, HeadModel
from imavatar_deploy.tracks.flame_params import read as read_flame_params
from imavatar_deploy.tracks.format import ForeignContentError
from imavatar_deploy.tracks.track import FlameTrack

TRACK_FILE = "flame_params.json"

LAYOUT = f"a video is a folder with {TRACK_FILE}, image/ and mask/"

KEYPOINTS = 70
"""Landmarks of a frame: 17 contour, 51 inner, 2 irises."""

ROUNDING = 1e-5
"""Largest difference of numbers that are meant to be equal; trackers write few digits."""


@dataclass(frozen=True, eq=False)
class Video:
    """The frames of one folder (`image/{name}.png`, `mask/{name}.png`, ...) and their track."""

    folder: Path
    track: FlameTrack
    boxes: tuple[Float32[Array, "4"] | None, ...]
    """Box of the face in each frame, -1..1; None where the track has none."""
    keypoints: tuple[Float32[Array, "70 2"] | None, ...]
    """Landmarks of each frame, -1..1; None where the track has none."""

    @classmethod
    def read(cls, folder: Path) -> Video:
        """Read the track of a folder, without its pictures.

        Raises:
            InputError: the track file is missing or damaged, or has no cameras.
        """
        path = folder / TRACK_FILE
        try:
            track = read_flame_params(path)
            entries = json.loads(path.read_text(encoding="utf-8"))["frames"]
            boxes = _landmarks(entries, "bbox", (4,))
            keypoints = _landmarks(entries, "flame_keypoints", (KEYPOINTS, 2))
        except ForeignContentError:
            raise InputError(f"{path} has no 'frames': expected the published schema") from None
        except InputError as error:
            raise InputError(f"{path}: {error}") from error
        except OSError as error:
            raise InputError(f"{path} cannot be read ({error.strerror or error})") from error
        if not track.cameras:
            raise InputError(f"{path} has no 'world_mat': every frame needs its camera")
        names = tuple(name.removesuffix(".png") for name in track.names)
        return cls(folder, replace(track, names=names), boxes, keypoints)

    def __len__(self) -> int:
        return len(self.track)

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.folder.resolve().name

    def has(self, kind: str) -> bool:
        """Whether the video has a folder for a kind of picture."""
        return kind in self._kinds

    @cached_property
    def _kinds(self) -> frozenset[str]:
        return frozenset(path.name for path in self.folder.iterdir() if path.is_dir())

    def file(self, kind: str, index: int) -> Path:
        """Path of the picture of a kind (`image`, `mask`, ...) of frame `index`."""
        return self.folder / kind / f"{self.track.names[index]}.png"


def find_videos(paths: Sequence[Path], names: Sequence[str] = ()) -> list[Path]:
    """Folders of the videos in `paths`.

    Args:
        paths: videos, subjects with videos in them, or the published `subject/subject/video`.
        names: names of the videos to select; all when empty.

    Raises:
        InputError: a path does not exist or holds no video.
        UsageError: no video has one of the names.
    """
    if not paths:
        raise InputError(f"no dataset was given: {LAYOUT}")
    folders = [folder for path in paths for folder in _videos_in(path)]
    known = {folder.resolve().name for folder in folders}
    for name in names:
        if name not in known:
            raise unknown_name("video", name, known)
    return [folder for folder in folders if not names or folder.resolve().name in names]


def _videos_in(path: Path) -> list[Path]:
    if not path.is_dir():
        raise InputError(
            f"there is no dataset folder {str(path)!r}: {LAYOUT}, or a folder of such folders"
        )
    for folder in (path, path / path.resolve().name):
        if (folder / TRACK_FILE).is_file():
            return [folder]
        videos = sorted(track.parent for track in folder.glob(f"*/{TRACK_FILE}"))
        if videos:
            return videos
    raise InputError(
        f"{path} holds no video: there is no {TRACK_FILE} in it nor in its folders; {LAYOUT}"
    )


def _landmarks(
    entries: list[Mapping[str, Any]], key: str, shape: tuple[int, ...]
) -> tuple[Float32[Array, "..."] | None, ...]:
    """The array of each frame, None where the track has none."""
    return tuple(
        as_float32(f"{key} of frame {index}", entry[key], shape)
        if entry.get(key) is not None
        else None
        for index, entry in enumerate(entries)
    )


# Several videos of one subject


def join_tracks(videos: Sequence[Video]) -> FlameTrack:
    """Join the tracks of videos, one after the other, after checking that they fit.

    The published loader uses the subject of the last video without a check.

    Raises:
        InputError: the videos differ in the subject's shape or in the camera's intrinsics.
        EditionMismatchError: the videos were tracked with different head models.
    """
    first = videos[0]
    for video in videos:
        _ensure_same("shape_params", video, video.track.shape, first, first.track.shape)
        _ensure_same(
            "intrinsics",
            video,
            video.track.cameras[0].intrinsics,
            first,
            first.track.cameras[0].intrinsics,
        )
    return FlameTrack(
        expression=np.concatenate([video.track.expression for video in videos]),
        pose=np.concatenate([video.track.pose for video in videos]),
        cameras=tuple(camera for video in videos for camera in video.track.cameras),
        fps=first.track.fps,
        edition=_common_edition(videos),
        shape=first.track.shape,
        names=tuple(name for video in videos for name in video.track.names),
    )


def _ensure_same(
    what: str,
    video: Video,
    values: Shaped[Array, "..."],
    first: Video,
    expected: Shaped[Array, "..."],
) -> None:
    apart = np.inf if values.shape != expected.shape else np.abs(values - expected).max(initial=0.0)
    if apart > ROUNDING:
        difference = "in number" if np.isinf(apart) else f"by up to {apart:.2g}"
        raise InputError(
            f"{what} of {video.folder / TRACK_FILE} and of {first.folder / TRACK_FILE} differ "
            f"{difference}: the videos of one training must show one subject by one camera; select "
            "videos with --video"
        )


def _common_edition(videos: Sequence[Video]) -> str | None:
    editions = {video.track.edition: video for video in videos if video.track.edition is not None}
    if len(editions) > 1:
        (one, first), (other, second) = list(editions.items())[:2]
        raise EditionMismatchError(
            f"{first.folder / TRACK_FILE} was tracked with {one} and {second.folder / TRACK_FILE} "
            f"with {other}, whose codes mean different faces: train on videos of one head model"
        )
    return next(iter(editions), None)


def load_head(
    track: FlameTrack, video: Video, source: Path | str | None, edition: str | None
) -> HeadModel:
    """Load the head model of the tracking, with the subject's shape in its template.

    Args:
        track: joined track of the videos.
        video: video to name in error messages.
        source: file of the head model; None for the bundled model, if the videos name it.
        edition: edition of the head model, where its file does not name it.

    Raises:
        InputError: the head model is not bundled and no file is given, or the file is damaged.
        EditionMismatchError: the given head model is not that of the tracking.
    """
    tracked = track.edition
    if source is None and tracked != OPENHEAD:
        raise InputError(
            f"{video.folder / TRACK_FILE} was tracked with "
            f"{tracked or 'a head model it does not name'}, which is not bundled: give its file "
            "with head_model (--head-model: FLAME's .pkl or .npz), and edition (--edition)"
        )
    head = HeadModel.load(
        source or OPENHEAD, edition=edition or (None if source == OPENHEAD else tracked)
    )
    if tracked not in (None, head.edition):
        raise EditionMismatchError(
            f"{video.folder / TRACK_FILE} was tracked with {tracked} and {source} is "
            f"{head.edition}: their codes mean different faces; give the head model of the tracking"
        )
    return head.for_subject(track.shape)
