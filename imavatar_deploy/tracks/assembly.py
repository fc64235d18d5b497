"""Assemble tracks and cameras from the arrays of a tracker, with notes on the data left out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import PurePath

import numpy as np

from imavatar_deploy.arrays import Array, Float, Float32
from imavatar_deploy.camera import Camera
from imavatar_deploy.checks import as_float32
from imavatar_deploy.conventions import EXPRESSION_SIZE, UNITS_PER_METRE
from imavatar_deploy.tracks.frame_names import gap_note
from imavatar_deploy.tracks.track import ASSUMED_FPS_NOTE, DEFAULT_FPS, FlameTrack

NEGLIGIBLE_LID_WEIGHT = 0.05
"""Weight of an eyelid shape that is ignored; 1 is a closed lid."""

NO_JAW = "flame2023-no-jaw"
"""Edition of FLAME 2023's model without a jaw."""

NO_JAW_NOTE = (
    "its codes are of FLAME 2023's model without a jaw, which opens the mouth by expressions: they "
    "fit only an avatar made from that very model"
)


def track_of(
    expression: Float32[Array, "T n"],
    pose: Float32[Array, "T 15"],
    *,
    edition: str | None,
    names: Sequence[str] = (),
    cameras: Iterable[Camera] = (),
    shape: Float32[Array, " S"] | None = None,
    fps: float | None = None,
    notes: Iterable[str] = (),
) -> FlameTrack:
    """Return a track of expressions and poses.

    Args:
        expression: `[T, n]`, cut or padded to 50 coefficients.
        pose: `[T, 15]` axis-angle, radians.
        edition: head-model edition of the codes; None if unknown.
        names: names of the frames; a note reports gaps in their numbers.
        cameras: one per frame, or none.
        shape: `[S]` shape coefficients.
        fps: frames per second; None where the file does not state them, which is noted.
        notes: further notes.
    """
    coefficients, cut = fifty(expression)
    return FlameTrack(
        expression=coefficients,
        pose=pose,
        cameras=tuple(cameras),
        fps=DEFAULT_FPS if fps is None else fps,
        edition=edition,
        shape=np.zeros(0, dtype=np.float32) if shape is None else shape,
        names=tuple(PurePath(name).name or str(index + 1) for index, name in enumerate(names)),
        notes=(*notes, *cut, *gap_note(names), *([ASSUMED_FPS_NOTE] if fps is None else [])),
    )


def fifty(
    expression: Float32[Array, "T n"],
) -> tuple[Float32[Array, "T 50"], list[str]]:
    """Cut or pad expressions to 50 coefficients; also return a note on the loss."""
    count = expression.shape[1]
    if count < EXPRESSION_SIZE:
        return np.pad(expression, ((0, 0), (0, EXPRESSION_SIZE - count))), []
    first = expression[:, :EXPRESSION_SIZE]
    cut = expression[:, EXPRESSION_SIZE:]
    share = float(np.linalg.norm(cut)) / max(float(np.linalg.norm(expression)), 1e-12)
    if not share:
        return first, []
    numbers = f"{EXPRESSION_SIZE + 1} to {count}"
    return first, [
        f"expressions {numbers} are cut: {share:.0%} of the length of the codes (an avatar has 50)"
    ]


def eyelids(values: Float32[Array, "T 2"]) -> list[str]:
    """Return a note if a tracker closes the eyes by shapes of its own, which FLAME lacks."""
    if np.abs(values).max(initial=0) < NEGLIGIBLE_LID_WEIGHT:
        return []
    return ["eyelid codes are left out: they move shapes that FLAME lacks, so blinks are weaker"]


def camera_of(
    name: str,
    rotation: Float[Array, "3 3"],
    translation: Float[Array, "3"],
    lens: Sequence[float],
) -> Camera:
    """Return a camera from the values of a tracker.

    Args:
        name: source of the values, for error messages.
        rotation: `[3, 3]` world to camera.
        translation: `[3]` in **metres**.
        lens: fx, fy, cx, cy as fractions of the image size.

    Raises:
        InputError: `rotation` is no rotation, or the lens is invalid.
    """
    world_to_camera = np.column_stack([rotation, UNITS_PER_METRE * np.asarray(translation)])
    return Camera(
        as_float32(f"camera of {name}", world_to_camera, (3, 4)),
        as_float32(f"lens of {name}", lens, (4,)),
    )
