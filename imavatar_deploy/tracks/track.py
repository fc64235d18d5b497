"""FlameFrame and FlameTrack: one moment of a head's motion, and a whole motion with its cameras and edition."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.camera import Camera
from imavatar_deploy.checks import as_float32
from imavatar_deploy.conventions import EDITIONS, EXPRESSION_SIZE, POSE_SIZE
from imavatar_deploy.errors import EditionMismatchError, InputError, UsageError

Float = NDArray[np.float32]

DEFAULT_FPS = 25.0
"""Frames per second of the published data, whose files do not say."""


@dataclass(frozen=True, eq=False)
class FlameFrame:
    """What drives an avatar for one frame.

    Raises:
        InputError: a wrong number of coefficients, or one that is not finite.
    """

    expression: Float  # [50]
    pose: Float  # [15] axis-angle: global, neck, jaw, eyeL, eyeR
    camera: Camera | None = None
    timestamp: float = 0.0
    """Seconds since the motion began."""
    name: str = ""
    """What the source calls this frame; a plain file name without folders."""

    def __post_init__(self) -> None:
        for name, size in (("expression", EXPRESSION_SIZE), ("pose", POSE_SIZE)):
            object.__setattr__(
                self, name, as_float32(f"frame {name}", getattr(self, name), (size,))
            )


@dataclass(frozen=True, eq=False)
class FlameTrack:
    """A motion of T frames, evenly spaced in time.

    Raises:
        InputError: no frame, arrays that do not agree, a value that is not finite, or an unknown edition.
    """

    expression: Float  # [T, 50]
    pose: Float  # [T, 15] axis-angle: global, neck, jaw, eyeL, eyeR
    cameras: tuple[Camera, ...] = ()
    """One per frame, or none at all."""
    fps: float = DEFAULT_FPS
    edition: str | None = None
    """Head-model edition of the codes (see `conventions.EDITIONS`); None where the source does not say."""
    shape: Float = field(default_factory=lambda: np.zeros(0, dtype=np.float32))
    """[S] shape coefficients of the subject, perhaps none."""
    names: tuple[str, ...] = ()
    """One per frame; counted from 1 when left out, as the published files do."""
    notes: tuple[str, ...] = ()
    """What reading it lost or had to assume, a sentence each, for whoever shows it."""

    def __post_init__(self) -> None:
        self._settle("expression", _per_frame("expression", self.expression, EXPRESSION_SIZE))
        self._settle("pose", _per_frame("pose", self.pose, POSE_SIZE))
        self._settle("shape", as_float32("track shape", self.shape, ("S",)))
        self._settle("cameras", tuple(self.cameras))
        self._settle(
            "names", tuple(self.names) or tuple(str(index + 1) for index in range(len(self)))
        )
        self._settle("fps", _positive_fps(self.fps))
        self._check_counts()
        if self.edition is not None and self.edition not in EDITIONS:
            raise InputError(
                f"track edition must be one of {', '.join(EDITIONS)}, got {self.edition!r}"
            )

    def _settle(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    def _check_counts(self) -> None:
        if not len(self):
            raise InputError("a track must have at least one frame, got none")
        counts = {
            "poses": len(self.pose),
            "names": len(self.names),
            "cameras": len(self.cameras) or len(self),
        }
        for things, count in counts.items():
            if count != len(self):
                raise InputError(
                    f"a track must have one of everything per frame, got {len(self)} expressions and {count} {things}"
                )

    def __len__(self) -> int:
        return len(self.expression)

    def frame(self, index: int) -> FlameFrame:
        """The frame at `index`, counted from 0."""
        camera = self.cameras[index] if self.cameras else None
        return FlameFrame(
            self.expression[index], self.pose[index], camera, index / self.fps, self.names[index]
        )

    def frames(self) -> Iterator[FlameFrame]:
        """Every frame in order."""
        return (self.frame(index) for index in range(len(self)))

    def select(self, frames: slice) -> FlameTrack:
        """The frames of a slice as a track of its own; a step S divides `fps`, so the motion keeps its speed.

        Raises:
            UsageError: the slice holds no frame, or its step is 0.
        """
        if frames.step == 0 or not len(self.expression[frames]):
            raise UsageError(
                f"the slice {_spelt(frames)} holds no frame of this track, which has {len(self)}"
            )
        return replace(
            self,
            expression=self.expression[frames],
            pose=self.pose[frames],
            cameras=self.cameras[frames],
            names=self.names[frames],
            fps=self.fps / abs(frames.step or 1),
        )


def check_edition(track_edition: str | None, avatar_edition: str) -> None:
    """Refuse to drive an avatar of one head-model edition with codes of another; a track that does not say may pass.

    Raises:
        EditionMismatchError: the editions differ.
    """
    if track_edition not in (None, avatar_edition):
        raise EditionMismatchError(
            f"the track was made for {track_edition} and the avatar for {avatar_edition}, whose codes mean different "
            "faces: use a track of the avatar's edition, or play it all the same with --any-edition"
        )


def _per_frame(name: str, rows: Any, size: int) -> Float:
    """As float32 `[T, size]`, row by row, so that an error names the frame."""
    checked = [
        as_float32(f"{name} of frame {index}", row, (size,)) for index, row in enumerate(rows)
    ]
    return np.stack(checked) if checked else np.zeros((0, size), dtype=np.float32)


def _positive_fps(fps: Any) -> float:
    try:
        value = float(fps)
    except (TypeError, ValueError) as error:
        raise InputError(f"track fps must be a number, got {fps!r}") from error
    if not 0.0 < value < float("inf"):
        raise InputError(f"track fps must be positive and finite, got {value}")
    return value


def _spelt(frames: slice) -> str:
    parts = (
        (frames.start, frames.stop)
        if frames.step is None
        else (frames.start, frames.stop, frames.step)
    )
    return ":".join("" if part is None else str(part) for part in parts)
