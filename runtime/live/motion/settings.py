"""Settings: everything a user may choose about the motion."""

from __future__ import annotations

from dataclasses import dataclass, field

from imavatar_deploy.errors import UsageError, unknown_name

from .adjust import Adjustment
from .calibration import Neutral
from .dropout import DROPOUTS
from .face import Face
from .head_motion import HEADS
from .one_euro import Smoothing

LONGEST = 1.0
"""Seconds of latency; the buffer holds two at 120 a second."""

LONGEST_CALIBRATION = 30.0
"""Seconds."""


@dataclass(frozen=True)
class Settings:
    """How observations become motion; the defaults suit a webcam or a phone in the same room.

    Raises:
        UsageError: an unknown row, or an impossible number.
    """

    latency: float | None = None
    """Seconds between a face and its showing, delay and smoothing together; None: one frame of the source."""
    fps: float = 30.0
    """Observations a second, until the stream has shown how many."""
    smoothing: Smoothing | None = field(default_factory=Smoothing)
    """The One-Euro filter; None: none."""
    dropout: str = "relax"
    """What is shown while nothing comes, a row of `DROPOUTS`."""
    head: str = "on"
    """What the head's rotation does, a row of `HEADS`."""
    adjustment: Adjustment = field(default_factory=Adjustment)
    """Gains and limits."""
    neutral: Neutral | None = None
    """The face that is taken off all others."""
    calibration: float = 1.0
    """Seconds of faces that make a neutral one, when that is asked for."""

    def __post_init__(self) -> None:
        for kind, name, rows in (("dropout", self.dropout, DROPOUTS), ("head motion", self.head, HEADS)):
            if name not in rows:
                raise unknown_name(kind, name, rows)
        if self.latency is not None and not 0 <= self.latency <= LONGEST:
            raise UsageError(f"the latency must be 0 to {LONGEST:g} seconds, got {self.latency:g}")
        if not 1 <= self.fps <= 1000:
            raise UsageError(f"a source must come 1 to 1000 times a second, got {self.fps:g}")
        if not 0 <= self.calibration <= LONGEST_CALIBRATION:
            raise UsageError(f"calibrating must take 0 to {LONGEST_CALIBRATION:g} seconds, got {self.calibration:g}")

    def own(self, face: Face, neutral: Neutral | None) -> Face:
        """A face as the settings want it: counted from the one at rest, with the head's motion and the gains."""
        calibrated = neutral.taken_off(face) if neutral else face
        turns = HEADS[self.head].turn(calibrated.turns)
        return self.adjustment.scaled(Face(calibrated.expression, turns))
