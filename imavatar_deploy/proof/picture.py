"""Picture: what is compared, colours, normals and mask of one frame."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]

BACKGROUND = 1.0
"""Grey value of pixels that show nothing."""


class Picture(NamedTuple):
    """One frame, by whatever drew it."""

    rgb: Float  # [H, W, 3] in 0..1, the background white
    normal: Float  # [H, W, 3] unit, model space; anything where the mask is false
    mask: NDArray[np.bool_]  # [H, W] whether the pixel shows the avatar


def shown(rgb: NDArray[Any], normal: NDArray[Any], mask: NDArray[np.bool_]) -> Picture:
    """A picture of its own memory, its background made white."""
    colours = np.where(mask[..., None], rgb, BACKGROUND).astype(np.float32)
    return Picture(colours, np.array(normal, dtype=np.float32), np.array(mask))
