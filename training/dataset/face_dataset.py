"""FaceDataset: one or several videos of a subject in the published layout, decoded frame by frame."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.arrays import read_only
from imavatar_deploy.errors import InputError
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.tracks.track import FlameTrack

from . import images
from .images import FramePixels
from .video import TRACK_FILE, Video, find_videos, join_tracks, load_head

# ByteCache: keeps what was decoded last, up to so many bytes.


BUDGET = 1 << 30
"""Bytes: about 1,200 frames of a full synthetic set at 256 pixels, 3,000 of images, masks and labels."""


class ByteCache:
    """Least recently used goes first; safe to share between threads."""

    def __init__(self, budget: int = BUDGET) -> None:
        self._budget = budget
        self._held: OrderedDict[int, FramePixels] = OrderedDict()
        self._lock = Lock()
        self.bytes = 0

    def get(self, key: int, load: Callable[[], FramePixels]) -> FramePixels:
        """What is held for `key`, or what `load` returns, which is then held."""
        with self._lock:
            if key in self._held:
                self._held.move_to_end(key)
                return self._held[key]
        pixels = load()  # outside the lock: decoding is what takes time
        with self._lock:
            if key not in self._held:
                self._held[key] = pixels
                self.bytes += pixels.bytes
            while self.bytes > self._budget:
                self.bytes -= self._held.popitem(last=False)[1].bytes
        return pixels


# Observation: everything a dataset knows about one frame, besides its pose and camera (which are in the track).


Float = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class FrameObservation:
    """One frame of ground truth, square, with pixel centres at integer coordinates (see `camera.Camera`)."""

    name: str
    """Of the frame, as its files are called: `12`."""
    video: str
    """Name of the video's folder."""
    image: Float  # [H, W, 3] in 0..1, white where the mask is false
    mask: NDArray[np.bool_]  # [H, W]
    semantic: NDArray[np.uint8] | None  # [H, W] label ids, see labels.py
    normal: (
        Float | None
    )  # [H, W, 3] unit, model space, zero where the mask is false; synthetic sets only
    depth: (
        Float | None
    )  # [H, W] model units in front of the camera, 0 where unknown; synthetic sets only
    bbox: tuple[int, int, int, int] | None
    """First column, first row, last column, last row of the face's landmarks, clipped to the image."""
    keypoints: Float | None  # [70, 2] column and row: 17 contour, 51 inner, 2 irises


class FaceDataset:
    """Frames of ground truth with their track; `open` makes one. Pictures are decoded when first asked for."""

    def __init__(
        self,
        videos: Sequence[Video],
        *,
        size: int = 256,
        frames: slice | None = None,
        head_model: Path | str | None = None,
        edition: str | None = None,
        cache_bytes: int = BUDGET,
    ) -> None:
        images.check_target(size)
        self.size = size
        self._head_source = head_model
        self._edition = edition
        self._cache = ByteCache(cache_bytes)
        optional = (
            kind
            for kind in ("semantic", "normal", "depth")
            if all(video.has(kind) for video in videos)
        )
        self._kinds = ("image", "mask", *optional)
        chosen = frames if frames is not None else slice(None)
        self.track: FlameTrack = join_tracks(videos).select(chosen)
        self._places = [(video, index) for video in videos for index in range(len(video))][chosen]
        self._ensure_files()

    @classmethod
    def open(
        cls,
        paths: str | Path | Sequence[str | Path],
        *,
        size: int = 256,
        frames: slice | None = None,
        videos: Sequence[str] = (),
        head_model: Path | str | None = None,
        edition: str | None = None,
    ) -> FaceDataset:
        """Open the videos in `paths`.

        Args:
            paths: one or several video folders, subject folders with videos in them, or the
                published `subject/subject`.
            size: side in pixels that frames are resized to.
            frames: which of all frames, one video after the other.
            videos: names of the videos to take; all when empty.
            head_model: what the videos were tracked with; needed unless they say `openhead`.
            edition: of that head model, where its file does not say.

        Raises:
            InputError: a folder, file or picture is missing, or the videos do not belong together.
            UsageError: an unknown video, an empty choice of frames, an impossible size.

        Example:
            >>> dataset = FaceDataset.open("data/female1", size=256)
            >>> dataset.observation(0).image.shape, dataset.track.pose.shape
        """
        places = [paths] if isinstance(paths, str | Path) else paths
        folders = find_videos([Path(path) for path in places], videos)
        read = [Video.read(folder) for folder in folders]
        return cls(read, size=size, frames=frames, head_model=head_model, edition=edition)

    def __len__(self) -> int:
        return len(self._places)

    @property
    def semantic_known(self) -> bool:
        """Whether every frame has labels."""
        return "semantic" in self._kinds

    @cached_property
    def head(self) -> HeadModel:
        """The head model the videos were tracked with, the subject's shape in its template.

        Raises:
            InputError: the head model is neither bundled nor given.
            EditionMismatchError: the one given is another than the videos were tracked with.
        """
        return read_only(
            load_head(self.track, self._places[0][0], self._head_source, self._edition)
        )

    def observation(self, index: int) -> FrameObservation:
        """The frame at `index`, counted from 0; its mask and labels are the cache's, and read-only.

        Raises:
            InputError: one of its pictures is missing, damaged or does not fit the others.
        """
        video, place = self._places[index]
        held = self._cache.get(index, lambda: self._load(video, place))
        return FrameObservation(
            name=video.track.names[place],
            video=video.name,
            image=images.colours(held),
            mask=held.mask,
            semantic=held.semantic,
            normal=images.normals(held),
            depth=images.depths(held),
            bbox=_box_in_pixels(video.boxes[place], self.size),
            keypoints=_points_in_pixels(video.keypoints[place], self.size),
        )

    def _load(self, video: Video, place: int) -> images.FramePixels:
        return read_only(
            images.load({kind: video.file(kind, place) for kind in self._kinds}, self.size)
        )

    def _ensure_files(self) -> None:
        """Say now, not in the middle of a training, that a picture is missing."""
        wanted = [video.file(kind, place) for video, place in self._places for kind in self._kinds]
        missing = [path for path in wanted if not path.is_file()]
        if missing:
            raise InputError(
                f"{missing[0]} is missing{f' (and {len(missing) - 1} more)' if len(missing) > 1 else ''}: every frame "
                f"of {TRACK_FILE} needs its picture; see imavatar-data check"
            )


def _points_in_pixels(points: Float | None, size: int) -> Float | None:
    """-1..1 -> columns and rows, as the published loader does."""
    return None if points is None else np.asarray((points + 1) * (size / 2), dtype=np.float32)


def _box_in_pixels(box: Float | None, size: int) -> tuple[int, int, int, int] | None:
    scaled = _points_in_pixels(box, size)
    if scaled is None:
        return None
    left, top, right, bottom = (int(min(max(value, 0), size - 1)) for value in scaled)
    return left, top, right, bottom
