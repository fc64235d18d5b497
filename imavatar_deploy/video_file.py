"""Writes H.264 video files: yuv420p with BT.709 colours, at a constant frame rate."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
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

AddImage = Callable[[UInt8[Array, "H W 3"]], None]
"""Appends one RGB image to a video."""


@contextmanager
def open_video(
    target: str | Path,
    width: int,
    height: int,
    fps: float,
    *,
    synthetic_mark: bool = False,
    finish: Callable[[Path], None] | None = None,
) -> Iterator[AddImage]:
    """Open an MP4 file and yield the function that appends an RGB image `[H, W, 3]` to it.

    The file appears at `target` when the block ends without an error.

    Args:
        target: the file.
        width: pixels.
        height: pixels.
        fps: images a second.
        synthetic_mark: whether the file carries the mark of `marking`.
        finish: called with the complete file before it gets its name.

    Raises:
        UsageError: width or height is odd, or the file cannot be written.
    """
    if width % 2 or height % 2:
        raise UsageError(
            f"H.264 video needs an even width and height, got {width} x {height}; "
            "choose another --size"
        )
    with atomic_file(target) as partial:
        with _container(str(target), partial) as container:
            if synthetic_mark:
                container.metadata["comment"] = COMMENT
            video = _add_video(container, width, height, fps)
            yield lambda image: container.mux(video.encode(_yuv(image)))
            container.mux(video.encode(None))
        if synthetic_mark:
            append_mp4_xmp(partial)
        if finish is not None:
            finish(partial)


@contextmanager
def _container(target: str, partial: Path) -> Iterator[Any]:
    try:
        with av.open(
            str(partial), "w", format="mp4", options={"movflags": "faststart"}
        ) as container:
            yield container
    except av.FFmpegError as error:
        raise UsageError(
            f"{target} cannot be written ({error}); choose another place or size"
        ) from error


def _add_video(container: Any, width: int, height: int, fps: float) -> Any:
    video = container.add_stream(
        "libx264", rate=Fraction(float(fps)).limit_denominator(1001), options=X264_OPTIONS
    )
    video.width = width
    video.height = height
    video.pix_fmt = "yuv420p"
    context = video.codec_context
    context.color_range = ColorRange.MPEG
    context.colorspace = Colorspace.ITU709
    context.color_primaries = context.color_trc = BT709
    return video


def _yuv(image: UInt8[Array, "H W 3"]) -> Any:
    frame = av.VideoFrame.from_ndarray(image, format="rgb24")
    return frame.reformat(
        format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG
    )
