"""The light of synthetic images: it depends on the normal and stays fixed when the head turns."""

from __future__ import annotations

from torch import Tensor, nn

AMBIENT = 0.56
KEY_LIGHT = 0.46
KEY_DIRECTION = (-0.42, 0.55, 0.72)
"""From above, the front and the subject's right."""
FILL_LIGHT = 0.16
FILL_DIRECTION = (0.85, 0.1, 0.5)
WARMTH = (0.92, 1.04, 1.10)
"""Exponents of the light per channel: shadows on skin turn red, not grey."""


def apply_light(colour: Tensor, normal: Tensor) -> Tensor:
    """Light unlit colours `[N, 3]`, to colours in 0..1.

    Args:
        normal: unit normals `[N, 3]` of the deformed surface.
    """
    key = (normal @ normal.new_tensor(KEY_DIRECTION)).clamp_min(0.0)
    fill = (normal @ normal.new_tensor(FILL_DIRECTION)).clamp_min(0.0)
    light = AMBIENT + 0.05 * normal[:, 1] + KEY_LIGHT * key + FILL_LIGHT * fill
    tinted = light[:, None] ** colour.new_tensor(WARMTH)
    return nn.functional.hardtanh(colour * tinted, 0.0, 1.0)
