"""Colours as a screen takes them and as linear light: the networks' are of the first kind, those in scenes the second.

IEC 61966-2-1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def linear(shown: NDArray[Any]) -> NDArray[np.float32]:
    """Linear light of sRGB values in 0..1; what is beyond is cut off."""
    values = np.clip(shown.astype(np.float64), 0.0, 1.0)
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4).astype(
        np.float32
    )


def as_shown(light: NDArray[Any]) -> NDArray[np.float64]:
    """sRGB values of linear light; what is beyond 0..1 stays so, for it would be a mistake to be seen."""
    bright = 1.055 * np.maximum(light, 0.0) ** (1 / 2.4) - 0.055
    return np.asarray(np.where(light <= 0.0031308, light * 12.92, bright), dtype=np.float64)
