"""A bob: straight hair that covers the ears and ends at the neck."""

from __future__ import annotations

import numpy as np

from ..looks import Looks
from ..noise import value_noise
from .piece import Fitting, Piece, combed, grid, solid

STEP = 0.012
WIDTH, LENGTH = 0.052, 0.035
"""How far the hair stands off the temples and the back of the head."""
END = -0.40
"""Height of the tips."""


def make(fitting: Fitting, looks: Looks) -> Piece:
    """A dome over the skull that falls straight from its widest place, open in front."""
    right, left = fitting.place(-0.28, 0.12, 0.02)[0], fitting.place(0.28, 0.12, 0.02)[0]
    top, back, front = fitting.place(0, 0.46, 0)[1], fitting.place(0, 0.15, -0.37)[2], fitting.place(0, 0.2, 0.38)[2]
    middle = np.array([(left + right) / 2.0, 0.10, (back + front) / 2.0], dtype=np.float32)
    half = np.array([(left - right) / 2.0 + WIDTH, top + 0.010 - middle[1], (front - back) / 2.0 + LENGTH])
    low, high = np.float32([-0.6, END - 0.05, -0.6]), np.float32([0.6, 0.6, 0.5])
    x, y, z = grid(low, high, STEP)
    u, w = (x - middle[0]) / half[0], (z - middle[2]) / half[2]
    v = np.maximum(y - middle[1], 0.0) / half[1]
    swell = 1.0 - 0.10 * np.clip((y + 0.25) / 0.3, -1.0, 0.0) ** 2
    dome = (np.sqrt((u / swell) ** 2 + v**2 + (w / swell) ** 2) - 1.0) * 0.32
    ends = END + 0.03 * np.clip(z / 0.3, -1.0, 1.0) - y
    curtain = z - np.interp(y, (-0.40, -0.15, 0.10, 0.26), (0.10, 0.085, 0.11, 0.30))
    field = _rounded(_rounded(dome, ends, 0.03), curtain, 0.03)
    vertices, faces = solid(field.astype(np.float32), low, STEP)
    around = np.arctan2(vertices[:, 0], middle[2] - vertices[:, 2])
    across = np.stack([around * 7.0, 0.9 * vertices[:, 1]], axis=1)
    strands = 0.6 * value_noise(across, seed=31) + 0.4 * value_noise(across * np.float32([2.7, 1.5]), seed=32)
    return combed((vertices, faces), strands, 0.010, looks.palette.hair_dark, looks.palette.hair_light)


def _rounded(a: np.ndarray, b: np.ndarray, radius: float) -> np.ndarray:
    """Intersection of two solids with a rounded edge."""
    blend = np.clip(0.5 + 0.5 * (b - a) / radius, 0.0, 1.0)
    return np.asarray(a + (b - a) * blend + radius * blend * (1.0 - blend))
