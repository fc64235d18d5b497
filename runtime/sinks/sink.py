"""Sink: where the frames of a run go, and what one row of the table of sinks says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any

from imavatar_deploy.arrays import Array, UInt8

# Controls: what a person at a window or a page may change while a head plays.
FARTHEST_PITCH = 1.4
"""Radians up or down: past the pole the view would turn over."""

NEAREST, FARTHEST = 0.25, 4.0
"""Bounds of the zoom."""


@dataclass
class Controls:
    """Shared by the loop, which reads, and the sinks, which write; single attributes, so no lock is needed."""

    paused: bool = False
    stopped: bool = False
    """The run is to end."""
    recalibrate: bool = False
    """The present face is to become the neutral one; the loop takes it back once done."""
    yaw: float = 0.0
    """Radians by which the camera has gone about the head, to its own right."""
    pitch: float = 0.0
    """Radians by which the camera is above the head."""
    zoom: float = 1.0
    """2 shows the head twice as large."""

    def orbit(self, yaw: float, pitch: float) -> None:
        """Turn the camera about the head by so many radians."""
        self.yaw += yaw
        self.pitch = min(max(self.pitch + pitch, -FARTHEST_PITCH), FARTHEST_PITCH)

    def zoom_by(self, factor: float) -> None:
        """Come nearer (above 1) or go away (below)."""
        self.zoom = min(max(self.zoom * factor, NEAREST), FARTHEST)

    def reset(self) -> None:
        """Back to the front."""
        self.yaw, self.pitch, self.zoom = 0.0, 0.0, 1.0


Image = UInt8[Array, "H W 4"]
"""One RGBA frame."""


@dataclass(frozen=True)
class Stream:
    """What every frame of a run has in common."""

    width: int
    height: int
    fps: float
    controls: Controls = field(default_factory=Controls)
    """What a sink with keys or a mouse may change."""
    statistics: Callable[[], dict[str, Any]] = dict
    """Figures of the run so far, by name, for a sink that shows them; called from threads of its own."""


@dataclass(frozen=True)
class Sink:
    """An open sink: takes RGBA images `[H, W, 4]`, and says afterwards what it made of them."""

    write: Callable[[Image], None]
    report: Callable[[], str]
    """One line for the end of the run, once the sink is closed; empty when there is nothing to tell."""
    greeting: str = ""
    """One line for the beginning of the run: where to look, and which keys there are."""


@dataclass(frozen=True)
class SinkFormat:
    """One kind of sink, owned by the file that writes it."""

    name: str
    pattern: str
    """What the user types, for example `*.mp4`."""
    description: str
    matches: Callable[[str], bool]
    """Whether a `--sink` argument means this kind."""
    open: Callable[[str, Stream], AbstractContextManager[Sink]]
    """Opens it; its output appears whole when the block ends without an error, and not at all otherwise."""
    watched: bool = False
    """People look at it while it plays: the motion then keeps real time, and a frame that is late is not shown."""
    main_thread: bool = False
    """It may be written from the main thread alone, as windows are."""


# `null`: draws every frame and keeps none, to see how fast it goes.


@contextmanager
def _open_null(target: str, stream: Stream) -> Iterator[Sink]:
    yield Sink(write=_discard, report=str)


def _discard(image: Image) -> None:
    """Nothing is kept."""


NULL = SinkFormat(
    name="null",
    pattern="null",
    description="draw and keep nothing",
    matches=lambda target: target == "null",
    open=_open_null,
)
