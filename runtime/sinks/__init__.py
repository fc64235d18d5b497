"""Sinks of frames: video, images, windows, web pages; one file and one row of a table each."""

from __future__ import annotations

from contextlib import AbstractContextManager

from imavatar_deploy.errors import unknown_name

from . import contact_sheet, http, images, sink, video, virtual_camera, window
from .sink import Sink, SinkFormat, Stream

__all__ = ["SINKS", "Sink", "SinkFormat", "Stream", "find_sink", "open_sink"]

SINKS: tuple[SinkFormat, ...] = (
    video.FORMAT,
    images.FORMAT,
    contact_sheet.FORMAT,
    window.FORMAT,
    http.FORMAT,
    virtual_camera.FORMAT,
    sink.NULL,
)
"""The table of `--sink`."""


def find_sink(target: str) -> SinkFormat:
    """Return the row of a `--sink` argument.

    Raises:
        UsageError: no such sink.
    """
    for row in SINKS:
        if row.matches(target):
            return row
    raise unknown_name("sink", target, [row.pattern for row in SINKS])


def open_sink(target: str, stream: Stream) -> AbstractContextManager[Sink]:
    """Open a `--sink` argument for frames of one size and rate; use it in a `with` block.

    Raises:
        UsageError: no such sink, or it cannot be written.
    """
    return find_sink(target).open(target, stream)
