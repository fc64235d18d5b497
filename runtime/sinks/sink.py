"""Sink: where the frames of a run go; the row of the table of sinks; the user's controls."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np

from imavatar_deploy.arrays import Array, Float32, UInt8
from imavatar_deploy.avatar_io import AvatarFolder
from imavatar_deploy.camera import Camera
from imavatar_deploy.errors import UsageError

Image = UInt8[Array, "H W 4"]
"""One RGBA frame."""

FARTHEST_PITCH = 1.4
"""Largest pitch, radians up or down: past the pole the view would turn over."""

SMALLEST_ZOOM = 0.25
LARGEST_ZOOM = 4.0
"""Bounds of the zoom."""


@dataclass
class Controls:
    """What a user at a window or a page may change during a run.

    The render loop reads and the sinks write single attributes, so no lock is needed.
    """

    paused: bool = False
    stopped: bool = False
    """Ends the run."""
    recalibrate: bool = False
    """Makes the present face the neutral one; the loop resets it."""
    yaw: float = 0.0
    """Angle of the camera about the head, to the camera's right, radians."""
    pitch: float = 0.0
    """Angle of the camera above the head, radians."""
    zoom: float = 1.0
    """2 shows the head twice as large."""

    def orbit(self, yaw: float, pitch: float) -> None:
        """Turn the camera about the head by angles in radians."""
        self.yaw += yaw
        self.pitch = min(max(self.pitch + pitch, -FARTHEST_PITCH), FARTHEST_PITCH)

    def zoom_by(self, factor: float) -> None:
        """Zoom in (above 1) or out (below)."""
        self.zoom = min(max(self.zoom * factor, SMALLEST_ZOOM), LARGEST_ZOOM)

    def reset(self) -> None:
        """Return to the front view."""
        self.yaw = 0.0
        self.pitch = 0.0
        self.zoom = 1.0


def always() -> bool:
    """Return True: the `needs_image` of sinks that take every image."""
    return True


def never() -> bool:
    """Return False: the `needs_image` of sinks that take faces alone."""
    return False


def no_files(target: str) -> list[Path]:
    """Return no file: the `existing` of sinks that write none."""
    return []


def existing_file(target: str) -> list[Path]:
    """Return the file that a target names, where there is one; devices and pipes are none."""
    return [path] if (path := Path(target)).is_file() else []


def _keep(path: Path) -> None:
    """Leave a complete file as it is."""


@dataclass(frozen=True)
class Stream:
    """What every frame of a run has in common.

    Raises:
        UsageError: a size that is not a positive integer, or a rate that is not a positive number.
    """

    width: int
    """Pixels."""
    height: int
    """Pixels."""
    fps: float
    """Images a second."""
    controls: Controls = field(default_factory=Controls)
    """Changed by sinks with keys or a mouse."""
    statistics: Callable[[], dict[str, Any]] = dict
    """Returns the figures of the run so far, by name; called from the threads of sinks."""
    synthetic_mark: bool = True
    """Whether outputs carry the machine-readable mark of `imavatar_deploy.marking`."""
    finish: Callable[[Path], None] = _keep
    """Called with every complete video and picture before it gets its name, as to sign it."""
    edition: str | None = None
    """Head model of the faces that `Sink.write_face` gets; None: there are images alone."""
    overwrite: bool = False
    """Whether a sequence of images also removes those of a longer earlier run."""
    folder: AvatarFolder | None = None
    """The avatar, for sinks whose clients draw it themselves; None: there are images alone."""
    mirrored: bool = False
    """Whether left and right of the images are swapped."""

    def __post_init__(self) -> None:
        for name in ("width", "height"):
            size: Any = getattr(self, name)
            if not isinstance(size, Integral) or size < 1:
                raise UsageError(
                    f"{name} of a stream must be a positive number of pixels, got {size!r}"
                )
        fps: Any = self.fps
        if not isinstance(fps, Real) or not 0 < float(fps) < math.inf:
            raise UsageError(
                f"fps of a stream must be a positive number of images a second, got {fps!r}"
            )

    def check(self, image: Any) -> None:
        """Check that an image is a numpy array of the stream's size.

        Raises:
            UsageError: it is not `[H, W, 4]` uint8.
        """
        shape = (self.height, self.width, 4)
        if isinstance(image, np.ndarray) and image.shape == shape and image.dtype == np.uint8:
            return
        actual = (
            f"{list(image.shape)} {image.dtype}"
            if isinstance(image, np.ndarray)
            else type(image).__name__
        )
        raise UsageError(f"image must be {list(shape)} uint8, got {actual}")


@dataclass(frozen=True)
class Sink:
    """An open sink, which receives RGBA images `[H, W, 4]`."""

    write: Callable[[Image], None]
    report: Callable[[], str]
    """Returns one line for the end of the run, once the sink is closed, or an empty string."""
    greeting: str = ""
    """One line for the beginning of the run: where to look, and the keys."""
    write_face: Callable[[Float32[Array, "50"], Float32[Array, "15"]], None] | None = None
    """Receives the expression and pose of each frame that shows a face, before its image and from
    the thread of the loop; it must not wait. None: the sink has no use for them."""
    write_camera: Callable[[Camera | None], None] | None = None
    """Receives the camera of the motion, or None, before `write_face` of the same frame; only where
    the run looks through the motion's cameras. None: the sink has no use for them."""
    needs_image: Callable[[], bool] = always
    """Returns whether the next frame's image is needed. A run in real time calls it once before
    each frame, from the thread of the loop; it must not wait. What no sink needs is not drawn."""


@dataclass(frozen=True)
class SinkFormat:
    """One kind of sink, owned by the file that writes it."""

    name: str
    pattern: str
    """The form of its `--sink` argument, for example `*.mp4`."""
    description: str
    matches: Callable[[str], bool]
    """Whether a `--sink` argument means this kind."""
    open: Callable[[str, Stream], AbstractContextManager[Sink]]
    """Opens it. The output appears whole when the block ends without an error, else not at all."""
    watched: bool = False
    """Whether people watch it: the motion then keeps real time, and late frames are skipped."""
    main_thread: bool = False
    """Whether it must be written from the main thread, as windows must."""
    existing: Callable[[str], list[Path]] = no_files
    """Returns the files that are there and that it may replace."""


def require_images(count: int, target: str) -> None:
    """Refuse to finish an output without an image.

    Raises:
        UsageError: `count` is 0.
    """
    if not count:
        raise UsageError(
            f"no image was written, so there is no {target}; write at least one before the sink "
            "is closed"
        )


# `null`: draws every frame and keeps none, to measure the speed


@contextmanager
def _open_null(target: str, stream: Stream) -> Iterator[Sink]:
    yield Sink(write=_discard, report=str)


def _discard(image: Image) -> None:
    """Discard an image."""


NULL = SinkFormat(
    name="null",
    pattern="null",
    description="draw and keep nothing",
    matches=lambda target: target == "null",
    open=_open_null,
)
