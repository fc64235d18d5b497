"""FlameFrame and FlameTrack: one frame of a motion, and a motion with its cameras and edition."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.arrays import Array, Float32
from imavatar_deploy.camera import Camera
from imavatar_deploy.checks import as_float32
from imavatar_deploy.conventions import (
    EDITIONS,
    EXPRESSION_SIZE,
    POSE_SIZE,
    STATE_EDITION,
    UNKNOWN_EDITION,
)
from imavatar_deploy.errors import EditionMismatchError, InputError, UsageError, excerpt

DEFAULT_FPS = 25.0
"""Frames per second of the published data, whose files do not state it."""

ASSUMED_FPS_NOTE = (
    f"the file does not state its frame rate: {DEFAULT_FPS:g} frames a second are assumed; "
    "--recorded-fps states another"
)
"""Note of a track with an assumed frame rate."""


@dataclass(frozen=True, eq=False)
class FlameFrame:
    """Parameters that drive an avatar in one frame.

    Raises:
        InputError: a wrong number of coefficients, or one that is not finite.
    """

    # The constructor converts both arrays to float32.
    expression: NDArray[np.float32]  # [50]
    pose: NDArray[np.float32]  # [15] axis-angle in radians: global, neck, jaw, eyeL, eyeR
    camera: Camera | None = None
    timestamp: float = 0.0
    """Seconds from the start of the motion."""
    name: str = ""
    """Name of the frame in its source; a plain file name without folders."""

    def __post_init__(self) -> None:
        for name, size in (("expression", EXPRESSION_SIZE), ("pose", POSE_SIZE)):
            object.__setattr__(
                self, name, as_float32(f"frame {name}", getattr(self, name), (size,))
            )


@dataclass(frozen=True, eq=False)
class FlameTrack:
    """A motion of T frames, evenly spaced in time.

    Raises:
        InputError: no frame, arrays of different lengths, a value that is not finite, or an
            unknown edition.
    """

    # The constructor converts the arrays to float32.
    expression: NDArray[np.float32]  # [T, 50]
    pose: NDArray[np.float32]  # [T, 15] axis-angle in radians: global, neck, jaw, eyeL, eyeR
    cameras: tuple[Camera, ...] = ()
    """One per frame, or none."""
    fps: float = DEFAULT_FPS
    edition: str | None = None
    """Head-model edition of the codes (see `conventions.EDITIONS`); None if unknown."""
    shape: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, dtype=np.float32))
    """[S] shape coefficients of the subject; S may be 0."""
    names: tuple[str, ...] = ()
    """One per frame; by default the numbers from 1, as in the published files."""
    notes: tuple[str, ...] = ()
    """Information that reading lost or assumed, one sentence each."""

    def __post_init__(self) -> None:
        self._set("expression", _per_frame("expression", self.expression, EXPRESSION_SIZE))
        self._set("pose", _per_frame("pose", self.pose, POSE_SIZE))
        self._set("shape", as_float32("track shape", self.shape, ("S",)))
        self._set("cameras", tuple(self.cameras))
        self._set("names", tuple(self.names) or tuple(str(index + 1) for index in range(len(self))))
        self._set("fps", _positive_fps(self.fps))
        self._check_counts()
        if self.edition is not None and self.edition not in EDITIONS:
            raise InputError(
                f"track edition must be one of {', '.join(EDITIONS)}, got {excerpt(self.edition)!r}"
            )

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    def _check_counts(self) -> None:
        if not len(self):
            raise InputError("a track must have at least one frame, got none")
        counts = {
            "poses": len(self.pose),
            "names": len(self.names),
            "cameras": len(self.cameras) or len(self),
        }
        for name, count in counts.items():
            if count != len(self):
                raise InputError(
                    "a track must have one of everything per frame, got "
                    f"{len(self)} expressions and {count} {name}"
                )

    def __len__(self) -> int:
        return len(self.expression)

    def frame(self, index: int) -> FlameFrame:
        """Return the frame at `index`, counted from 0."""
        camera = self.cameras[index] if self.cameras else None
        return FlameFrame(
            self.expression[index], self.pose[index], camera, index / self.fps, self.names[index]
        )

    def frames(self) -> Iterator[FlameFrame]:
        """Iterate over the frames in order."""
        return (self.frame(index) for index in range(len(self)))

    def select(self, frames: slice) -> FlameTrack:
        """Return the frames of a slice as a track.

        A step S divides `fps` by S, which preserves the speed of the motion.

        Raises:
            UsageError: the slice holds no frame, or its step is 0.
        """
        if frames.step == 0 or not len(self.expression[frames]):
            raise UsageError(
                f"the slice {_slice_text(frames)} holds no frame of this track, "
                f"which has {len(self)}"
            )
        return replace(
            self,
            expression=self.expression[frames],
            pose=self.pose[frames],
            cameras=self.cameras[frames],
            names=self.names[frames],
            fps=self.fps / abs(frames.step or 1),
        )


def check_edition(track_edition: str | None, avatar_edition: str, *, option: str = "") -> None:
    """Check that the codes of a track fit the head-model edition of an avatar.

    Args:
        track_edition: edition of the codes; None where their file does not state it.
        avatar_edition: edition of the avatar.
        option: the caller's option that accepts the track all the same, for the message.

    Raises:
        EditionMismatchError: the editions differ, or that of the track is not known.
    """
    if track_edition is None:
        alternative = f", or accept it with {option}" if option else ""
        raise EditionMismatchError(
            f"{UNKNOWN_EDITION} and the avatar is of {avatar_edition}: {STATE_EDITION}{alternative}"
        )
    if track_edition != avatar_edition:
        alternative = f", or accept this one with {option}" if option else ""
        raise EditionMismatchError(
            f"the track was made for {track_edition} and the avatar for {avatar_edition}, "
            f"whose codes mean different faces: use a track of the avatar's edition{alternative}"
        )


def _per_frame(name: str, rows: Any, size: int) -> Float32[Array, "T size"]:
    """Convert row by row, so that an error names the frame."""
    checked = [
        as_float32(f"{name} of frame {index}", row, (size,)) for index, row in enumerate(rows)
    ]
    return np.stack(checked) if checked else np.zeros((0, size), dtype=np.float32)


def _positive_fps(fps: Any) -> float:
    try:
        value = float(fps)
    except (TypeError, ValueError) as error:
        raise InputError(f"track fps must be a number, got {excerpt(fps)!r}") from error
    if not 0.0 < value < float("inf"):
        raise InputError(f"track fps must be positive and finite, got {value}")
    return value


def _slice_text(frames: slice) -> str:
    parts = (
        (frames.start, frames.stop)
        if frames.step is None
        else (frames.start, frames.stop, frames.step)
    )
    return ":".join("" if part is None else str(part) for part in parts)
