"""A bun: hair wound to a ball on the crown."""

from __future__ import annotations

import numpy as np

from ..looks import Looks
from ..noise import value_noise
from .piece import Fitting, Piece, at, combed, grid, solid

STEP = 0.008
RADII = (0.135, 0.115, 0.125)


def make(fitting: Fitting, looks: Looks) -> Piece:
    """An ellipsoid half sunk into the crown, with a winding groove."""
    crown = fitting.place(0.0, 0.44, -0.14)
    middle = crown + at(0.0, 0.075, -0.045)
    low, high = middle - at(0.2, 0.2, 0.2), middle + at(0.2, 0.2, 0.2)
    x, y, z = grid(low, high, STEP)
    squared = sum(
        ((axis - centre) / radius) ** 2 for axis, centre, radius in zip((x, y, z), middle, RADII, strict=True)
    )
    vertices, faces = solid((np.sqrt(squared) - 1.0).astype(np.float32), low, STEP)
    offset = vertices - middle
    turn = np.arctan2(offset[:, 0], offset[:, 2])
    winding = offset[:, 1] / 0.035 + turn / np.pi + 0.5 * np.sin(2.0 * turn)
    grain = value_noise(np.stack([offset[:, 1] * 70.0, turn * 1.5 + 20.0], axis=1), seed=41)
    strands = (0.6 * np.cos(np.pi * winding) + 0.4 * grain).astype(np.float32)
    return combed((vertices, faces), strands, 0.007, looks.palette.hair_dark, looks.palette.hair_light)
