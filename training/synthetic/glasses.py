"""Glasses: a frame of tubes without panes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..looks import Looks
from .piece import Fitting, Piece, at, gathered, tube

Float = NDArray[np.float32]

FRAME = (0.10, 0.07, 0.06)
RADIUS = 0.0085
HALF_WIDTH, HALF_HEIGHT = 0.088, 0.066
AHEAD = 0.050
"""How far the rims stand before the eyelids."""


def make(fitting: Fitting, looks: Looks) -> Piece:
    """Two rims, a bridge over the nose, and two temples that end behind the ears."""
    eyes = [fitting.place(side * 0.1157, 0.0423, 0.353) for side in (1, -1)]
    ears = [fitting.place(side * 0.285, 0.045, 0.0) for side in (1, -1)]
    depth = max(eye[2] for eye in eyes) + AHEAD
    rims = [_rim(at(eye[0], eye[1] - 0.008, depth)) for eye in eyes]
    inner = [rim[np.argmin(np.abs(rim[:, 0]) - 0.3 * rim[:, 1])] for rim in rims]
    outer = [rim[np.argmax(np.abs(rim[:, 0]) + 0.3 * rim[:, 1])] for rim in rims]
    top = np.mean(inner, axis=0) + at(0.0, 0.012, 0.012)
    surfaces = [tube(rim, RADIUS, closed=True) for rim in rims]
    surfaces.append(tube(_curve([inner[0], top, inner[1]]), RADIUS, closed=False))
    surfaces += [tube(_temple(start, ear), RADIUS, closed=False) for start, ear in zip(outer, ears, strict=True)]
    return gathered(surfaces, FRAME, "glasses")


def _rim(centre: Float) -> Float:
    """A rounded rectangle that follows the curve of the face."""
    turn = np.linspace(0.0, 2.0 * np.pi, 64, endpoint=False)
    x = HALF_WIDTH * np.sign(np.cos(turn)) * np.abs(np.cos(turn)) ** 0.7
    y = HALF_HEIGHT * np.sign(np.sin(turn)) * np.abs(np.sin(turn)) ** 0.7
    z = -0.9 * np.maximum(np.abs(centre[0] + x) - 0.10, 0.0) ** 1.5
    return np.asarray(centre + np.stack([x, y, z], axis=1), dtype=np.float32)


def _temple(start: Float, ear: Float) -> Float:
    side = np.sign(ear[0])
    above = at(side * (np.abs(ear[0]) + 0.030), ear[1] + 0.022, ear[2] + 0.02)
    before = at(side * (np.abs(start[0]) + 0.030), start[1] + 0.006, start[2] - 0.06)
    behind = above + at(-side * 0.02, -0.06, -0.09)
    return _curve([start, before, above, behind])


def _curve(corners: list[Float]) -> Float:
    """A path through the corners, in even steps, with its corners cut."""
    path = np.asarray(corners, dtype=np.float32)
    for _ in range(4):
        ahead = np.stack([0.75 * path[:-1] + 0.25 * path[1:], 0.25 * path[:-1] + 0.75 * path[1:]], axis=1)
        path = np.concatenate([path[:1], ahead.reshape(-1, 3), path[-1:]])
    return np.asarray(path, dtype=np.float32)
