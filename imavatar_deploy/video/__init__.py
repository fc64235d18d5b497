"""Video files: their frames as upright RGB images of 8 bits with exact times.

    from imavatar_deploy.video import VideoReader

    with VideoReader("clip.mp4") as reader:
        print(reader.info.width, reader.info.height, reader.info.fps, reader.info.notes)
        for frame in reader.frames():
            frame.time, frame.image()  # seconds, [H, W, 3] uint8

`VideoReader` undoes the rotation tag, interlacing, 10 bits and HDR colours of a file. Its `info` is
a `VideoInfo`; its frames are `DecodedFrame`, whose pixels are converted when they are asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from imavatar_deploy.lazy import lazy_names

if TYPE_CHECKING:
    from .decode import DecodedFrame, VideoInfo, VideoReader

__all__ = ["DecodedFrame", "VideoInfo", "VideoReader"]

PLACES = {"DecodedFrame": ".decode", "VideoInfo": ".decode", "VideoReader": ".decode"}

__getattr__, __dir__ = lazy_names(__name__, PLACES)
