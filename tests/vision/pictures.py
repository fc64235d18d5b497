"""Pictures with and without faces for the tests of the vision networks."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from imavatar_deploy.arrays import Array, UInt8, read_only
from imavatar_deploy.runtime import Player

Image = UInt8[Array, "H W 3"]


@cache
def photograph(name: str = "astronaut") -> Image:
    """A photograph of scikit-image's, in colour."""
    data = pytest.importorskip("skimage.data", reason="needs pip install '.[dev]': photographs")
    image = np.asarray(getattr(data, name)())
    return read_only(np.ascontiguousarray(image if image.ndim == 3 else np.dstack([image] * 3)))


@cache
def sample_player() -> Player:
    """The bundled avatar, 320 x 320."""
    return Player("sample", size=320)


def rendered(
    expression: dict[str, float] | None = None, jaw: float = 0.0, turn: float = 0.0
) -> Image:
    """The bundled avatar on white: shapes by name, jaw and yaw in radians."""
    player = sample_player()
    names = player.avatar.expression_names
    code, pose = np.zeros(player.avatar.expression_size), np.zeros(15)
    for name, value in (expression or {}).items():
        code[names.index(name)] = value
    pose[6], pose[1] = jaw, turn
    rgba = player.render(code, pose).astype(np.float32)
    alpha = rgba[..., 3:] / 255
    return (rgba[..., :3] * alpha + 255 * (1 - alpha)).astype(np.uint8)
