"""`FaceDataset`: videos of a subject in the published layout, decoded frame by frame on demand."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from threading import Lock

import numpy as np

from imavatar_deploy.arrays import Array, Bool, Float32, UInt8, read_only
from imavatar_deploy.camera import Camera
from imavatar_deploy.consent import Consent, read_consent
from imavatar_deploy.errors import InputError, UsageError
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.tracks.track import FlameTrack

from . import images
from .images import FramePixels
from .video import TRACK_FILE, Video, find_videos, join_tracks, load_head

BUDGET = 1 << 30
"""Size of the cache, bytes: about 1,200 frames of a full synthetic set at 256 pixels, or 3,000 of
images, masks and labels."""


class ByteCache:
    """Cache of decoded frames with a limit in bytes; drops the least recently used. Thread-safe.

    Args:
        budget: limit, bytes.
    """

    def __init__(self, budget: int = BUDGET) -> None:
        self._budget = budget
        self._entries: OrderedDict[int, FramePixels] = OrderedDict()
        self._lock = Lock()
        self.bytes = 0

    def get(self, key: int, load: Callable[[], FramePixels]) -> FramePixels:
        """Return the pixels of `key`; load and store them where they are not in the cache."""
        with self._lock:
            if key in self._entries:
                self._entries.move_to_end(key)
                return self._entries[key]
        pixels = load()  # outside the lock, because decoding takes the time
        with self._lock:
            if key not in self._entries:
                self._entries[key] = pixels
                self.bytes += pixels.bytes
            while self.bytes > self._budget:
                self.bytes -= self._entries.popitem(last=False)[1].bytes
        return pixels


@dataclass(frozen=True, eq=False)
class FrameObservation:
    """Ground truth of one frame, square; its pose and camera are in the track.

    Pixel centres are at integer coordinates, as in `camera.Camera`.
    """

    name: str
    """Name of the frame and of its files, such as `12`."""
    video: str
    """Name of the video's folder."""
    image: Float32[Array, "H W 3"]
    """RGB in 0..1, white where the mask is false."""
    mask: Bool[Array, "H W"]
    semantic: UInt8[Array, "H W"] | None
    """Label ids, see `labels.LABELS`."""
    normal: Float32[Array, "H W 3"] | None
    """Unit normals in model space, zero where the mask is false; synthetic sets only."""
    depth: Float32[Array, "H W"] | None
    """Depth in front of the camera, model units, 0 where unknown; synthetic sets only."""
    bbox: tuple[int, int, int, int] | None
    """First column, first row, last column and last row of the face's box, clipped to the image."""
    keypoints: Float32[Array, "70 2"] | None
    """Columns and rows of the landmarks: 17 contour, 51 inner, 2 irises."""


class FaceDataset:
    """Frames of ground truth with their track, decoded when they are first used. See `open`.

    Resizing keeps the outer edges of the pictures, and a camera has pixel centres at integers:
    column c of a file becomes column (c + 1/2) s - 1/2, with s = size / side of the file. The
    cameras of `track`, keypoints and boxes are those of the resized pictures.

    Args:
        videos: videos of one subject.
        size: side in pixels to which frames are resized.
        frames: selection from all frames, one video after the other.
        head_model: head model of the tracking; needed unless the videos name `openhead`.
        edition: edition of that head model, where its file does not name it.
        cache_bytes: limit of the cache of decoded frames.
    """

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
        selection = frames if frames is not None else slice(None)
        places = [(video, index) for video in videos for index in range(len(video))]
        track = join_tracks(videos).select(selection)
        self._places = places[selection]
        self._ensure_files()
        sides = {video.folder: images.side(video.file("image", 0)) for video, _ in self._places}
        scales = [size / sides[video.folder] for video, _ in self._places]
        cameras = [
            _of_resized(camera, scale, size)
            for camera, scale in zip(track.cameras, scales, strict=True)
        ]
        self.track: FlameTrack = replace(track, cameras=tuple(cameras))
        self._scales = scales

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
            size: side in pixels to which frames are resized.
            frames: selection from all frames, one video after the other.
            videos: names of the videos to use; all when empty.
            head_model: head model of the tracking; needed unless the videos name `openhead`.
            edition: edition of that head model, where its file does not name it.

        Raises:
            InputError: a folder, file or picture is missing, or the videos do not belong together.
            UsageError: a video is unknown, no frame is selected, or the size is out of range.

        Example:
            >>> dataset = FaceDataset.open("data/female1", size=256)
            >>> dataset.observation(0).image.shape, dataset.track.pose.shape
        """
        places = [paths] if isinstance(paths, str | Path) else paths
        folders = find_videos([Path(path) for path in places], videos)
        return cls(
            [Video.read(folder) for folder in folders],
            size=size,
            frames=frames,
            head_model=head_model,
            edition=edition,
        )

    def __len__(self) -> int:
        return len(self._places)

    @property
    def picture_size(self) -> int:
        """Side of the first picture's file in pixels, before it is resized.

        Raises:
            InputError: the picture is missing or damaged.
        """
        video, frame = self._places[0]
        return images.side(video.file("image", frame))

    @property
    def semantic_known(self) -> bool:
        """Whether every frame has labels."""
        return "semantic" in self._kinds

    @property
    def consent(self) -> Consent | None:
        """The consent recorded with the first video; None unless every video has a record.

        Raises:
            InputError: a record cannot be read.
        """
        folders = {video.folder: None for video, _ in self._places}
        records = [read_consent(folder) for folder in folders]
        return records[0] if all(records) else None

    @cached_property
    def head(self) -> HeadModel:
        """The head model of the tracking, with the subject's shape in its template.

        Raises:
            InputError: the head model is not bundled, and its file was not given.
            EditionMismatchError: the given head model is not that of the tracking.
        """
        return read_only(
            load_head(self.track, self._places[0][0], self._head_source, self._edition)
        )

    def observation(self, index: int) -> FrameObservation:
        """Ground truth of the frame at `index`, counted from 0.

        Its mask and labels are read-only arrays of the cache.

        Raises:
            InputError: a picture of the frame is missing, damaged or does not fit the others.
        """
        video, frame = self._places[index]
        pixels = self._cache.get(index, lambda: self._load(video, frame))
        return FrameObservation(
            name=video.track.names[frame],
            video=video.name,
            image=images.colours(pixels),
            mask=pixels.mask,
            semantic=pixels.semantic,
            normal=images.normals(pixels),
            depth=images.depths(pixels),
            bbox=_box_in_pixels(video.boxes[frame], self.size, self._scales[index]),
            keypoints=_points_in_pixels(video.keypoints[frame], self.size, self._scales[index]),
        )

    def _load(self, video: Video, frame: int) -> images.FramePixels:
        return read_only(
            images.load({kind: video.file(kind, frame) for kind in self._kinds}, self.size)
        )

    def _ensure_files(self) -> None:
        """Check that every picture exists, before training starts."""
        paths = [video.file(kind, frame) for video, frame in self._places for kind in self._kinds]
        missing = [path for path in paths if not path.is_file()]
        if missing:
            more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
            jpeg = next(missing[0].parent.glob(f"{missing[0].stem}.[jJ][pP]*"), None)
            raise InputError(
                f"{missing[0]} is missing{more}: every frame of {TRACK_FILE} needs its picture; "
                + (
                    f"convert {jpeg.name} and the like to PNG"
                    if jpeg
                    else "see imavatar-data check"
                )
            )


def _of_resized(camera: Camera, scale: float, size: int) -> Camera:
    """The camera of a picture that was resized by a factor to `size` pixels a side."""
    if scale == 1.0:
        return camera
    shift = 0.5 * (scale - 1.0) / size
    offset = np.array([0.0, 0.0, shift, shift], dtype=np.float32)
    return replace(camera, intrinsics=camera.intrinsics + offset)


def _points_in_pixels(
    points: Float32[Array, "..."] | None, size: int, scale: float
) -> Float32[Array, "..."] | None:
    """Columns and rows of coordinates in -1..1, as in the published loader.

    Args:
        points: the coordinates.
        size: side of the picture, pixels.
        scale: `size` by the side of the file.
    """
    if points is None:
        return None
    return np.asarray((points + 1) * (size / 2) + 0.5 * (scale - 1.0), dtype=np.float32)


def _box_in_pixels(
    box: Float32[Array, "4"] | None, size: int, scale: float
) -> tuple[int, int, int, int] | None:
    scaled = _points_in_pixels(box, size, scale)
    if scaled is None:
        return None
    left, top, right, bottom = (int(min(max(value, 0), size - 1)) for value in scaled)
    return left, top, right, bottom


def as_dataset(dataset: FaceDataset | str | Path | Sequence[str | Path], size: int) -> FaceDataset:
    """Return a dataset as it is, and open the videos of a path or several paths.

    Args:
        dataset: a dataset, or what `FaceDataset.open` takes.
        size: side in pixels to which the frames of a path are resized.

    Raises:
        UsageError: it is neither; or what `FaceDataset.open` raises.
        InputError: a folder, file or picture is missing, or the videos do not belong together.
    """
    if isinstance(dataset, str | Path | list | tuple):
        return FaceDataset.open(dataset, size=size)
    if not hasattr(dataset, "observation"):
        raise UsageError(
            f"dataset must be a FaceDataset, a path or a list of paths, "
            f"got {type(dataset).__name__}"
        )
    return dataset  # type: ignore[return-value]
