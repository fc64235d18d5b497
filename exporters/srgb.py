"""Conversion between sRGB and linear light (IEC 61966-2-1).

The networks' colours are sRGB, those of scene files are linear.
"""

from __future__ import annotations

import numpy as np

from imavatar_deploy.arrays import Array, Float, Float32, Float64


def linear(srgb: Float[Array, "..."]) -> Float32[Array, "..."]:
    """Linear light of sRGB values; values outside 0..1 are clipped."""
    values = np.clip(srgb.astype(np.float64), 0.0, 1.0)
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4).astype(
        np.float32
    )


def as_shown(light: Float[Array, "..."]) -> Float64[Array, "..."]:
    """sRGB values of linear light, without clipping, so that values outside 0..1 remain visible."""
    bright = 1.055 * np.maximum(light, 0.0) ** (1 / 2.4) - 0.055
    return np.asarray(np.where(light <= 0.0031308, light * 12.92, bright), dtype=np.float64)
