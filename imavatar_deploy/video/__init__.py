"""Video files: `VideoReader` gives their frames as upright RGB images, one after the other."""

from __future__ import annotations

from .decode import DecodedFrame, VideoInfo, VideoReader

__all__ = ["DecodedFrame", "VideoInfo", "VideoReader"]
