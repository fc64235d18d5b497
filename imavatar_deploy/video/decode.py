"""VideoReader: the frames of a video file in order, upright RGB images of 8 bits with their times.

Frames are decoded one after the other and never kept, so that memory does not grow with the video.
Rotation and mirroring of the file, pixels that are not square, interlaced fields and HDR colours
are undone; `VideoInfo.notes` lists what was done.
"""

from __future__ import annotations

import filecmp
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, combinations
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import av.filter
import cv2
import numpy as np
from av.stream import Disposition
from av.video.reformatter import Colorspace, VideoReformatter

from imavatar_deploy.arrays import Array, Int32, UInt8
from imavatar_deploy.errors import InputError, UsageError

from .hdr import HDR_CURVES, to_standard_range
from .metadata import focal_length_35mm, quarter_turns

PHOTO_FORMATS = ("image2", "_pipe")
"""Parts of FFmpeg's names of containers that hold one picture."""

UNSPECIFIED = 2
"""FFmpeg's number for colours that the file does not describe."""

COLORSPACES = {
    1: Colorspace.ITU709,
    4: Colorspace.FCC,
    5: Colorspace.ITU601,
    6: Colorspace.ITU601,
    7: Colorspace.SMPTE240M,
    9: Colorspace.BT2020,
}
"""FFmpeg's number of a frame's colour matrix -> that of its converter."""

HD_ROWS = 720
"""Rows from which colours without a description are those of HD television."""

MAX_DAMAGED = 0.1
"""Largest share of frames that may be damaged; they are skipped."""

MISSING_END = 0.5
"""Seconds between the end of the frames and the stated end of a video that is cut short."""

DEINTERLACE = ("bwdif", "yadif")
"""FFmpeg's filters that deinterlace, the better first."""

MIN_SIDE = 64
"""Smallest side of a picture, pixels."""


def ensure_distinct(videos: Sequence[Path]) -> None:
    """Refuse the same video twice, also under another name: it would count twice.

    Args:
        videos: files that exist.

    Raises:
        UsageError: two of them have the same content.
    """
    for first, second in combinations(videos, 2):
        same_size = first.stat().st_size == second.stat().st_size
        if first.samefile(second) or (same_size and filecmp.cmp(first, second, shallow=False)):
            state = "is given twice" if first == second else f"and {second} are the same video"
            raise UsageError(f"{first} {state}: leave one out")


@dataclass(frozen=True)
class VideoInfo:
    """Properties of a video file."""

    path: Path
    width: int
    """Width of the upright picture, pixels."""
    height: int
    fps: float
    """Average number of frames a second."""
    duration: float | None
    """Seconds; None where the file does not state it."""
    frames: int | None
    """Estimated number of frames; None where the file states no duration."""
    focal_35mm: float | None
    """Focal length in millimetres for a picture of 35 mm film; None where the file has none."""
    notes: tuple[str, ...]
    """What was done to the pictures or cannot be done, one sentence each."""


@dataclass(frozen=True, eq=False)
class DecodedFrame:
    """A frame of a video; its pixels are converted when they are asked for."""

    index: int
    """Number of the frame in the video, from 0."""
    time: float
    """Seconds since the first frame."""
    damaged: bool
    """Whether the decoder had to invent a part of the picture."""
    _frame: Any
    _reader: VideoReader

    def image(self) -> UInt8[Array, "H W 3"]:
        """Convert the frame to an upright RGB image."""
        return self._reader._upright(self._frame)


class VideoReader:
    """Reads the frames of a video file in order.

    It is a context manager. Each call of `frames` starts at the first frame.

    Raises:
        InputError: the file is missing, is no video, has sound only, is a photo, a 360-degree
            recording, or is damaged.

    Example:
        >>> with VideoReader("clip.mp4") as reader:
        ...     for frame in reader.frames():
        ...         print(frame.index, frame.time, frame.image().shape)
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._reformatter = VideoReformatter()
        self._turn: Int32[Array, "2 2"] = np.eye(2, dtype=np.int32)
        self._container = self._open()
        try:
            self._stream = self._video_stream()
            self._stream.thread_type = "AUTO"
            self._interlaced = False
            self._lost_packets = 0
            self._curve: int | None = None
            first = self._first_frame()
            self._describe_colours(first)
            self.info = self._info(first)
        except BaseException:
            self._container.close()
            raise

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def frames(self) -> Iterator[DecodedFrame]:
        """Iterate over all frames, from the first.

        Raises:
            InputError: the file is damaged or ends early.
        """
        self._container.close()
        self._container = self._open()
        self._stream = self._video_stream()
        self._stream.thread_type = "AUTO"
        yield from self._numbered(self._whole(self._decoded()))

    # Opening

    def _open(self) -> Any:
        if not self.path.exists():
            raise InputError(f"there is no video {str(self.path)!r}; check the path")
        if self.path.is_dir():
            raise InputError(f"{self.path} is a folder: expected a video file, such as an .mp4")
        try:
            return av.open(str(self.path), metadata_errors="replace")
        except (av.FFmpegError, OSError) as error:
            raise InputError(
                f"{self.path} is not a video that can be read ({_reason(error)}): it may be cut "
                "short or of another format; copy it again, or convert it to an .mp4"
            ) from error

    def _video_stream(self) -> Any:
        streams = [
            stream
            for stream in self._container.streams.video
            if not stream.disposition & Disposition.attached_pic
        ]
        if not streams:
            holds = "sound and no pictures" if self._container.streams.audio else "no pictures"
            raise InputError(f"{self.path} holds {holds}: expected a video of a person")
        name = self._container.format.name
        if any(part in name for part in PHOTO_FORMATS) and "gif" not in name:
            raise self._photo()
        return streams[0]

    def _photo(self) -> InputError:
        return InputError(
            f"{self.path} is a photo: expected a video in which the head turns and the person talks"
        )

    def _first_frame(self) -> Any:
        first = next(self._decoded(), None)
        if first is None:
            raise InputError(
                f"{self.path} holds no frame that can be decoded: it is damaged; copy it again, or "
                "convert it to an .mp4"
            )
        if min(first.width, first.height) < MIN_SIDE:
            raise InputError(
                f"{self.path} has pictures of {first.width} x {first.height} pixels: expected at "
                f"least {MIN_SIDE} pixels a side"
            )
        if "SPHERICAL" in _side_data(first):
            raise InputError(
                f"{self.path} is a 360-degree recording, whose pictures are not those of an "
                "ordinary camera: export a flat view of the person from it first"
            )
        return first

    def _info(self, first: Any) -> VideoInfo:
        tags = {**self._container.metadata, **self._stream.metadata}
        self._turn = quarter_turns(_side_data(first).get("DISPLAYMATRIX"), tags)
        self._curve = int(first.color_trc) if first.color_trc in HDR_CURVES else None
        width, height = self._square_pixels(first)
        if self._turn[0, 0] == 0:
            width, height = height, width
        rate = self._stream.average_rate or self._stream.guessed_rate or Fraction(25)
        duration = self._duration()
        return VideoInfo(
            path=self.path,
            width=width,
            height=height,
            fps=float(rate),
            duration=duration,
            frames=None if duration is None else max(1, round(duration * float(rate))),
            focal_35mm=focal_length_35mm(tags),
            notes=tuple(self._notes(first)),
        )

    def _notes(self, first: Any) -> Iterator[str]:
        name = self.path.name
        if self._interlaced:
            yield f"{name} is interlaced: its fields were merged to full frames"
        if self._curve is not None:
            curve = HDR_CURVES[self._curve].name
            yield f"{name} is HDR ({curve}): its colours were mapped to a standard screen's"
        if self._square_pixels(first) != (first.width, first.height):
            yield f"{name} has pixels that are not square: its pictures were stretched"

    def _duration(self) -> float | None:
        """Seconds that the video stream states, or its container."""
        stream = self._stream
        if stream.duration is not None and stream.time_base is not None:
            return float(stream.duration * stream.time_base)
        for key, value in stream.metadata.items():
            if key.upper().startswith("DURATION") and (seconds := _seconds(value)) is not None:
                return seconds
        if self._container.duration is not None:
            return float(self._container.duration / av.time_base)
        return None

    # Decoding

    def _decoded(self) -> Iterator[Any]:
        """Decoded frames, deinterlaced where the video is; damaged packets are skipped."""
        frames = self._packets()
        first = next(frames, None)
        if first is None:
            return
        self._interlaced = bool(first.interlaced_frame)
        joined = chain([first], frames)
        yield from _deinterlaced(joined, self._stream) if self._interlaced else joined

    def _packets(self) -> Iterator[Any]:
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except av.FFmpegError as error:
                raise InputError(
                    f"{self.path} is damaged ({_reason(error)}); copy it again, or convert it"
                ) from error
            try:
                yield from packet.decode()
            except av.FFmpegError:
                self._lost_packets += 1

    def _numbered(self, frames: Iterable[Any]) -> Iterator[DecodedFrame]:
        start: float | None = None
        time = -1.0 / self.info.fps
        for index, frame in enumerate(frames):
            stamp = None if frame.time is None else float(frame.time)
            if start is None and stamp is not None:
                start = stamp
            # A frame without a time stamp, or with one that runs backwards, follows at the
            # average rate.
            following = time + 1.0 / self.info.fps
            time = stamp - start if stamp is not None and start is not None else following
            yield DecodedFrame(index, time, bool(frame.is_corrupt), frame, self)

    def _whole(self, frames: Iterable[Any]) -> Iterator[Any]:
        """All frames; at their end, check that the video was neither damaged nor cut short."""
        self._lost_packets = 0
        count = damaged = 0
        end = 0.0
        for frame in frames:
            count += 1
            damaged += bool(frame.is_corrupt)
            end = max(end, float(frame.time or 0.0))
            yield frame
        lost = self._lost_packets
        if damaged + lost > MAX_DAMAGED * (count + lost):
            raise InputError(
                f"{self.path} is damaged: {damaged + lost} of its {count + lost} frames cannot be "
                "decoded; copy it again, or record anew"
            )
        if count == 1:
            raise self._photo()
        start = float((self._stream.start_time or 0) * (self._stream.time_base or 0))
        end += 1.0 / self.info.fps - start
        stated = self.info.duration
        if stated is not None and stated - end > max(MISSING_END, 0.1 * stated):
            raise InputError(
                f"{self.path} is cut short: its frames end at {end:.1f} s of {stated:.1f} s; copy "
                "it again"
            )

    # Pixels

    def _describe_colours(self, frame: Any) -> None:
        source = int(frame.colorspace)
        if source == UNSPECIFIED:
            source = 1 if min(frame.width, frame.height) >= HD_ROWS else 5
        self._colorspace = COLORSPACES.get(source, Colorspace.DEFAULT)

    def _square_pixels(self, frame: Any) -> tuple[int, int]:
        """Width and height of a frame with square pixels, before it is turned."""
        ratio = self._stream.sample_aspect_ratio
        if not ratio or ratio == 1:
            return frame.width, frame.height
        return round(frame.width * float(ratio)), frame.height

    def _upright(self, frame: Any) -> UInt8[Array, "H W 3"]:
        converted = self._reformatter.reformat(
            frame, format="rgb24", src_colorspace=self._colorspace
        )
        image = converted.to_ndarray()
        if self._curve is not None:
            image = to_standard_range(image, self._curve)
        size = self._square_pixels(frame)
        if size != (frame.width, frame.height):
            stretched = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
            image = np.asarray(stretched, dtype=np.uint8)
        return turned(image, self._turn)


def turned(image: UInt8[Array, "H W 3"], turn: Int32[Array, "2 2"]) -> UInt8[Array, "_ _ 3"]:
    """Turn and mirror an image: (column, row) moves to (column, row) @ `turn`, up to a shift."""
    columns, rows = turn.sum(axis=0)
    if turn[0, 0] == 0:
        image = image.swapaxes(0, 1)
    if columns < 0:
        image = image[:, ::-1]
    if rows < 0:
        image = image[::-1]
    return np.ascontiguousarray(image)


def _deinterlaced(frames: Iterable[Any], stream: Any) -> Iterator[Any]:
    name = next(name for name in DEINTERLACE if name in av.filter.filters_available)
    graph = av.filter.Graph()
    source = graph.add_buffer(template=stream)
    merge = graph.add(name, "mode=send_frame:deint=interlaced")
    graph.link_nodes(source, merge, graph.add("buffersink")).configure()
    for frame in chain(frames, [None]):
        try:
            graph.vpush(frame)
            while True:
                yield graph.vpull()
        except (av.BlockingIOError, av.EOFError):
            continue


def _side_data(frame: Any) -> Mapping[str, bytes]:
    """Side data of a frame by the name of its kind."""
    return {item.type.name: bytes(item) for item in frame.side_data.keys()}  # noqa: SIM118


def _seconds(text: str) -> float | None:
    """Seconds of a duration such as 00:01:02.5, or None."""
    try:
        hours, minutes, seconds = (float(part) for part in text.split(":"))
    except ValueError:
        return None
    return 3600 * hours + 60 * minutes + seconds


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error).strip().rstrip(".").lower()
