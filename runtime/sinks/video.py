"""`*.mp4`: H.264 video in yuv420p at a constant frame rate; transparency becomes white."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.video.reformatter import ColorRange, Colorspace

from imavatar_deploy.atomic import atomic_file
from imavatar_deploy.errors import UsageError
from imavatar_deploy.marking import COMMENT, append_mp4_xmp
from imavatar_deploy.progress import human_bytes

from .backgrounds import RgbImage, over, white
from .sink import Image, Sink, SinkFormat, Stream, require_images

X264_OPTIONS = {"crf": "18", "preset": "medium"}
"""x264's constant rate factor 18 is commonly called visually lossless."""

BT709 = 1
"""Number of the BT.709 primaries and transfer curve in H.264 (ITU-T H.273)."""


@contextmanager
def _open(target: str, stream: Stream) -> Iterator[Sink]:
    if stream.width % 2 or stream.height % 2:
        raise UsageError(
            f"H.264 video needs an even width and height, got {stream.width} x {stream.height}; "
            "choose another --size"
        )
    count = 0
    background = white(stream)
    with atomic_file(target) as partial, _completed(target, partial, stream) as container:
        video = _add_video(container, stream)

        def write(image: Image) -> None:
            nonlocal count
            count += 1
            container.mux(video.encode(_yuv(image, background)))

        if stream.synthetic_mark:
            container.metadata["comment"] = COMMENT
        yield Sink(
            write,
            report=lambda: (
                f"wrote {target} ({human_bytes(Path(target).stat().st_size)}, {count} frames)"
            ),
        )
        require_images(count, target)
        container.mux(video.encode(None))


@contextmanager
def _completed(target: str, partial: Path, stream: Stream) -> Iterator[Any]:
    """The container; once it is closed, the file is marked and finished."""
    with _container(target, partial) as container:
        yield container
    if stream.synthetic_mark:
        append_mp4_xmp(partial)
    stream.finish(partial)


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


def _add_video(container: Any, stream: Stream) -> Any:
    video = container.add_stream(
        "libx264", rate=Fraction(float(stream.fps)).limit_denominator(1001), options=X264_OPTIONS
    )
    video.width = stream.width
    video.height = stream.height
    video.pix_fmt = "yuv420p"
    context = video.codec_context
    context.color_range = ColorRange.MPEG
    context.colorspace = Colorspace.ITU709
    context.color_primaries = context.color_trc = BT709
    return video


def _yuv(image: Image, background: RgbImage) -> Any:
    frame = av.VideoFrame.from_ndarray(over(image, background), format="rgb24")
    return frame.reformat(
        format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG
    )


FORMAT = SinkFormat(
    name="video",
    pattern="*.mp4",
    description="H.264 video",
    matches=lambda target: target.lower().endswith(".mp4"),
    open=_open,
)
