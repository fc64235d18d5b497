"""Film: frames as an H.264 video that browsers and slides can play."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace

from imavatar_deploy.atomic import atomic_file

from ..evaluation.case import Image

BT709 = 1
"""Number of the BT.709 primaries and transfer curve in H.264 (ITU-T H.273); players guess where nothing says."""


def write_film(path: Path, images: Iterable[Image], *, size: int, fps: int) -> Path:
    """Write square images `[size, size, 3]` in 0..1; H.264 wants even sides, so an odd image gets a white edge."""
    even = size + size % 2
    with atomic_file(path) as partial, av.open(str(partial), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps))
        stream.width, stream.height, stream.pix_fmt = even, even, "yuv420p"
        stream.options = {"crf": "18"}
        context = stream.codec_context
        context.color_range, context.colorspace = ColorRange.MPEG, Colorspace.ITU709
        context.color_primaries = context.color_trc = BT709
        for image in images:
            pixels = np.full((even, even, 3), 255, dtype=np.uint8)
            pixels[:size, :size] = np.round(255.0 * np.clip(image, 0.0, 1.0)).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            told = frame.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG)
            container.mux(stream.encode(told))
        container.mux(stream.encode())
    return path
