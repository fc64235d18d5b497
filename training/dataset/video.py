"""Video: one folder of the published layout, and where the videos of a path are."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.checks import as_float32
from imavatar_deploy.errors import EditionMismatchError, InputError, unknown_name
from imavatar_deploy.head_model import OPENHEAD, HeadModel
from imavatar_deploy.tracks.flame_params import read as read_flame_params
from imavatar_deploy.tracks.format import ForeignContentError
from imavatar_deploy.tracks.track import FlameTrack

Float = NDArray[np.float32]

TRACK_FILE = "flame_params.json"

LAYOUT = f"a video is a folder with {TRACK_FILE}, image/ and mask/"

KEYPOINTS = 70
"""Landmarks a frame: 17 of the contour, 51 inner ones, 2 irises."""


@dataclass(frozen=True, eq=False)
class Video:
    """The frames of one folder: `image/{name}.png`, `mask/{name}.png` and so on, and their track."""

    folder: Path
    track: FlameTrack
    boxes: tuple[Float | None, ...]  # one [4] per frame, in -1..1
    keypoints: tuple[Float | None, ...]  # one [70, 2] per frame, in -1..1

    @classmethod
    def read(cls, folder: Path) -> Video:
        """Read the folder's `flame_params.json`; no image is opened.

        Raises:
            InputError: the file is absent or broken, or has no cameras.
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
            raise InputError(f"{path} has no 'world_mat': images need the camera they were seen by")
        names = tuple(name.removesuffix(".png") for name in track.names)
        return cls(folder, replace(track, names=names), boxes, keypoints)

    def __len__(self) -> int:
        return len(self.track)

    @property
    def name(self) -> str:
        """Of its folder."""
        return self.folder.resolve().name

    def has(self, kind: str) -> bool:
        """Whether there is a folder of this kind of picture."""
        return kind in self._kinds

    @cached_property
    def _kinds(self) -> frozenset[str]:
        return frozenset(path.name for path in self.folder.iterdir() if path.is_dir())

    def file(self, kind: str, index: int) -> Path:
        """Where the picture of a kind (`image`, `mask`, ...) of a frame is, or should be."""
        return self.folder / kind / f"{self.track.names[index]}.png"


def find_videos(paths: Sequence[Path], names: Sequence[str] = ()) -> list[Path]:
    """Folders of the videos in `paths`, of which `names` chooses (all when empty).

    A path may be a video, a subject with videos in it, or the published doubling `subject/subject/video`.

    Raises:
        InputError: a path is absent or holds no video.
        UsageError: no video has one of the names.
    """
    if not paths:
        raise InputError(f"no dataset was given: {LAYOUT}")
    found = [folder for path in paths for folder in _videos_in(path)]
    known = {folder.resolve().name for folder in found}
    for name in names:
        if name not in known:
            raise unknown_name("video", name, known)
    return [folder for folder in found if not names or folder.resolve().name in names]


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
) -> tuple[Float | None, ...]:
    """One array per frame, or None where the tracker wrote none."""
    return tuple(
        as_float32(f"{key} of frame {index}", entry[key], shape)
        if entry.get(key) is not None
        else None
        for index, entry in enumerate(entries)
    )


# Several videos of one subject as one track; what should be common to them must be.


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
    what: str, video: Video, values: NDArray[Any], first: Video, expected: NDArray[Any]
) -> None:
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


# The head model that videos were tracked with.


def load_head(
    track: FlameTrack, video: Video, source: Path | str | None, edition: str | None
) -> HeadModel:
    """The subject's head: `source`, or the bundled model where the videos say so; the shape is in its template.

    Raises:
        InputError: the head model is neither bundled nor given, or its file is broken.
        EditionMismatchError: the one given is another than the videos were tracked with.
    """
    said = track.edition
    if source is None and said != OPENHEAD:
        raise InputError(
            f"{video.folder / TRACK_FILE} was tracked with {said or 'a head model it does not name'}, which is not "
            "bundled: give its file with --head-model (FLAME's .pkl or .npz), and --edition"
        )
    head = HeadModel.load(
        source or OPENHEAD, edition=edition or (None if source == OPENHEAD else said)
    )
    if said not in (None, head.edition):
        raise EditionMismatchError(
            f"{video.folder / TRACK_FILE} was tracked with {said} and {source} is {head.edition}: their codes mean "
            "different faces; give the head model it was tracked with"
        )
    return head.for_subject(track.shape)
