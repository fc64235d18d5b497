"""Sinks: where images go. One file each; `SINKS` is the table of all.

    from imavatar_deploy.runtime.sinks import Stream, open_sink

    with open_sink("talk.mp4", Stream(width=512, height=512, fps=25)) as sink:
        sink.write(image)  # [512, 512, 4] uint8, RGBA

`register_sink` adds one of your own for this process, a `SinkFormat`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path

from imavatar_deploy.errors import UsageError, unknown_name

from . import contact_sheet, gif, http, images, programs, sink, video, virtual_camera, window
from .sink import Image, Sink, SinkFormat, Stream

__all__ = ["SINKS", "Sink", "SinkFormat", "Stream", "find_sink", "open_sink", "register_sink"]

SINKS: list[SinkFormat] = [
    *video.FORMATS,
    gif.FORMAT,
    *images.FORMATS,
    contact_sheet.FORMAT,
    window.FORMAT,
    http.FORMAT,
    virtual_camera.FORMAT,
    programs.OSC,
    programs.LIVE_LINK,
    sink.NULL,
    images.FOLDER,
]
"""The table of `--sink`; the first row that matches a target opens it."""


def register_sink(row: SinkFormat) -> None:
    """Add a sink of one's own, for `open_sink` and the `--sink` of commands run in this process.

    Args:
        row: its name, and the functions that recognise and open a target. It comes before the
            rows that are there, so that `film.strip.png` may be yours and other `.png` not.

    Raises:
        UsageError: there is a sink of this name already, or `row` is of another type.

    Example:
        >>> @contextmanager
        ... def open_mean(target, stream):
        ...     images = []
        ...     yield Sink(write=images.append, report=lambda: f"{target}: {len(images)} images")
        ...     np.save(target, np.mean(images, axis=0))
        >>> is_mean = lambda target: target.endswith(".npy")
        >>> register_sink(SinkFormat("mean", "mean.npy", "the mean image", is_mean, open_mean))
    """
    if not isinstance(row, SinkFormat):
        raise UsageError(f"a sink must be a SinkFormat, got {type(row).__name__}")
    if any(row.name == known.name for known in SINKS):
        raise UsageError(f"there is a sink {row.name!r} already; choose another name")
    SINKS.insert(0, row)


def find_sink(target: str | Path) -> SinkFormat:
    """Return the row of a `--sink` argument.

    Raises:
        UsageError: no such sink, or a target that is neither a string nor a path.
    """
    if not isinstance(target, str | Path):
        raise UsageError(f"a sink must be a str or a Path, got {type(target).__name__}")
    target = str(target)
    for row in SINKS:
        if row.matches(target):
            return row
    raise unknown_name("sink", target, [row.pattern for row in SINKS])


def open_sink(target: str | Path, stream: Stream) -> AbstractContextManager[Sink]:
    """Open a `--sink` argument for images of one size and rate; use it in a `with` block.

    Args:
        target: a string or path such as `talk.mp4`, `frames/%05d.png` or `sheet.png`; `SINKS` has
            all patterns.
        stream: width and height in pixels, and images a second.

    Returns:
        A context manager of a `Sink`, whose `write` takes images `[H, W, 4]` uint8, RGBA. The
        output appears whole when the block ends without an error, and not at all otherwise.

    Raises:
        UsageError: no such sink, it cannot be written, or the block ends without an image for a
            file. `write` raises it for an image of another size or type.

    Example:
        >>> with open_sink("sheet.png", Stream(256, 256, fps=25)) as sink:
        ...     sink.write(player.render(expression, pose))
    """
    row = find_sink(target)
    if not isinstance(stream, Stream):
        raise UsageError(
            f"stream must be a Stream(width, height, fps), got {type(stream).__name__}"
        )
    return _open_checked(row, str(target), stream)


@contextmanager
def _open_checked(row: SinkFormat, target: str, stream: Stream) -> Iterator[Sink]:
    """Open a sink whose `write` checks size and type of each image first."""
    with row.open(target, stream) as opened:

        def write(image: Image) -> None:
            stream.check(image)
            opened.write(image)

        yield replace(opened, write=write)
