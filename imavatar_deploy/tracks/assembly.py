"""What every tracker's reader ends with: columns of numbers -> a `FlameTrack`, and notes of what was left out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import PurePath

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.camera import Camera
from imavatar_deploy.checks import as_float32
from imavatar_deploy.conventions import EXPRESSION_SIZE, UNITS_PER_METRE
from imavatar_deploy.tracks.track import DEFAULT_FPS, FlameTrack

Float = NDArray[np.float32]

NEGLIGIBLE = 0.05
"""Of an eyelid's weight, which is 1 when it is closed."""

NO_JAW = (
    "its codes are of FLAME 2023's model without a jaw, which opens the mouth by expressions: they fit only an avatar "
    "made from that very model"
)


def track_of(
    expression: Float,
    pose: Float,
    *,
    edition: str | None,
    names: Sequence[str] = (),
    cameras: Iterable[Camera] = (),
    shape: Float | None = None,
    fps: float = DEFAULT_FPS,
    notes: Iterable[str] = (),
) -> FlameTrack:
    """A track of expressions `[T, n]`, of which 50 are kept, and poses `[T, 15]`.

    Args:
        names: the frames' names; gaps in their numbers are noted.
    """
    kept, cut = fifty(expression)
    return FlameTrack(
        expression=kept,
        pose=pose,
        cameras=tuple(cameras),
        fps=fps,
        edition=edition,
        shape=np.zeros(0, dtype=np.float32) if shape is None else shape,
        names=tuple(PurePath(name).name or str(index + 1) for index, name in enumerate(names)),
        notes=(*notes, *cut, *gaps(names)),
    )


def fifty(expression: Float) -> tuple[Float, list[str]]:
    """[T, n] -> `[T, 50]`, and what that loses."""
    count = expression.shape[1]
    if count < EXPRESSION_SIZE:
        return np.pad(expression, ((0, 0), (0, EXPRESSION_SIZE - count))), []
    kept, cut = expression[:, :EXPRESSION_SIZE], expression[:, EXPRESSION_SIZE:]
    share = float(np.linalg.norm(cut)) / max(float(np.linalg.norm(expression)), 1e-12)
    if not share:
        return kept, []
    numbers = f"{EXPRESSION_SIZE + 1} to {count}"
    return kept, [
        f"expressions {numbers} are cut: {share:.0%} of the length of the codes (an avatar has 50)"
    ]


def gaps(names: Sequence[str]) -> list[str]:
    """Where the numbers in the frames' names jump."""
    found = [re.search(r"(\d+)\D*$", name) for name in names]
    numbers = [int(match[1]) for match in found if match]
    if len(numbers) < len(names):
        return []
    jumps = [(before, after) for before, after in pairwise(numbers) if after > before + 1]
    if (
        not jumps or len(jumps) == len(numbers) - 1
    ):  # every second or fifth frame of a video is no gap
        return []
    missing = sum(after - before - 1 for before, after in jumps)
    first, last = jumps[0]
    return [
        f"{missing} frames are missing, the first after {first} (then comes {last}); the motion jumps there"
    ]


def eyelids(values: Float | None) -> list[str]:
    """A note where a tracker closed the eyes by shapes of its own, which FLAME has not."""
    if values is None or np.abs(values).max(initial=0) < NEGLIGIBLE:
        return []
    return ["eyelid codes are left out: they move shapes that FLAME has not, so blinks are weaker"]


def camera_of(
    name: str,
    rotation: NDArray[np.floating],
    translation: NDArray[np.floating],
    lens: Sequence[float],
) -> Camera:
    """A camera from a rotation `[3, 3]` and a translation `[3]` in **metres**, and fx, fy, cx, cy in fractions.

    Raises:
        InputError: no rotation, or no lens; it names `name`.
    """
    world_to_camera = np.column_stack([rotation, UNITS_PER_METRE * np.asarray(translation)])
    return Camera(
        as_float32(f"camera of {name}", world_to_camera, (3, 4)),
        as_float32(f"lens of {name}", lens, (4,)),
    )
