"""Controls: what a person at a window or a page may change while a head plays."""

from __future__ import annotations

from dataclasses import dataclass

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
