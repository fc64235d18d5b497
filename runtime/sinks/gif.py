"""`*.gif`: an animation that repeats, each frame with a palette of its own of 256 colours.

A pixel of a GIF is opaque or transparent: those with half the alpha or more become opaque.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from imavatar_deploy.atomic import atomic_file
from imavatar_deploy.errors import UsageError
from imavatar_deploy.marking import append_gif_mark
from imavatar_deploy.progress import human_bytes

from .sink import Image, Sink, SinkFormat, Stream, existing_file, require_images

LARGEST_FPS = 50
"""Images a second. Browsers show delays below 2 hundredths of a second as 10."""

OPAQUE = 128
"""Smallest alpha of the pixels that become opaque."""

FILTERS = (
    ("palettegen", "stats_mode=single:reserve_transparent=1"),
    ("paletteuse", f"new=1:dither=bayer:bayer_scale=4:alpha_threshold={OPAQUE}"),
)
"""FFmpeg's filters and their arguments."""


@contextmanager
def _open(target: str, stream: Stream) -> Iterator[Sink]:
    if stream.fps > LARGEST_FPS:
        raise UsageError(
            f"a GIF has at most {LARGEST_FPS} images a second, got {stream.fps:g}; choose a "
            f"smaller --fps, such as {LARGEST_FPS // 2}"
        )
    count = 0
    rate = Fraction(float(stream.fps)).limit_denominator(1001)
    with atomic_file(target) as partial:
        try:
            with av.open(str(partial), "w", format="gif") as container:
                video: Any = container.add_stream("gif", rate=rate)
                video.width, video.height, video.pix_fmt = stream.width, stream.height, "pal8"
                graph = _palettes(stream, rate)

                def write(image: Image) -> None:
                    nonlocal count
                    frame = av.VideoFrame.from_ndarray(_cut_out(image), format="rgba")
                    frame.pts = count
                    frame.time_base = 1 / rate
                    count += 1
                    graph.push(frame)
                    container.mux(video.encode(graph.pull()))

                yield Sink(
                    write,
                    report=lambda: (
                        f"wrote {target} ({human_bytes(Path(target).stat().st_size)}, "
                        f"{count} frames of 256 colours)"
                    ),
                )
                require_images(count, target)
                container.mux(video.encode(None))
        except av.FFmpegError as error:
            raise UsageError(
                f"{target} cannot be written ({error}); choose another place or size"
            ) from error
        if stream.synthetic_mark:
            append_gif_mark(partial)
        stream.finish(partial)


def _cut_out(image: Image) -> Image:
    """Make each pixel of an image opaque, or transparent and black, so it takes no colour."""
    opaque = cv2.extractChannel(image, 3) >= OPAQUE
    cut = np.where(opaque[..., None], image, 0).astype(np.uint8)
    cut[..., 3] = np.where(opaque, 255, 0)
    return cut


def _palettes(stream: Stream, rate: Fraction) -> Any:
    """Return the filter graph that gives each image a palette."""
    graph = av.filter.Graph()
    source = graph.add_buffer(
        width=stream.width,
        height=stream.height,
        format=av.VideoFormat("rgba"),
        time_base=1 / rate,
    )
    split = graph.add("split")
    palette, use = (graph.add(name, arguments) for name, arguments in FILTERS)
    sink = graph.add("buffersink")
    source.link_to(split)
    split.link_to(use, 0, 0)
    split.link_to(palette, 1, 0)
    palette.link_to(use, 0, 1)
    use.link_to(sink)
    graph.configure()
    return graph


FORMAT = SinkFormat(
    name="gif",
    pattern="*.gif",
    description="an animation of 256 colours a frame",
    matches=lambda target: target.lower().endswith(".gif"),
    open=_open,
    existing=existing_file,
)
