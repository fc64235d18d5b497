"""Sink: where the frames of a run go, and what one row of the table of sinks says."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .controls import Controls

Bytes = NDArray[np.uint8]


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

    write: Callable[[Bytes], None]
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
