"""Writes video files with BT.709 colours, at a constant frame rate.

`MP4` and `AVI` hold H.264 without transparency, `WEBM` VP9 and `MOV` ProRes 4444 with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.video.reformatter import ColorRange, Colorspace

from .arrays import Array, UInt8
from .atomic import atomic_file
from .errors import UsageError
from .marking import COMMENT, append_mp4_xmp

X264_OPTIONS = {"crf": "18", "preset": "medium"}
"""x264's constant rate factor 18 is commonly called visually lossless."""

BT709 = 1
"""Number of the BT.709 primaries and transfer curve in H.264 (ITU-T H.273)."""

AddImage = Callable[[UInt8[Array, "H W C"]], None]
"""Appends one image to a video: RGB, or RGBA where the kind of video has transparency."""


@dataclass(frozen=True)
class VideoKind:
    """A container, its codec, and the settings of both."""

    container: str
    """FFmpeg's name."""
    codec: str
    """FFmpeg's name of the encoder."""
    pixels: str
    """FFmpeg's pixel format."""
    options: dict[str, str]
    """Options of the encoder."""
    container_options: dict[str, str] = field(default_factory=dict)
    transparent: bool = False
    """Whether images are RGBA, with straight alpha."""
    even: bool = False
    """Whether width and height must be even."""
    boxes: bool = False
    """Whether the file consists of MP4 boxes, one of which can hold XMP."""


MP4 = VideoKind(
    "mp4", "libx264", "yuv420p", X264_OPTIONS, {"movflags": "faststart"}, even=True, boxes=True
)

AVI = VideoKind("avi", "libx264", "yuv420p", {**X264_OPTIONS, "bf": "0"}, even=True)
"""AVI has no time stamps, so frames must be stored in the order in which they are shown."""

WEBM = VideoKind(
    "webm",
    "libvpx-vp9",
    "yuva420p",
    {"crf": "20", "b": "0", "deadline": "good", "cpu-used": "4", "row-mt": "1"},
    {"fflags": "bitexact"},  # else the file holds random numbers
    transparent=True,
)

MOV = VideoKind(
    "mov",
    "prores_ks",
    "yuva444p10le",
    {"profile": "4444", "alpha_bits": "16", "vendor": "apl0"},
    transparent=True,
    boxes=True,
)


@contextmanager
def open_video(
    target: str | Path,
    width: int,
    height: int,
    fps: float,
    *,
    kind: VideoKind = MP4,
    synthetic_mark: bool = False,
    finish: Callable[[Path], None] | None = None,
) -> Iterator[AddImage]:
    """Open a video file and yield the function that appends an image to it.

    Images are RGB `[H, W, 3]`, or RGBA `[H, W, 4]` where the kind has transparency.

    The file appears at `target` when the block ends without an error.

    Args:
        target: the file.
        width: pixels.
        height: pixels.
        fps: images a second.
        kind: container and codec.
        synthetic_mark: whether the file carries the mark of `marking`.
        finish: called with the complete file before it gets its name.

    Raises:
        UsageError: the size is odd and must be even, or the file cannot be written.
    """
    if kind.even and (width % 2 or height % 2):
        raise UsageError(
            f"H.264 video needs an even width and height, got {width} x {height}; "
            "choose another --size"
        )
    with atomic_file(target) as partial:
        with _container(str(target), partial, kind) as container:
            if synthetic_mark:
                container.metadata["comment"] = COMMENT
            video = _add_video(container, width, height, fps, kind)
            yield lambda image: container.mux(video.encode(_yuv(image, kind)))
            container.mux(video.encode(None))
        if synthetic_mark and kind.boxes:
            append_mp4_xmp(partial)
        if finish is not None:
            finish(partial)


@contextmanager
def _container(target: str, partial: Path, kind: VideoKind) -> Iterator[Any]:
    try:
        with av.open(
            str(partial), "w", format=kind.container, options=kind.container_options
        ) as container:
            yield container
    except av.FFmpegError as error:
        raise UsageError(
            f"{target} cannot be written ({error}); choose another place or size"
        ) from error


def _add_video(container: Any, width: int, height: int, fps: float, kind: VideoKind) -> Any:
    video = container.add_stream(
        kind.codec, rate=Fraction(float(fps)).limit_denominator(1001), options=kind.options
    )
    video.width = width
    video.height = height
    video.pix_fmt = kind.pixels
    context = video.codec_context
    context.color_range = ColorRange.MPEG
    context.colorspace = Colorspace.ITU709
    context.color_primaries = context.color_trc = BT709
    return video


def _yuv(image: UInt8[Array, "H W C"], kind: VideoKind) -> Any:
    frame = av.VideoFrame.from_ndarray(image, format="rgba" if kind.transparent else "rgb24")
    return frame.reformat(
        format=kind.pixels, dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG
    )
