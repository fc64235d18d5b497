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
from imavatar_deploy.errors import InputError, unknown_name
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
        raise InputError(f"there is no dataset folder {str(path)!r}: {LAYOUT}, or a folder of such folders")
    for folder in (path, path / path.resolve().name):
        if (folder / TRACK_FILE).is_file():
            return [folder]
        videos = sorted(track.parent for track in folder.glob(f"*/{TRACK_FILE}"))
        if videos:
            return videos
    raise InputError(f"{path} holds no video: there is no {TRACK_FILE} in it nor in its folders; {LAYOUT}")


def _landmarks(entries: list[Mapping[str, Any]], key: str, shape: tuple[int, ...]) -> tuple[Float | None, ...]:
    """One array per frame, or None where the tracker wrote none."""
    return tuple(
        as_float32(f"{key} of frame {index}", entry[key], shape) if entry.get(key) is not None else None
        for index, entry in enumerate(entries)
    )
