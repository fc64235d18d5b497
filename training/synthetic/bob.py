"""A bob: straight hair that covers the ears and ends at the neck."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..looks import Looks
from ..noise import value_noise
from .piece import Fitting, Piece, at, combed, grid, solid

Float = NDArray[np.float32]

STEP = 0.012
WIDTH, LENGTH = 0.052, 0.035
"""How far the hair stands off the temples and the back of the head."""
END = -0.40
"""Height of the tips."""
WIDEST = 0.10
"""Height from which the hair falls."""
CURTAIN = ((-0.40, -0.15, 0.10, 0.26), (0.10, 0.085, 0.11, 0.30))
"""Height, and how far forward the hair comes."""
EDGE = 0.03


def make(fitting: Fitting, looks: Looks) -> Piece:
    """A dome over the skull that falls straight from its widest place, open in front and hollow behind the mouth."""
    right, left = fitting.place(-0.28, 0.12, 0.02)[0], fitting.place(0.28, 0.12, 0.02)[0]
    top, back, front = fitting.place(0, 0.46, 0)[1], fitting.place(0, 0.15, -0.37)[2], fitting.place(0, 0.2, 0.38)[2]
    middle = at((left + right) / 2.0, WIDEST, (back + front) / 2.0)
    half = at((left - right) / 2.0 + WIDTH, top + 0.010 - WIDEST, (front - back) / 2.0 + LENGTH)
    low, high = at(-0.6, END - 0.05, -0.6), at(0.6, 0.6, 0.5)
    vertices, faces = solid(_field(grid(low, high, STEP), middle, half), low, STEP)
    around = np.arctan2(vertices[:, 0], middle[2] - vertices[:, 2])
    across = np.stack([around * 7.0, 0.9 * vertices[:, 1]], axis=1)
    strands = 0.6 * value_noise(across, seed=31) + 0.4 * value_noise(across * np.array([2.7, 1.5]), seed=32)
    return combed((vertices, faces), strands, 0.010, looks.palette.hair_dark, looks.palette.hair_light)


def _field(lattice: tuple[Float, Float, Float], middle: Float, half: Float) -> Float:
    """Negative inside the hair: a dome and what falls from it, above the tips, behind the face, around the mouth."""
    x, y, z = lattice
    across, ahead = (x - middle[0]) / half[0], (z - middle[2]) / half[2]
    above = np.maximum(y - middle[1], 0.0) / half[1]
    swell = 1.0 - 0.10 * np.clip((y + 0.25) / 0.3, -1.0, 0.0) ** 2
    dome = (np.sqrt((across / swell) ** 2 + above**2 + (ahead / swell) ** 2) - 1.0) * half[0]
    tips = np.asarray(END + 0.03 * np.clip(z / 0.3, -1.0, 1.0) - y, dtype=np.float32)
    face = z - np.interp(y, *CURTAIN).astype(np.float32)
    mouth = 0.1 - 0.1 * np.sqrt((x / 0.14) ** 2 + ((y + 0.22) / 0.13) ** 2 + ((z - 0.10) / 0.20) ** 2)
    return np.asarray(np.maximum(_rounded(_rounded(dome, tips, EDGE), face, EDGE), mouth), dtype=np.float32)


def _rounded(a: Float, b: Float, radius: float) -> Float:
    """Intersection of two solids with a rounded edge."""
    blend = np.clip(0.5 + 0.5 * (b - a) / radius, 0.0, 1.0)
    return np.asarray(a + (b - a) * blend + radius * blend * (1.0 - blend), dtype=np.float32)
