"""ViewedFrames: frames to render with a camera of their own each."""

from __future__ import annotations

from dataclasses import dataclass

from imavatar_deploy.arrays import Array, Float32
from imavatar_deploy.camera import Camera
from imavatar_deploy.fidelity.reference_frames import ReferenceFrames


@dataclass(frozen=True)
class ViewedFrames(ReferenceFrames):
    """Frames each of which has a camera of its own; `camera` is that of the first."""

    views: tuple[Camera, ...]

    @classmethod
    def from_views(
        cls,
        expression: Float32[Array, "T E"],
        pose: Float32[Array, "T 15"],
        views: tuple[Camera, ...],
        size: int,
    ) -> ViewedFrames:
        """Return empty frames of `size` x `size` pixels, which are yet to be rendered."""
        blank = ReferenceFrames.blank(expression, pose, views[0], size)
        return cls(expression, pose, views[0], blank.rgb, blank.normal, blank.regions, views)

    @property
    def cameras(self) -> tuple[Camera, ...]:
        """The camera of each frame."""
        return self.views
