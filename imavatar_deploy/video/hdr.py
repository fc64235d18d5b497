"""HDR colours (PQ and HLG curves, BT.2020 primaries) converted to those of a standard screen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from imavatar_deploy.arrays import Array, Float64, UInt8, read_only

WHITE = 203.0
"""Luminance of white paper in HDR pictures, cd/m2 (ITU-R BT.2408)."""

SHOULDER = 0.75
"""Share of a standard screen's white from which brighter light is compressed."""

TO_BT709 = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]]
)
"""Linear BT.2020 to BT.709 (ITU-R BT.2087)."""


def _pq_light(signal: Float64[Array, " N"]) -> Float64[Array, " N"]:
    """Light of a PQ signal relative to white paper (SMPTE ST 2084)."""
    power = signal ** (1 / 78.84375)
    ratio = np.maximum(power - 0.8359375, 0) / (18.8515625 - 18.6875 * power)
    return np.asarray(10000.0 / WHITE * ratio ** (1 / 0.1593017578125))


def _hlg_light(signal: Float64[Array, " N"]) -> Float64[Array, " N"]:
    """Light of an HLG signal on a screen of 1000 cd/m2 relative to white paper (BT.2100)."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
    return np.asarray(1000.0 / WHITE * scene**1.2)


@dataclass(frozen=True)
class HdrCurve:
    """A transfer curve of HDR video."""

    name: str
    light: Callable[[Float64[Array, " N"]], Float64[Array, " N"]]
    """Light relative to white paper of a signal in 0..1."""


HDR_CURVES = {16: HdrCurve("PQ", _pq_light), 18: HdrCurve("HLG", _hlg_light)}
"""FFmpeg's number of a transfer curve -> the curve."""

STEPS = 4096
"""Entries of the table from linear light to the 8 bits of a standard screen."""


def to_standard_range(image: UInt8[Array, "H W 3"], curve: int) -> UInt8[Array, "H W 3"]:
    """Convert an image with HDR colours to BT.709, with highlights compressed.

    Args:
        image: RGB with the curve and BT.2020 primaries.
        curve: a key of `HDR_CURVES`.
    """
    light, code = _tables(curve)
    linear = cv2.transform(cv2.LUT(image, light), TO_BT709.astype(np.float32))
    return np.asarray(code[np.clip(linear * (STEPS - 1), 0, STEPS - 1).astype(np.int32)])


@lru_cache(maxsize=2)
def _tables(curve: int) -> tuple[Array, Array]:
    """Tables from a signal of 8 bits to compressed light, and from light to 8 bits."""
    light = HDR_CURVES[curve].light(np.arange(256) / 255.0)
    over = np.maximum(light - SHOULDER, 0) / (1 - SHOULDER)
    compressed = np.where(light > SHOULDER, SHOULDER + (1 - SHOULDER) * over / (1 + over), light)
    linear = np.linspace(0, 1, STEPS)
    code = np.where(linear < 0.018, 4.5 * linear, 1.099 * linear**0.45 - 0.099)
    return read_only(
        (compressed.astype(np.float32), np.round(255 * code.clip(0, 1)).astype(np.uint8))
    )
